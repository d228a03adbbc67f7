package stomp

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"vesperdb.io/vesper/internal/stomp/frame"
)

// NackMeaning is what a broker does with a message that a consumer refuses.
type NackMeaning int

// What brokers do on NACK.
const (
	NackUnsupported NackMeaning = iota // an ERROR, or nothing
	NackDeadLetters                    // the message goes to a dead letter queue at once, with no redelivery
	NackRequeues                       // the message is delivered again
	NackAcks                           // the same as ACK: the message is gone
)

// Expiry is how a broker wants to be told how long it may keep a message.
type Expiry int

// What brokers read of a SEND.
const (
	ExpiryNone     Expiry = iota // nothing: they keep it as long as they keep anything
	ExpiryTime                   // expires: milliseconds since 1970
	ExpiryLifetime               // expiration: milliseconds from now
)

// Profile is what one kind of broker can do and how it wants to be asked. Facts are from the
// brokers' documentation and source, and for ActiveMQ Classic 5.17.2 from measurement.
type Profile struct {
	// Name is activemq, artemis, rabbitmq, coilmq, morbidq or generic.
	Name string
	// MaxVersion is the highest protocol version that works with this broker.
	MaxVersion frame.Version
	// DurableTopics says that a topic keeps messages for a subscriber that is away.
	DurableTopics bool
	// DurableNameHeader is the SUBSCRIBE header that carries the durable subscription's name;
	// "" when the name goes into the subscription's id.
	DurableNameHeader string
	// DurableHeaders are further SUBSCRIBE headers of a durable subscription.
	DurableHeaders []frame.Field
	// PrefetchHeader is the SUBSCRIBE header that bounds unacknowledged messages, counted in
	// messages; "" when the broker has none.
	PrefetchHeader string
	// WindowHeader is the SUBSCRIBE header that bounds what is unacknowledged in octets, where
	// there is no PrefetchHeader. It is not for AckAuto: nothing would ever open the window again.
	WindowHeader string
	// PersistentHeader says that SEND needs persistent:true for the message to survive the
	// broker's crash.
	PersistentHeader bool
	// Selectors says that SUBSCRIBE's selector header filters messages.
	Selectors bool
	// IndividualAck says that ack:client-individual works. When false, AckClientIndividual
	// falls back to AckClient, and to AckAuto when ClientAck is false too.
	IndividualAck bool
	// ClientAck says that ack:client works.
	ClientAck bool
	// Nack is the meaning of NACK.
	Nack NackMeaning
	// ErrorCloses says that the broker closes the connection after any ERROR frame; then the
	// client does not wait for the close.
	ErrorCloses bool
	// MaxBody is the largest frame body, in octets, that the broker takes by default; 0 when
	// it takes more than any client should send.
	MaxBody int
	// Expiry is how a SEND says when its message may be dropped.
	Expiry Expiry
	// VirtualHost goes into the host header of CONNECT when Options.Host is "": where the name of
	// the broker's machine is refused.
	VirtualHost string
	// RoutingHeaders says that SEND and SUBSCRIBE tell by destination-type and subscription-type
	// whether the destination is a topic or a queue, since the broker does not go by its name.
	RoutingHeaders bool
	// UnsubscribeDestination says that UNSUBSCRIBE needs the destination beside the id.
	UnsubscribeDestination bool
}

// ActiveMQ is ActiveMQ Classic, and the embedded broker of this project.
func ActiveMQ() Profile {
	return Profile{
		Name: "activemq", MaxVersion: frame.V12,
		DurableTopics: true, DurableNameHeader: "activemq.subscriptionName",
		PrefetchHeader: "activemq.prefetchSize", PersistentHeader: true, Selectors: true,
		IndividualAck: true, ClientAck: true, Nack: NackDeadLetters,
		MaxBody: 100 << 20, Expiry: ExpiryTime,
	}
}

// Artemis is ActiveMQ Artemis. It counts what is unacknowledged in octets, activemq.prefetchSize
// too; consumer-window-size is for 2.16 and later, others have a window of 10 KiB.
func Artemis() Profile {
	return Profile{
		Name: "artemis", MaxVersion: frame.V12,
		DurableTopics: true, DurableNameHeader: "durable-subscription-name",
		WindowHeader: "consumer-window-size", PersistentHeader: true, Selectors: true,
		IndividualAck: true, ClientAck: true, Nack: NackAcks, ErrorCloses: true,
		Expiry: ExpiryTime, RoutingHeaders: true,
	}
}

// RabbitMQ is RabbitMQ's STOMP plugin. It keys a durable subscription by the subscription's id, and
// takes the host header for the name of a virtual host.
func RabbitMQ() Profile {
	return Profile{
		Name: "rabbitmq", MaxVersion: frame.V12,
		DurableTopics:  true,
		DurableHeaders: []frame.Field{{Key: "durable", Value: "true"}, {Key: "auto-delete", Value: "false"}},
		PrefetchHeader: "prefetch-count", PersistentHeader: true,
		IndividualAck: true, ClientAck: true, Nack: NackRequeues, ErrorCloses: true,
		// The limit is of the frame: what it needs beside the body is left room for.
		MaxBody: 4<<20 - 64<<10, Expiry: ExpiryLifetime, VirtualHost: "/",
	}
}

// CoilMQ keeps topics in memory, and its ACK of version 1.2 does not follow the specification.
func CoilMQ() Profile {
	return Profile{
		Name: "coilmq", MaxVersion: frame.V11,
		ClientAck: true, UnsubscribeDestination: true,
	}
}

// MorbidQ speaks 1.0 with automatic acknowledgement only.
func MorbidQ() Profile {
	return Profile{Name: "morbidq", MaxVersion: frame.V10, UnsubscribeDestination: true}
}

// Generic assumes what the specification says and nothing more.
func Generic() Profile {
	return Profile{
		Name: "generic", MaxVersion: frame.V12, PersistentHeader: true,
		IndividualAck: true, ClientAck: true, ErrorCloses: true, Expiry: ExpiryTime,
	}
}

// ProfileNamed returns the profile of that name; the error lists the names there are.
func ProfileNamed(name string) (Profile, error) {
	switch name {
	case "activemq":
		return ActiveMQ(), nil
	case "artemis":
		return Artemis(), nil
	case "rabbitmq":
		return RabbitMQ(), nil
	case "coilmq":
		return CoilMQ(), nil
	case "morbidq":
		return MorbidQ(), nil
	case "generic":
		return Generic(), nil
	}
	return Profile{}, fmt.Errorf("broker flavor %q is not one of activemq, artemis, rabbitmq, coilmq, morbidq, generic", name)
}

// ProfileOf returns the profile that fits the server header of a CONNECTED frame, such as
// "ActiveMQ/5.17.2" or "RabbitMQ/3.10.8". No header, or one that is not known, is generic.
func ProfileOf(server string) Profile {
	s := strings.ToLower(server)
	switch {
	case strings.Contains(s, "artemis"):
		return Artemis()
	case strings.HasPrefix(s, "activemq"), strings.HasPrefix(s, "vesper/"):
		return ActiveMQ()
	case strings.HasPrefix(s, "rabbitmq"):
		return RabbitMQ()
	case strings.HasPrefix(s, "coilmq"):
		return CoilMQ()
	case strings.HasPrefix(s, "morbid"):
		return MorbidQ()
	}
	return Generic()
}

// addExpiry tells the broker when the message may be dropped.
func (p Profile) addExpiry(f *frame.Frame, at time.Time) {
	switch {
	case at.IsZero() || p.Expiry == ExpiryNone:
	case p.Expiry == ExpiryTime:
		f.Header.Add(frame.HeaderExpires, strconv.FormatInt(at.UnixMilli(), 10))
	case p.Expiry == ExpiryLifetime:
		f.Header.Add("expiration", strconv.FormatInt(max(time.Until(at).Milliseconds(), 0), 10))
	}
}

// addRouting tells the broker whether a destination is a topic or a queue.
func (p Profile) addRouting(f *frame.Frame, header, destination string) {
	switch {
	case !p.RoutingHeaders:
	case strings.HasPrefix(destination, "/topic/"):
		f.Header.Add(header, "MULTICAST")
	case strings.HasPrefix(destination, "/queue/"):
		f.Header.Add(header, "ANYCAST")
	}
}

// ackMode returns the nearest mode to the wanted one that the broker has.
func (p Profile) ackMode(wanted AckMode) AckMode {
	if wanted == AckClientIndividual && !p.IndividualAck {
		wanted = AckClient
	}
	if wanted == AckClient && !p.ClientAck {
		wanted = AckAuto
	}
	return wanted
}

// NotFrom is the selector that leaves out what the sender of that client id published, provided
// that every SEND carries a header clientid. Its text is the same for ever: ActiveMQ discards a
// durable subscription's backlog when the selector differs by as much as a space.
func NotFrom(clientID string) string {
	return "clientid <> '" + strings.ReplaceAll(clientID, "'", "''") + "'"
}
