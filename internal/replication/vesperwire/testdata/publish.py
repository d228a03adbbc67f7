"""Publishes messages as a node of the original Vesper does: host, port, channel, client id; a line of standard input each."""
import sys
import time

import stomp

host, port, channel, me = sys.argv[1:5]


class Counter(stomp.ConnectionListener):
    """Counts the broker's answers: a connection closed before they have come takes frames along."""

    answered = 0

    def on_receipt(self, frame):
        self.answered += 1


client = stomp.Connection10([(host, int(port))], auto_content_length=False)
counter = Counter()
client.set_listener("", counter)
client.connect(wait=True, headers={"client-id": me})
sent = 0
for line in sys.stdin:
    sent += 1
    client.send("/topic/" + channel, line.rstrip("\n"), persistent="true", clientid=me, receipt=str(sent))
deadline = time.monotonic() + 30
while counter.answered < sent and time.monotonic() < deadline:
    time.sleep(0.01)
assert sent > 0 and counter.answered == sent, (counter.answered, sent)
client.disconnect()
