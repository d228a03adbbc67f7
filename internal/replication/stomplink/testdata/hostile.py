# Sends what no node sends: hostile.py HOST PORT CHANNEL KIND...
import os
import sys
import time

import stomp

PACKED = "application/vnd.vesper.changesets"
host, port, channel, kinds = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]
topic, beacon, sync = "/topic/" + channel, "/topic/" + channel + ".beacon", "/queue/" + channel + ".sync.0A"
receipts = 0


def send(destination, body, content_type=None, who="0Z", **headers):
    global receipts
    receipts += 1
    headers["receipt"] = "r%d" % receipts
    if who is not None:
        headers["clientid"] = who
    client.send(destination, body, content_type=content_type, persistent="true", **headers)


def garbage():
    for size in (0, 1, 100, 100_000):
        send(topic, os.urandom(size), PACKED)


def type():
    send(topic, b"x", "text/plain")
    send(topic, b"x")


def headers():
    send(topic, b"x", PACKED, **{"h%d" % i: "v" for i in range(500)})
    send(topic, b"x", PACKED, long="v" * 9000)
    send(topic, b"x", PACKED, who="'; DROP --\n\u2603")


def beacons():
    send(beacon, os.urandom(500), "application/vnd.vesper.beacon")
    send(beacon, b"x" * 300_000, "application/vnd.vesper.beacon")
    send(beacon, b"{}", "application/json")


def sync_queue():
    send(sync, os.urandom(500), "application/vnd.vesper.sync")
    send(sync, b"\xa0", "application/vnd.vesper.sync")
    send(sync, b"x", "text/plain")


def parts():
    for part in ("a.1.2", "a.9.2", "nonsense", "b.1.99999999", ""):
        send(topic, b"x", PACKED, **{"vesper-part": part})


def anonymous():
    send(topic, b"x", PACKED, who="")  # one without the header would not pass the selector
    send(beacon, b"x", "application/vnd.vesper.beacon", who=None)


def foreign():
    send(topic, b'{"not": "ours"}', "application/json", origin="0Q")


def many():
    for i in range(200):
        send(topic, b"%d of many" % i, "text/x-many", who="0Y")


class Counter(stomp.ConnectionListener):
    """Counts the broker's answers: a connection closed before they have come takes frames along."""

    answered = 0

    def on_receipt(self, frame):
        self.answered += 1


client = stomp.Connection12([(host, port)])
counter = Counter()
client.set_listener("", counter)
client.connect(wait=True)
for kind in kinds:
    globals()["sync_queue" if kind == "sync" else kind]()
deadline = time.monotonic() + 30
while counter.answered < receipts and time.monotonic() < deadline:
    time.sleep(0.01)
assert counter.answered == receipts, (counter.answered, receipts)
client.disconnect()
