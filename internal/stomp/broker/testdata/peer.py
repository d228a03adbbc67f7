# An independent client's view of the embedded broker: argv is host, port, protocol version.
# It exits with 1 and says what differs.
import sys, threading
import stomp

HOST, PORT, VERSION = sys.argv[1], int(sys.argv[2]), sys.argv[3]
KIND = {"1.0": stomp.Connection10, "1.1": stomp.Connection11, "1.2": stomp.Connection12}[VERSION]
PATIENCE = 10


class Inbox(stomp.ConnectionListener):
    def __init__(self):
        self.frames, self.changed = [], threading.Condition()

    def add(self, kind, frame):
        with self.changed:
            self.frames.append((kind, frame))
            self.changed.notify_all()

    def on_message(self, frame):
        self.add("message", frame)

    def on_receipt(self, frame):
        self.add("receipt", frame)

    def on_error(self, frame):
        self.add("error", frame)

    def take(self, kind):
        with self.changed:
            def position():
                return next((i for i, (k, _) in enumerate(self.frames) if k == kind), None)
            if not self.changed.wait_for(lambda: position() is not None, PATIENCE):
                sys.exit("no %s came; there are %r" % (kind, self.frames))
            return self.frames.pop(position())[1]

    def none(self, kind):
        with self.changed:
            return not any(k == kind for k, _ in self.frames)


def connect(**headers):
    c = KIND([(HOST, PORT)])
    inbox = Inbox()
    c.set_listener("", inbox)
    c.connect("ada", "se:cret", wait=True, headers=headers)
    return c, inbox


def bye(c, inbox):
    c.disconnect(receipt="bye")
    check(inbox.take("receipt").headers["receipt-id"], "bye")


def check(got, want):
    if got != want:
        sys.exit("got %r, want %r" % (got, want))


def subscribe(c, inbox, **headers):
    c.subscribe("/topic/t", id="s", ack="client-individual", receipt="sub",
                headers={"activemq.subscriptionName": "n", "selector": "clientid <> 'me'", **headers})
    check(inbox.take("receipt").headers["receipt-id"], "sub")


def ack(c, message):
    h = message.headers
    if VERSION == "1.0":
        c.ack(h["message-id"])
    elif VERSION == "1.1":
        c.ack(h["message-id"], h["subscription"])
    else:
        c.ack(h["ack"])


c, inbox = connect(**{"client-id": "me"})
subscribe(c, inbox)
bye(c, inbox)

sender, sent = connect()
for i in range(20):
    sender.send("/topic/t", "äöü %d" % i, headers={"clientid": "other", "persistent": "true"}, receipt="r%d" % i)
    check(sent.take("receipt").headers["receipt-id"], "r%d" % i)
    sender.send("/topic/t", "own", headers={"clientid": "me"})
if VERSION != "1.0":
    sender.send("/topic/t", "escaped", headers={"clientid": "other", "k": "a:b\\c\nd"})
else:
    sender.send("/topic/t", "escaped", headers={"clientid": "other", "k": "plain"})

c, inbox = connect(**{"client-id": "me"})
subscribe(c, inbox)
for i in range(20):
    m = inbox.take("message")
    check(m.body, "äöü %d" % i)
    check(m.headers["persistent"], "true")
    ack(c, m)
m = inbox.take("message")
check((m.body, m.headers["k"]), ("escaped", "plain" if VERSION == "1.0" else "a:b\\c\nd"))
ack(c, m)

t = sender.begin()
sender.send("/topic/t", "in a transaction", headers={"clientid": "other"}, transaction=t)
sender.send("/topic/t", "sync", headers={"clientid": "other"}, receipt="x")
sent.take("receipt")
m = inbox.take("message")
check(m.body, "sync")
ack(c, m)
sender.commit(t)
m = inbox.take("message")
check(m.body, "in a transaction")
ack(c, m)

second = KIND([(HOST, PORT)])
refused = Inbox()
second.set_listener("", refused)
try:
    second.connect("ada", "se:cret", wait=True, headers={"client-id": "me"})
    sys.exit("a second connection got the client id")
except stomp.exception.ConnectFailedException:
    pass
if "already connected" not in refused.take("error").headers["message"]:
    sys.exit("the refusal of the client id is not worded as ActiveMQ does")

c.send_frame("UNSUBSCRIBE", {"id": "s", "receipt": "u"})
check(inbox.take("receipt").headers["receipt-id"], "u")
c.send_frame("UNSUBSCRIBE", {"id": "s", "activemq.subscriptionName": "n", "receipt": "d"})
check(inbox.take("receipt").headers["receipt-id"], "d")
if not inbox.none("error") or not sent.none("error"):
    sys.exit("errors came: %r %r" % (inbox.frames, sent.frames))
bye(c, inbox)
bye(sender, sent)
