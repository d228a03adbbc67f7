package nodeconfig

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
	"vesperdb.io/vesper/internal/branch"
)

func pick[T any](t *rapid.T, name string, from ...T) T { return rapid.SampledFrom(from).Draw(t, name) }

var texts = rapid.StringMatching(`[a-zA-Z0-9/._ :#'"\-~@%&*!|>{}\[\],?é]{1,20}`)

// configs generates valid configurations with every key anywhere in its range.
func configs() *rapid.Generator[Config] {
	return rapid.Custom(func(t *rapid.T) Config {
		c := Default()
		c.TrunkID = branch.ID(pick(t, "trunk", "0A", "NO", "1E", "ON"))
		c.BranchID = max(c.TrunkID, branch.ID(pick(t, "branch", "NO", "ON", "ZZ", "YY")))
		c.StoragePath = strings.ReplaceAll(texts.Draw(t, "path"), "://", "-")
		c.Listen = pick(t, "listen", ":8000", "127.0.0.1:0", "[::]:9")
		c.ConflictPolicy, c.VolumeIdentity = pick(t, "policy", policies...), pick(t, "volume", volumes...)
		c.MembersFile = pick(t, "members", "", "/etc/vesper/members", "a b")
		if c.MembersFile != "" {
			c.Retention = Retention(pick(t, "retention", time.Duration(Forever), time.Hour, 90*time.Minute, 87600*time.Hour))
		}
		c.Compaction.Threshold = pick(t, "threshold", 0, 0.1, 0.25, 0.5, 0.95)
		c.Compaction.MinFree = rapid.Int64Range(0, 1<<40).Draw(t, "minFree")
		c.Compaction.Rate = rapid.Int64Range(MinCompactionRate, 1<<40).Draw(t, "rate")
		c.Beacon.Interval = time.Duration(rapid.Int64Range(int64(MinBeaconInterval), int64(MaxBeaconInterval)).Draw(t, "interval"))
		c.Beacon.Window = time.Duration(rapid.Int64Range(int64(MinBeaconWindow), int64(MaxBeaconInterval)).Draw(t, "window"))
		c.Limits.RequestBytes = rapid.Int64Range(MinRequestBytes, MaxRequestBytes).Draw(t, "bytes")
		c.Limits.QueryRows = rapid.Int64Range(1, 1<<40).Draw(t, "rows")
		c.Limits.QueryTime = time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(time.Hour)).Draw(t, "time"))
		c.ShutdownGrace = time.Duration(rapid.Int64Range(0, int64(MaxShutdownGrace)).Draw(t, "grace"))
		for i := range rapid.IntRange(0, 3).Draw(t, "indexes") {
			c.Indexes = append(c.Indexes, Index{Property: fmt.Sprint(texts.Draw(t, "property"), i)})
		}
		c.Log = Log{Level: pick(t, "level", levels...), Format: pick(t, "format", formats...)}
		if rapid.Bool().Draw(t, "list of links") {
			c.Links = links(t)
			c.settleWires()
			return c
		}
		if n := rapid.IntRange(0, MaxHosts).Draw(t, "hosts"); n > 0 {
			for i := range n {
				c.ReplicationHosts = append(c.ReplicationHosts, fmt.Sprintf("h%d:%d", i, 61613))
			}
			c.ReplicationChannel = rapid.StringMatching(`[0-9][0-9_]{0,3}|[A-Z_]{1,64}|null|true|1e3`).Draw(t, "channel")
		}
		c.SendSTOMPAck = rapid.Bool().Draw(t, "ack")
		c.Wire = pick(t, "wire", WirePacked, WireVesper)
		c.ModelURI = pick(t, "model", DefaultModelURI, "", "test:", "http://example.com/#x")
		c.Broker = brokers(t)
		c.settleWires()
		return c
	})
}

// settleWires takes back what does not go together with a wire of the original.
func (c *Config) settleWires() {
	if !c.Legacy() {
		return
	}
	c.Retention = Forever
	for i := range c.Links {
		if len(c.Links) > 1 {
			c.Links[i].Wire = WirePacked
		}
	}
}

func links(t *rapid.T) (out []Link) {
	for i := range rapid.IntRange(1, 4).Draw(t, "links") {
		l := Link{
			Name: fmt.Sprintf("link-%d", i), Hosts: []string{fmt.Sprintf("h%d:1", i)}, Channel: pick(t, "channel", "A", "b_2", "null", "true"),
			SendSTOMPAck: rapid.Bool().Draw(t, "ack"), Relay: rapid.Bool().Draw(t, "relay"), Wire: pick(t, "wire", WirePacked, WireVesper), Broker: brokers(t),
		}
		out = append(out, l)
	}
	return out
}

func brokers(t *rapid.T) Broker {
	b := Broker{Flavor: pick(t, "flavor", flavors...), HeartBeat: pick(t, "beat", 0, time.Second, 10*time.Second),
		MaxMessage: pick(t, "maxMessage", 0, int64(MinMessage), 5<<20, MaxMessage), VirtualHost: pick(t, "virtualHost", "", "/", "a: b")}
	if rapid.Bool().Draw(t, "credentials") {
		b.UsernameFile, b.PasswordFile = "u/"+texts.Draw(t, "u"), "p/"+texts.Draw(t, "p")
	}
	if rapid.Bool().Draw(t, "tls") {
		b.TLS = &TLS{}
		if rapid.Bool().Draw(t, "certificate") {
			b.TLS.CertFile, b.TLS.KeyFile = "c/"+texts.Draw(t, "c"), "k/"+texts.Draw(t, "k")
		}
		b.TLS.CAFile = pick(t, "ca", "", "/etc/ca.pem")
		b.TLS.ServerName = pick(t, "name", "", "mq")
	}
	return b
}

func TestRenderedFilesLoadAsTheSameConfiguration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := configs().Draw(t, "config")
		text, err := Render(want)
		if err != nil {
			t.Fatalf("rendering %+v: %v", want, err)
		}
		got, err := Parse("f", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("unexpected configuration (-want +got):\n%s\n%s", diff, text)
		}
		again, err := Render(got)
		if err != nil || !bytes.Equal(text, again) {
			t.Fatalf("rendering twice gave different bytes (%v):\n%s\n%s", err, text, again)
		}
	})
}

// TestRenderGolden holds the very bytes: they go into a hash that decides
// whether a pod restarts, so they must not change between releases.
func TestRenderGolden(t *testing.T) {
	c := Default()
	c.BranchID, c.TrunkID, c.StoragePath = "0B", "0A", "/var/lib/vesper"
	c.ReplicationHosts, c.ReplicationChannel = []string{"mq:61613"}, "VESPER_DATA"
	c.Broker.UsernameFile, c.Broker.PasswordFile = "/etc/vesper/broker/username", "/etc/vesper/broker/password"
	got, err := Render(c)
	if err != nil {
		t.Fatal(err)
	}
	want := `branchId: "0B"
trunkId: "0A"
saveHistory: true
storage_path: /var/lib/vesper
listen: :8000
replication_hosts:
  - mq:61613
replication_channel: VESPER_DATA
broker:
  usernameFile: /etc/vesper/broker/username
  passwordFile: /etc/vesper/broker/password
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("unexpected file (-want +got):\n%s", diff)
	}
}

func TestRenderQuotesIDsThatYAMLWouldMistake(t *testing.T) {
	c := Default()
	c.BranchID, c.TrunkID, c.StoragePath = "NO", "NO", "d"
	got, err := Render(c)
	if err != nil || !strings.Contains(string(got), `branchId: "NO"`) {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestRenderRefusesAnInvalidConfiguration(t *testing.T) {
	c := Default()
	c.BranchID, c.TrunkID, c.StoragePath = "0B", "00A", "d"
	if text, err := Render(c); err == nil || !strings.Contains(err.Error(), "configuration: branchId: ") {
		t.Errorf("got %s, %v", text, err)
	}
}

func TestDefaultIsValidOnceIdentityIsGiven(t *testing.T) {
	c := Default()
	c.BranchID, c.TrunkID, c.StoragePath = "0A", "0A", "d"
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte("branchId: &a {b: *a}"))
	f.Add([]byte("broker: &b {tls: *b}"))
	f.Add([]byte("? [a]\n: b\n"))
	f.Add([]byte("<<: {branchId: 0A}\n"))
	f.Add([]byte(minimal + "links: [{name: a, hosts: [b:1], channel: C}, {name: d, hosts: [e:1], channel: C, relay: false}]\n"))
	f.Add([]byte(minimal + "links: [[]]\ncompaction: {threshold: 1e-1}\nretention: forever\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f", data)
		if err != nil {
			return
		}
		text, err := Render(c)
		if err != nil {
			t.Fatalf("accepted what cannot be rendered: %v", err)
		}
		if got, err := Parse("f", text); err != nil || !cmp.Equal(c, got) {
			t.Fatalf("round trip of %q: %v\n%s", data, err, text)
		}
	})
}

// TestRenderGoldenOfARelay holds the bytes of a file with a list of links.
func TestRenderGoldenOfARelay(t *testing.T) {
	c := Default()
	c.BranchID, c.TrunkID, c.StoragePath = "0B", "0A", "/data"
	c.Retention, c.MembersFile, c.ConflictPolicy, c.VolumeIdentity = Retention(720*time.Hour), "/etc/vesper/members/ids", ConflictKeepBoth, VolumeNone
	c.Compaction.Threshold = 0
	core, site := DefaultLink(), DefaultLink()
	core.Name, core.Hosts, core.Channel = MainLink, []string{"mq:61613"}, "SHOP"
	site.Name, site.Hosts, site.Channel, site.Relay, site.Wire = "site", []string{"mq-12:61613"}, "SHOP", false, WirePacked
	site.Broker.TLS, site.Broker.MaxMessage = &TLS{CAFile: "/ca"}, 4<<20
	c.Links = []Link{core, site}
	got, err := Render(c)
	if err != nil {
		t.Fatal(err)
	}
	want := `branchId: "0B"
trunkId: "0A"
saveHistory: true
storage_path: /data
listen: :8000
links:
  - name: main
    hosts:
      - mq:61613
    channel: SHOP
  - name: site
    hosts:
      - mq-12:61613
    channel: SHOP
    relay: false
    maxMessage: 4194304
    tls:
      caFile: /ca
conflictPolicy: keepBoth
retention: 720h0m0s
membersFile: /etc/vesper/members/ids
volumeIdentity: none
compaction:
  threshold: 0.0
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("unexpected file (-want +got):\n%s", diff)
	}
}
