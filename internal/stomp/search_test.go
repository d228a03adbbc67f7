package stomp

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// searching returns a search without chance, on a clock that the test moves.
func searching(t testing.TB, hosts ...string) (*search, *time.Time) {
	t.Helper()
	o, err := SessionOptions{
		Hosts: hosts, Conn: Options{HeartBeat: 10 * time.Second}, Backoff: Backoff{Min: time.Second, Max: 10 * time.Second},
	}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	f, now := newSearch(o), time.Unix(0, 0)
	f.now = func() time.Time { return now }
	f.jitter = func() float64 { return 0 }
	return &f, &now
}

var errDead = errors.New("dead")

func TestEveryHostIsTriedBeforeAWaitAndWaitsGrowToTheBound(t *testing.T) {
	f, _ := searching(t, "a", "b", "c")
	var hosts []string
	var waits []time.Duration
	for range 15 {
		hosts = append(hosts, f.host())
		waits = append(waits, f.lost(f.host(), 0, errDead).RetryIn/time.Second)
	}
	if want := []string{"a", "b", "c"}; !slices.Equal(hosts[:3], want) || !slices.Equal(hosts[12:], want) {
		t.Errorf("hosts %v", hosts)
	}
	if want := []time.Duration{0, 0, 1, 0, 0, 2, 0, 0, 4, 0, 0, 8, 0, 0, 10}; !slices.Equal(waits, want) {
		t.Errorf("waits %d s, want %d s", waits, want)
	}
}

func TestStableConnectionEndsTheGrowthAndAShortOneDoesNot(t *testing.T) {
	f, _ := searching(t, "a", "b")
	for range 10 {
		f.lost(f.host(), 0, errDead)
	}
	if e := f.lost("a", time.Second, errDead); e.RetryIn != 10*time.Second || e.Attempt != 1 {
		t.Errorf("after a connection of a second: %+v", e)
	}
	if e := f.lost("a", time.Hour, errDead); e.RetryIn != 0 || e.Attempt != 1 || f.host() != "a" {
		t.Errorf("after a connection of an hour: %+v, next %s", e, f.host())
	}
	f.lost("a", 0, errDead)
	if e := f.lost("b", 0, errDead); e.RetryIn != time.Second || e.Attempt != 3 {
		t.Errorf("the first wait after a stable connection: %+v", e)
	}
}

func TestConflictStaysAtItsHostWithShortWaitsUntilPatienceEnds(t *testing.T) {
	f, now := searching(t, "a", "b")
	conflict := &ServerError{Message: "Broker: b - Client: X already connected from tcp://127.0.0.1:1"}
	suspected := time.Duration(0)
	for range 100 {
		e := f.lost(f.host(), 0, conflict)
		if f.host() != "a" || e.RetryIn > 5*time.Second || e.RetryIn < time.Second {
			t.Fatalf("next host %s in %v", f.host(), e.RetryIn)
		}
		if e.PossibleSecondCopy && suspected == 0 {
			suspected = now.Sub(time.Unix(0, 0))
		}
		*now = now.Add(e.RetryIn)
	}
	if suspected <= 50*time.Second || suspected > 56*time.Second {
		t.Errorf("a second copy was suspected after %v, want five heart-beats", suspected)
	}
	f.lost("a", time.Second, errDead) // it got in
	if e := f.lost("a", 0, conflict); e.PossibleSecondCopy {
		t.Error("a new conflict was suspected at once")
	}
}

func TestJitterTakesAtMostHalfOfAWait(t *testing.T) {
	f, _ := searching(t, "a")
	f.jitter = func() float64 { return 0.999 }
	if d := f.lost("a", 0, errDead).RetryIn; d < 500*time.Millisecond || d > 510*time.Millisecond {
		t.Errorf("waits %v", d)
	}
}

func TestClientIDConflictIsKnownByItsWords(t *testing.T) {
	for text, want := range map[string]bool{
		"Broker: b1 - Client: X already connected from tcp://127.0.0.1:55310": true,
		"client ID X is already in use":                                       true,
		"User name [repl] or password is invalid.":                            false,
		"Durable consumer is in use for client: X and subscriptionName: n":    false,
	} {
		if got := IsClientIDInUse(&ConnectionError{Err: &ServerError{Message: text}}); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if IsClientIDInUse(errDead) || IsClientIDInUse(nil) {
		t.Error("an error that is not the broker's counts as a conflict")
	}
}

func TestHeartBeatsAgreeOnTheSlowerOfEachDirection(t *testing.T) {
	const own = 10 * time.Second
	for header, want := range map[string]beats{
		"":            {},
		"0,0":         {},
		"20000,5000":  {send: own, expect: 20 * time.Second},
		"5000,20000":  {send: 20 * time.Second, expect: own},
		"0,1":         {send: own},
		"1,0":         {expect: own},
		"10000,10000": {send: own, expect: own},
	} {
		if got, err := agree(own, header); err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", header, got, err, want)
		}
	}
	for _, header := range []string{"1", "a,b", "-1,0", "1,99999999999"} {
		if got, err := agree(own, header); err == nil {
			t.Errorf("%q was taken for %+v", header, got)
		}
	}
	if got, err := agree(0, "1000,1000"); err != nil || got != (beats{}) {
		t.Errorf("a side without heart-beats agreed on %+v, %v", got, err)
	}
}

func TestSilenceAllowsForTheBrokersSkippedBeat(t *testing.T) {
	for beat, want := range map[time.Duration]time.Duration{
		0: 0, 100 * time.Millisecond: 700 * time.Millisecond, 10 * time.Second: 25 * time.Second,
	} {
		if got := (beats{expect: beat}).silence(); got != want {
			t.Errorf("with a heart-beat of %v silence may last %v, want %v", beat, got, want)
		}
	}
}

func TestProfileFollowsTheServerHeader(t *testing.T) {
	for server, want := range map[string]string{
		"ActiveMQ/5.17.2": "activemq", "Vesper/1.0": "activemq", "RabbitMQ/3.10.8": "rabbitmq", "coilmq/1.0": "coilmq",
		"ActiveMQ-Artemis/2.28.0 ActiveMQ Artemis Messaging Engine": "artemis", "": "generic", "other": "generic",
		"MorbidQ": "morbidq",
	} {
		if got := ProfileOf(server).Name; got != want {
			t.Errorf("%q is taken for %s, want %s", server, got, want)
		}
		if p, err := ProfileNamed(want); err != nil || p.Name != want {
			t.Errorf("profile %s: %v, %v", want, p.Name, err)
		}
	}
	if _, err := ProfileNamed("kafka"); err == nil {
		t.Error("a profile that does not exist was found")
	}
}

func TestAckModeFallsBackToWhatTheBrokerHas(t *testing.T) {
	for _, c := range []struct {
		p            Profile
		wanted, want AckMode
	}{
		{ActiveMQ(), AckClientIndividual, AckClientIndividual},
		{CoilMQ(), AckClientIndividual, AckClient},
		{MorbidQ(), AckClientIndividual, AckAuto},
		{MorbidQ(), AckClient, AckAuto},
		{Generic(), AckAuto, AckAuto},
	} {
		if got := c.p.ackMode(c.wanted); got != c.want {
			t.Errorf("%s: %v became %v, want %v", c.p.Name, c.wanted, got, c.want)
		}
	}
}

// TestOwnSelectorNeverChanges: ActiveMQ discards a backlog when the text differs by an octet.
func TestOwnSelectorNeverChanges(t *testing.T) {
	if got := NotFrom("0B"); got != "clientid <> '0B'" {
		t.Errorf("got %s", got)
	}
	if got := NotFrom("o'x"); got != "clientid <> 'o''x'" {
		t.Errorf("got %s", got)
	}
}
