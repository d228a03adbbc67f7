package nodeconfig

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// minimal is the least a file must say.
const minimal = "branchId: 0B\nstorage_path: /data\n"

func TestParseMinimalFileGetsDefaults(t *testing.T) {
	got, err := Parse("f", []byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.BranchID, want.TrunkID, want.StoragePath = "0B", "0A", "/data"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unexpected configuration (-want +got):\n%s", diff)
	}
	if got.Replicates() {
		t.Error("a file without hosts replicates")
	}
}

func TestParseWholeFile(t *testing.T) {
	got, err := Parse("f", []byte(`
branchId: 00C
trunkId: 00A
saveHistory: true
storage_path: /var/lib/vesper
listen: 127.0.0.1:9000
replication_hosts:
  - mq-0.example.com:61613
  - "[::1]:61613"
replication_channel: SHOP
send_stomp_ack: false
wire: packed
model_uri: http://example.com/
conflictPolicy: earliest
retention: 48h
membersFile: /etc/vesper/members
volumeIdentity: none
compaction:
  threshold: 0.25
  minFree: 1Gi
  rate: 32Mi
indexes:
- property: year
- {property: "http://example.com/a b"}
broker:
  maxMessage: 4Mi
  virtualHost: shop
  flavor: activemq
  usernameFile: /etc/vesper/auth/username
  passwordFile: /etc/vesper/auth/password
  heartBeat: 5s
  tls:
    caFile: /etc/vesper/ca.pem
    certFile: /etc/vesper/tls.crt
    keyFile: /etc/vesper/tls.key
    serverName: mq.example.com
beacon:
  interval: 7s
  window: 2500ms
limits:
  requestBytes: 1Mi
  queryRows: 500
  queryTime: 2s
  connections: 99
access:
  anonymous: read
  openMetrics: true
  tokens:
  - {name: app, role: write, file: /etc/vesper/tokens/app}
tls:
  certFile: /etc/vesper/server/tls.crt
  keyFile: /etc/vesper/server/tls.key
  clientCAFile: /etc/vesper/server/ca.crt
audit:
  to: /var/log/vesper/audit.log
  maxBytes: 1Mi
  keep: 2
shutdownGrace: 45s
log:
  level: debug
  format: text
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		BranchID: "00C", TrunkID: "00A", SaveHistory: true, StoragePath: "/var/lib/vesper", Listen: "127.0.0.1:9000",
		ReplicationHosts: []string{"mq-0.example.com:61613", "[::1]:61613"}, ReplicationChannel: "SHOP", Wire: WirePacked, ModelURI: "http://example.com/",
		ConflictPolicy: ConflictEarliest, Retention: Retention(48 * time.Hour), MembersFile: "/etc/vesper/members", VolumeIdentity: VolumeNone,
		Compaction: Compaction{Threshold: 0.25, MinFree: 1 << 30, Rate: 32 << 20},
		Indexes:    []Index{{Property: "year"}, {Property: "http://example.com/a b"}},
		Broker: Broker{
			MaxMessage: 4 << 20, VirtualHost: "shop", Flavor: FlavorActiveMQ, UsernameFile: "/etc/vesper/auth/username", PasswordFile: "/etc/vesper/auth/password", HeartBeat: 5 * time.Second,
			TLS: &TLS{CAFile: "/etc/vesper/ca.pem", CertFile: "/etc/vesper/tls.crt", KeyFile: "/etc/vesper/tls.key", ServerName: "mq.example.com"},
		},
		Beacon:        Beacon{Interval: 7 * time.Second, Window: 2500 * time.Millisecond},
		Limits:        Limits{RequestBytes: 1 << 20, QueryRows: 500, QueryTime: 2 * time.Second, Connections: 99},
		Access:        Access{Anonymous: "read", OpenMetrics: true, Tokens: []Token{{Name: "app", Role: "write", File: "/etc/vesper/tokens/app"}}},
		TLS:           &ServerTLS{CertFile: "/etc/vesper/server/tls.crt", KeyFile: "/etc/vesper/server/tls.key", ClientCAFile: "/etc/vesper/server/ca.crt"},
		Audit:         Audit{To: "/var/log/vesper/audit.log", MaxBytes: 1 << 20, Keep: 2},
		ShutdownGrace: 45 * time.Second,
		Log:           Log{Level: "debug", Format: "text"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unexpected configuration (-want +got):\n%s", diff)
	}
}

func TestParseListOfLinksGivesEachItsDefaults(t *testing.T) {
	got, err := Parse("f", []byte(minimal+`
links:
  - name: core
    hosts: mq-0:61613, mq-1:61613
    channel: SHOP
  - {name: site, hosts: ["[::1]:61613"], channel: SHOP, relay: false, wire: packed, flavor: rabbitmq, send_stomp_ack: false,
     usernameFile: u, passwordFile: p, heartBeat: 1s, maxMessage: 2Mi, virtualHost: /v, tls: {caFile: c}}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Link{
		{Name: "core", Hosts: []string{"mq-0:61613", "mq-1:61613"}, Channel: "SHOP", SendSTOMPAck: true, Wire: WirePacked, Relay: true,
			Broker: Broker{Flavor: FlavorAuto, HeartBeat: 10 * time.Second}},
		{Name: "site", Hosts: []string{"[::1]:61613"}, Channel: "SHOP", Wire: WirePacked,
			Broker: Broker{Flavor: FlavorRabbitMQ, UsernameFile: "u", PasswordFile: "p", HeartBeat: time.Second, MaxMessage: 2 << 20, VirtualHost: "/v", TLS: &TLS{CAFile: "c"}}},
	}
	if diff := cmp.Diff(want, got.AllLinks()); diff != "" {
		t.Errorf("unexpected links (-want +got):\n%s", diff)
	}
	if !got.Replicates() {
		t.Error("a node with links does not replicate")
	}
}

func TestTheKeysOfOneLinkMakeTheMainLinkThatPassesNothingOn(t *testing.T) {
	c, err := Parse("f", []byte(minimal+"replication_hosts: [mq:1]\nreplication_channel: C\nsend_stomp_ack: false\nbroker: {flavor: coilmq}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Link{{Name: "main", Hosts: []string{"mq:1"}, Channel: "C", Wire: WirePacked, Broker: Broker{Flavor: FlavorCoilMQ, HeartBeat: 10 * time.Second}}}
	if diff := cmp.Diff(want, c.AllLinks()); diff != "" {
		t.Errorf("unexpected links (-want +got):\n%s", diff)
	}
	if got := (Config{}).AllLinks(); len(got) != 0 {
		t.Errorf("a node that stands alone has links: %v", got)
	}
}

func TestParseAcceptsOtherSpellings(t *testing.T) {
	tests := map[string]struct {
		text  string
		check func(Config) bool
	}{
		"the original's names":           {"branch_id: 0C\ntrunk_id: 0B\nsave_history: true\nstorage_path: d\n", func(c Config) bool { return c.BranchID == "0C" && c.TrunkID == "0B" && c.SaveHistory }},
		"hosts as one text":              {minimal + "replication_hosts: a:1, b:2\nreplication_channel: C\n", func(c Config) bool { return cmp.Equal(c.ReplicationHosts, []string{"a:1", "b:2"}) }},
		"an empty host list":             {minimal + "replication_hosts: []\n", func(c Config) bool { return !c.Replicates() && c.ReplicationHosts == nil }},
		"no host list":                   {minimal + "replication_hosts:\n", func(c Config) bool { return !c.Replicates() }},
		"an empty section":               {minimal + "broker:\nlog: {}\n", func(c Config) bool { return c.Broker == Default().Broker }},
		"an empty tls section is on":     {minimal + "broker: {tls: {}}\n", func(c Config) bool { return c.Broker.TLS != nil }},
		"an id YAML 1.1 calls a boolean": {"branchId: NO\nstorage_path: d\n", func(c Config) bool { return c.BranchID == "NO" }},
		"a longer id's trunk":            {"branchId: 000B\nstorage_path: d\n", func(c Config) bool { return c.TrunkID == "000A" }},
		"sizes as text":                  {minimal + "limits: {requestBytes: \"2Mi\"}\n", func(c Config) bool { return c.Limits.RequestBytes == 2<<20 }},
		"a duration of zero":             {minimal + "broker: {heartBeat: 0}\n", func(c Config) bool { return c.Broker.HeartBeat == 0 }},
		"an alias":                       {"branchId: &id 0B\ntrunkId: *id\nstorage_path: d\n", func(c Config) bool { return c.TrunkID == "0B" }},
		"retention for ever":             {minimal + "retention: forever\n", func(c Config) bool { return c.Retention == Forever }},
		"an empty list of links":         {minimal + "links: []\n", func(c Config) bool { return !c.Replicates() }},
		"no list of links":               {minimal + "links:\n", func(c Config) bool { return !c.Replicates() }},
		"compaction off":                 {minimal + "compaction: {threshold: 0}\n", func(c Config) bool { return c.Compaction.Threshold == 0 }},
		"a list of links by an alias":    {minimal + "links: &l [{name: a, hosts: &h [b:1], channel: C}]\n", func(c Config) bool { return len(c.Links) == 1 }},
		"any free port":                  {minimal + "listen: 127.0.0.1:0\n", func(c Config) bool { return c.Listen == "127.0.0.1:0" }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := Parse("f", []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if !tt.check(c) {
				t.Errorf("got %+v", c)
			}
		})
	}
}

// TestParseNamesTheKeyTheLineAndTheRemedy is the specification of what a person
// reads after a slip of the hand.
func TestParseNamesTheKeyTheLineAndTheRemedy(t *testing.T) {
	replicating := minimal + "replication_hosts: [mq:61613]\nreplication_channel: C\n"
	tests := map[string]struct{ text, want string }{
		"mistyped key":             {minimal + "replication_host: mq:1\n", `f: line 3: unknown key "replication_host": did you mean "replication_hosts"?`},
		"key in other case":        {"branchID: 0B\nbranchId: 0B\nstorage_path: d\n", `f: line 1: unknown key "branchID": did you mean "branchId"?`},
		"mistyped nested key":      {minimal + "broker:\n  flavr: auto\n", `f: line 4: unknown key "broker.flavr": did you mean "broker.flavor"?`},
		"key in the wrong section": {minimal + "caFile: x\n", `f: line 3: unknown key "caFile": did you mean "broker.tls.caFile"?`},
		"nothing like any key":     {minimal + "beacon: {zzzzzzzzzzzzzz: 1}\n", `f: line 3: unknown key "beacon.zzzzzzzzzzzzzz": known here are interval, window`},
		"the original's port":      {minimal + "port: 8000\n", `f: line 3: unknown key "port": write listen: ":8000"`},
		"a password in the file":   {minimal + "broker: {password: hunter2}\n", `f: line 3: unknown key "broker.password": put the password into a file and name it in broker.passwordFile`},
		"key twice":                {minimal + "branchId: 0C\n", `f: line 3: branchId: given twice, first in line 1: remove one`},
		"key under both spellings": {minimal + "branch_id: 0C\n", `f: line 3: branchId: given twice, as branchId in line 1 and as branch_id, which mean the same: remove one`},

		"missing branch id":    {"storage_path: d\n", `f: branchId: missing: give the node an id of its own, unique for ever, such as 0A`},
		"missing storage path": {"branchId: 0B\n", `f: storage_path: missing: name the directory that holds the node's store`},
		"branch id of digits":  {"branchId: 12\nstorage_path: d\n", `f: line 1: branchId: branch id "12" ends with a digit: the last character must be a letter A to Z`},
		"branch id too short":  {"branchId: A\nstorage_path: d\n", `f: line 1: branchId: branch id "A" has 1 characters: it must have 2 to `},
		"no branch id":         {"branchId:\nstorage_path: d\n", `f: line 1: branchId: want a branch id such as 0A, got nothing`},
		"widths differ":        {minimal + "trunkId: 00A\n", `f: line 1: branchId: branch id "0B" has 2 characters and trunk id "00A" has 3: all ids of a system have the same width`},
		"below the trunk":      {"branchId: 0B\ntrunkId: 0C\nstorage_path: d\n", `f: line 1: branchId: branch id "0B" is below trunk id "0C": the trunk is the lowest id of a system`},
		"bad trunk":            {minimal + "trunkId: 0a\n", `f: line 3: trunkId: branch id "0a" contains 'a': only digits and the letters A to Z are allowed`},

		"history off, replicating": {replicating + "saveHistory: false\n", `f: line 5: saveHistory: false is not possible, since replication needs the history of every change: write saveHistory: true or leave the key out`},
		"history off, alone":       {minimal + "saveHistory: false\n", `f: line 3: saveHistory: false is not possible, since a node always keeps its history: write saveHistory: true or leave the key out`},
		"history split":            {minimal + "saveHistory: split\n", `f: line 3: saveHistory: want true or false, got text`},
		"storage URL":              {"branchId: 0B\nstorage_path: file:///d\n", `f: line 2: storage_path: looks like a URL: write the path of a directory`},
		"storage path of a number": {"branchId: 0B\nstorage_path: 12\n", `f: line 2: storage_path: want text, got a number`},
		"listen without a colon":   {minimal + "listen: \"8000\"\n", `f: line 3: listen: "8000" is not an address: write ":8000" or "127.0.0.1:8000"`},
		"listen beyond ports":      {minimal + "listen: :80000\n", `f: line 3: listen: ":80000" is not an address: write ":8000" or "127.0.0.1:8000"`},

		"host without port":     {minimal + "replication_hosts: [mq]\nreplication_channel: C\n", `f: line 3: replication_hosts: address 1: "mq" is not host:port: write it like mq.example.com:61613 or [::1]:61613`},
		"host as URL":           {minimal + "replication_hosts: [stomp://mq:61613]\nreplication_channel: C\n", `f: line 3: replication_hosts: address 1: "stomp://mq:61613" looks like a URL: write host:port, such as mq.example.com:61613`},
		"host with credentials": {minimal + "replication_hosts: [u:hunter2@mq:61613]\nreplication_channel: C\n", `f: line 3: replication_hosts: address 1: holds a user name: credentials belong into files, named in broker.usernameFile and broker.passwordFile`},
		"host twice":            {minimal + "replication_hosts: [mq:1, mq:1]\nreplication_channel: C\n", `f: line 3: replication_hosts: address 2: "mq:1" is there twice`},
		"host of port 0":        {minimal + "replication_hosts: [mq:0]\nreplication_channel: C\n", `f: line 3: replication_hosts: address 1: "mq:0" has no port from 1 to 65535`},
		"hosts as pairs":        {minimal + "replication_hosts: [[mq, 1]]\nreplication_channel: C\n", `f: line 3: replication_hosts: want a list of host:port, got a list in it`},
		"hosts as a number":     {minimal + "replication_hosts: 5\n", `f: line 3: replication_hosts: want a list of host:port, got a number`},
		"no channel":            {minimal + "replication_hosts: [mq:1]\n", `f: replication_channel: missing: replication_hosts needs the name of the channel, such as VESPER_DATA`},
		"no hosts":              {minimal + "replication_channel: C\n", `f: line 3: replication_channel: given without replication_hosts: name the broker's hosts, or remove it to run without a broker`},
		"channel with a slash":  {replicating[:len(replicating)-2] + "/topic/x\n", `f: line 4: replication_channel: "/topic/x" is not a channel`},
		"channel of beacons":    {replicating[:len(replicating)-2] + "X.beacon\n", `f: line 4: replication_channel: "X.beacon" is a name that the nodes of another channel use`},
		"channel of sync":       {replicating[:len(replicating)-2] + "X.sync.0A\n", `f: line 4: replication_channel: "X.sync.0A" is a name that the nodes of another channel use`},
		"unknown wire":          {minimal + "wire: json\n", `f: line 3: wire: "json" is unknown: it must be packed or vesper`},
		"unknown flavor":        {minimal + "broker: {flavor: kafka}\n", `f: line 3: broker.flavor: "kafka" is unknown: it must be one of auto, activemq, artemis, rabbitmq, coilmq, morbidq, generic`},
		"user without password": {minimal + "broker: {usernameFile: u}\n", `f: line 3: broker.usernameFile: given without broker.passwordFile: give both or none`},
		"password without user": {minimal + "broker: {passwordFile: u}\n", `f: line 3: broker.passwordFile: given without broker.usernameFile: give both or none`},
		"one file for both":     {minimal + "broker: {usernameFile: u, passwordFile: ./u}\n", `f: line 3: broker.passwordFile: names the same file as broker.usernameFile`},
		"certificate, no key":   {minimal + "broker:\n  tls:\n    certFile: x\n", `f: line 5: broker.tls.certFile: given without broker.tls.keyFile: give both or none`},

		"number for a section":     {minimal + "broker: 5\n", `f: line 3: broker: want keys and values, got a number`},
		"list for the file":        {"- a\n", `f: line 1: want keys and values, got a list`},
		"text for a number":        {minimal + "limits: {requestBytes: lots}\n", `f: line 3: limits.requestBytes: want a whole number such as 1048576 or 1Mi, got text`},
		"size beyond 64 bits":      {minimal + "limits: {requestBytes: 9223372036854775807Ki}\n", `f: line 3: limits.requestBytes: want a whole number such as 1048576 or 1Mi, got text`},
		"size out of range":        {minimal + "limits: {requestBytes: 5}\n", `f: line 3: limits.requestBytes: 5 is out of range: 1024 to 1073741824`},
		"no rows":                  {minimal + "limits: {queryRows: 0}\n", `f: line 3: limits.queryRows: 0 is out of range: 1 to `},
		"bare number for duration": {minimal + "shutdownGrace: 20\n", `f: line 3: shutdownGrace: want a duration with its unit such as 10s or 500ms, got a bare number`},
		"text for a duration":      {minimal + "shutdownGrace: soon\n", `f: line 3: shutdownGrace: want a duration such as 10s or 500ms, got text`},
		"negative duration":        {minimal + "shutdownGrace: -1s\n", `f: line 3: shutdownGrace: -1s is out of range: 0s to 1h0m0s`},
		"beacon too fast":          {minimal + "beacon: {interval: 1ms}\n", `f: line 3: beacon.interval: 1ms is out of range: 50ms to 10m0s`},
		"window too short":         {minimal + "beacon: {window: 500ms}\n", `f: line 3: beacon.window: 500ms is out of range: 2s to 10m0s`},
		"heart-beat too fast":      {minimal + "broker: {heartBeat: 1ms}\n", `f: line 3: broker.heartBeat: 1ms is out of range: 100ms to 10m, or 0 for none`},
		"text for a boolean":       {minimal + "send_stomp_ack: \"true\"\n", `f: line 3: send_stomp_ack: want true or false, got text`},
		"unknown level":            {minimal + "log: {level: trace}\n", `f: line 3: log.level: "trace" is unknown: it must be one of debug, info, warn, error`},
		"unknown format":           {minimal + "log: {format: xml}\n", `f: line 3: log.format: "xml" is unknown: it must be one of json, text`},
		"control character":        {"branchId: 0B\nstorage_path: \"a\\u0000b\"\n", `f: line 2: storage_path: holds a control character or broken UTF-8`},

		"unknown policy":          {minimal + "conflictPolicy: newest\n", `f: line 3: conflictPolicy: "newest" is unknown: it must be one of latest, earliest, keepBoth`},
		"short retention":         {minimal + "retention: 5m\n", `f: line 3: retention: 5m0s is too short: at least 1h0m0s, or forever`},
		"no retention":            {minimal + "retention: 0s\n", `f: line 3: retention: want forever or a duration such as 720h, got zero`},
		"retention of words":      {minimal + "retention: a while\n", `f: line 3: retention: want forever or a duration with its unit such as 720h, got text`},
		"retention, no members":   {replicating + "retention: 24h\n", `f: line 5: retention: given without membersFile: a changeset may leave the log only when every member has it`},
		"unknown volume identity": {minimal + "volumeIdentity: uuid\n", `f: line 3: volumeIdentity: "uuid" is unknown: it must be one of inode, none`},
		"threshold in percent":    {minimal + "compaction: {threshold: 50}\n", `f: line 3: compaction.threshold: 50 is out of range: 0.1 to 0.95, or 0 for never`},
		"threshold of words":      {minimal + "compaction: {threshold: half}\n", `f: line 3: compaction.threshold: want a fraction such as 0.5, got text`},
		"copying far too slowly":  {minimal + "compaction: {rate: 1Ki}\n", `f: line 3: compaction.rate: 1024 is out of range: 1048576 to `},
		"tiny messages":           {minimal + "broker: {maxMessage: 1Ki}\n", `f: line 3: broker.maxMessage: 1024 is out of range: 65536 to 1073741824, or 0 for what the broker takes by default`},

		"links that are no list":      {minimal + "links: {name: a}\n", `f: line 3: links: want a list of links, got keys and values`},
		"a link that is a text":       {minimal + "links:\n- mq:61613\n", `f: line 4: links[1]: want keys and values, got text`},
		"links beside hosts":          {replicating + "links: [{name: a, hosts: [b:1], channel: C}]\n", `f: line 3: replication_hosts: given beside links: say it in each link instead`},
		"links beside a channel":      {replicating + "links: [{name: a, hosts: [b:1], channel: C}]\n", `f: line 4: replication_channel: given beside links: say it in each link instead`},
		"links beside a broker":       {minimal + "broker: {flavor: activemq}\nlinks: [{name: a, hosts: [b:1], channel: C}]\n", `f: line 3: broker: given beside links: say it in each link instead`},
		"a link without a name":       {minimal + "links:\n- hosts: [b:1]\n  channel: C\n", `f: line 4: links[1].name: missing: give the link a name, such as core`},
		"a link without hosts":        {minimal + "links:\n- name: a\n  channel: C\n", `f: line 4: links[1].hosts: missing: name the broker's addresses`},
		"a link without a channel":    {minimal + "links:\n- name: a\n  hosts: [b:1]\n", `f: line 4: links[1].channel: missing: name the channel, such as VESPER_DATA`},
		"a link's channel of beacons": {minimal + "links:\n- name: a\n  hosts: [b:1]\n  channel: X.beacon\n", `f: line 6: links[1].channel: "X.beacon" is a name that the nodes of another channel use`},
		"a link's broken host":        {minimal + "links:\n- name: a\n  hosts: [b]\n  channel: X\n", `f: line 5: links[1].hosts: address 1: "b" is not host:port`},
		"a mark for a name":           {minimal + "links:\n- name: \"!x\"\n  hosts: [b:1]\n  channel: X\n", `f: line 4: links[1].name: "!x" is not a name: 1 to 32 letters, digits, '_' and '-', starting with a letter or digit`},
		"two links of one name":       {minimal + "links:\n- {name: a, hosts: [b:1], channel: C}\n- {name: a, hosts: [c:1], channel: C}\n", `f: line 5: links[2].name: link 1 is called "a" too`},
		"two links to one channel":    {minimal + "links:\n- {name: a, hosts: [b:1], channel: C}\n- {name: d, hosts: [c:1, b:1], channel: C}\n", `f: line 5: links[2].channel: link 1 has the same channel of the same broker`},
		"a link's unknown key":        {minimal + "links:\n- {name: a, hosts: [b:1], chanel: C}\n", `f: line 4: unknown key "links[1].chanel": did you mean "links[1].channel"?`},
		"a password in a link":        {minimal + "links:\n- {name: a, hosts: [b:1], channel: C, password: hunter2}\n", `f: line 4: unknown key "links[1].password": put the password into a file and name it in links[1].passwordFile`},
		"a link's lonely user":        {minimal + "links:\n- {name: a, hosts: [b:1], channel: C, usernameFile: u}\n", `f: line 4: links[1].usernameFile: given without links[1].passwordFile: give both or none`},

		"indexes that are no list":      {minimal + "indexes: {property: a}\n", `f: line 3: indexes: want a list of indexes, got keys and values`},
		"an index that is a text":       {minimal + "indexes: [year]\n", `f: line 3: indexes[1]: want keys and values, got text`},
		"an index of nothing":           {minimal + "indexes:\n- {}\n", `f: line 4: indexes[1].property: missing: name the property, such as year`},
		"an index of a number":          {minimal + "indexes:\n- property: 1984\n", `f: line 4: indexes[1].property: want text, got a number`},
		"an index's unknown key":        {minimal + "indexes:\n- {propert: year}\n", `f: line 4: unknown key "indexes[1].propert": did you mean "indexes[1].property"?`},
		"two indexes of one property":   {minimal + "indexes:\n- property: a\n- property: b\n- property: a\n", `f: line 6: indexes[3].property: index 1 is of "a" too: remove one`},
		"an index of far too long name": {minimal + "indexes:\n- property: " + strings.Repeat("a", MaxPropertyBytes+1) + "\n", `f: line 4: indexes[1].property: has 2049 bytes: names of properties have at most 2048`},
		"an index of a broken name":     {minimal + "indexes:\n- property: \"a\\u0000\"\n", `f: line 4: indexes[1].property: holds a control character or broken UTF-8`},
		"far too many indexes":          {minimal + "indexes:\n" + manyIndexes(MaxIndexes+1), `f: line 3: indexes: 33 indexes: a node has at most 32`},

		"not YAML":      {"branchId: [\n", `f: not YAML: line `},
		"two documents": {minimal + "---\n" + minimal, `f: the file holds more than one YAML document: a node has one configuration`},
		"far too long":  {strings.Repeat("#", maxFileBytes+1), `f: the file is longer than 1048576 bytes`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := Parse("f", []byte(tt.text))
			if err == nil {
				t.Fatalf("accepted as %+v", c)
			}
			if !cmp.Equal(c, Config{}) {
				t.Errorf("a refused file still gave a configuration: %+v", c)
			}
			first, _, _ := strings.Cut(err.Error(), "\n")
			if !strings.Contains(err.Error(), tt.want) && !strings.Contains(flat(err), tt.want) {
				t.Errorf("unexpected message\n got: %s\nwant: %s", first, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the message shows a secret: %s", err)
			}
		})
	}
}

func manyIndexes(n int) string {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, "- property: p%d\n", i)
	}
	return out.String()
}

// flat writes each problem as if it were the only one, so that the table need
// not repeat the header of several.
func flat(err error) string {
	var e *Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	var b strings.Builder
	for _, p := range e.Problems {
		b.WriteString(e.File + ": " + p.String() + "\n")
	}
	return b.String()
}

func TestParseReportsAllProblemsAtOnceInOrder(t *testing.T) {
	_, err := Parse("node.yaml", []byte("branchId: 0b\nsavehistory: true\nbroker:\n  flavor: kafka\n  tls: 5\nshutdownGrace: 5\n"))
	want := `node.yaml: 6 problems
  storage_path: missing: name the directory that holds the node's store
  line 1: branchId: branch id "0b" contains 'b': only digits and the letters A to Z are allowed
  line 2: unknown key "savehistory": did you mean "saveHistory"?
  line 4: broker.flavor: "kafka" is unknown: it must be one of auto, activemq, artemis, rabbitmq, coilmq, morbidq, generic
  line 5: broker.tls: want keys and values, got a number
  line 6: shutdownGrace: want a duration with its unit such as 10s or 500ms, got a bare number`
	if err == nil {
		t.Fatal("accepted")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("unexpected error (-want +got):\n%s", diff)
	}
	var e *Error
	if !errors.As(err, &e) || len(e.Problems) != 6 || e.Problems[1].Line != 1 || e.Problems[1].Key != "branchId" {
		t.Errorf("problems are not readable by a program: %+v", e)
	}
}

func TestParseEmptyFileSaysWhatIsMissing(t *testing.T) {
	for _, text := range []string{"", "# only a comment\n", "---\n", "null\n"} {
		_, err := Parse("f", []byte(text))
		if err == nil || !strings.Contains(err.Error(), "branchId: missing") || !strings.Contains(err.Error(), "storage_path: missing") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestLoadReadsTheFileAndNamesItInErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.yaml")
	if err := os.WriteFile(path, []byte(minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(path); err != nil || c.BranchID != "0B" {
		t.Errorf("got %+v, %v", c, err)
	}
	if err := os.WriteFile(path, []byte("x: 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error does not name the file: %v", err)
	}
	if _, err := Load(path + ".missing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file gave %v", err)
	}
	if _, err := Load(filepath.Dir(path)); err == nil || !strings.Contains(err.Error(), "reading configuration") {
		t.Errorf("a directory gave %v", err)
	}
}

func TestNearestFindsSlipsAndLeavesTheRestAlone(t *testing.T) {
	names := []string{"branchId", "trunkId", "storage_path", "listen"}
	for s, want := range map[string]string{
		"brnchId": "branchId", "branch-id": "branchId", "storagePath": "storage_path", "Listen": "listen",
		"truncId": "trunkId", "something_else": "", "x": "",
	} {
		if got := nearest(s, names); got != want {
			t.Errorf("nearest(%q) = %q, want %q", s, got, want)
		}
	}
}
