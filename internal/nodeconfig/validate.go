package nodeconfig

import (
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"vesperdb.io/vesper/internal/branch"
)

// The bounds of what a configuration may say.
const (
	// MaxHosts is the most addresses of one broker.
	MaxHosts = 16
	// MinRequestBytes and MaxRequestBytes bound limits.requestBytes.
	MinRequestBytes = 1 << 10
	MaxRequestBytes = 1 << 30
	// MinBeaconInterval and MaxBeaconInterval bound beacon.interval.
	MinBeaconInterval = 50 * time.Millisecond
	MaxBeaconInterval = 10 * time.Minute
	// MinBeaconWindow is the least beacon.window. Peers answer a newcomer within
	// 1.3 s plus the broker's latency; a node that listened for less could take
	// its branch id for unused when it is not.
	MinBeaconWindow = 2 * time.Second
	// MaxShutdownGrace bounds shutdownGrace.
	MaxShutdownGrace = time.Hour
)

var (
	flavors   = []Flavor{FlavorAuto, FlavorActiveMQ, FlavorArtemis, FlavorRabbitMQ, FlavorCoilMQ, FlavorMorbidQ, FlavorGeneric}
	levels    = []string{"debug", "info", "warn", "error"}
	formats   = []string{"json", "text"}
	channelRE = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)
)

// Validate checks the whole configuration without touching files or network. It
// returns nil or an *Error with every problem, each naming its key and a remedy.
func (c Config) Validate() error {
	var p problems
	c.checkIDs(&p)
	c.checkStore(&p)
	c.checkListen(&p)
	c.checkReplication(&p)
	c.Broker.check(&p)
	c.checkBounds(&p)
	c.Log.check(&p)
	checkTexts(&p, &c, "", fileKeys)
	return p.err("")
}

// checkTexts refuses control characters and broken UTF-8 in any text: they come
// from a broken editor or template, and YAML cannot carry all of them.
func checkTexts(p *problems, c *Config, path string, known []key) {
	for _, k := range known {
		full := join(path, k.name)
		switch {
		case k.section != nil && (k.has == nil || k.has(c)):
			checkTexts(p, c, full, k.section)
		case k.section != nil:
		default:
			if s, ok := k.value(c).(*string); ok && !printable(*s) {
				p.add(0, full, "holds a control character or broken UTF-8")
			}
		}
	}
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

func (c Config) checkIDs(p *problems) {
	if c.BranchID == "" {
		p.add(0, "branchId", "missing: give the node an id of its own, unique for ever, such as 0A")
		return
	}
	id, err := branch.ParseID(string(c.BranchID))
	if err != nil {
		p.add(0, "branchId", "%s", err)
		return
	}
	trunk, err := branch.ParseID(string(c.TrunkID))
	switch {
	case err != nil:
		p.add(0, "trunkId", "%s", err)
	case trunk.Width() != id.Width():
		p.add(0, "branchId", "branch id %q has %d characters and trunk id %q has %d: all ids of a system have the same width",
			id, id.Width(), trunk, trunk.Width())
	case id < trunk:
		p.add(0, "branchId", "branch id %q is below trunk id %q: the trunk is the lowest id of a system", id, trunk)
	}
}

func (c Config) checkStore(p *problems) {
	if !c.SaveHistory {
		why := "a node always keeps its history"
		if c.Replicates() {
			why = "replication needs the history of every change"
		}
		p.add(0, "saveHistory", "false is not possible, since %s: write saveHistory: true or leave the key out", why)
	}
	switch {
	case c.StoragePath == "":
		p.add(0, "storage_path", "missing: name the directory that holds the node's store")
	case strings.Contains(c.StoragePath, "://"):
		p.add(0, "storage_path", "looks like a URL: write the path of a directory")
	}
}

func (c Config) checkListen(p *problems) {
	_, port, err := net.SplitHostPort(c.Listen)
	if err != nil || !validPort(port, 0) {
		p.add(0, "listen", `%q is not an address: write ":8000" or "127.0.0.1:8000"`, c.Listen)
	}
}

func (c Config) checkReplication(p *problems) {
	if !slices.Contains([]Wire{WirePacked, WireVesper}, c.Wire) {
		p.add(0, "wire", "%q is unknown: it must be packed or vesper", c.Wire)
	}
	c.checkHosts(p)
	c.checkChannel(p)
}

func (c Config) checkHosts(p *problems) {
	if len(c.ReplicationHosts) > MaxHosts {
		p.add(0, "replication_hosts", "has %d addresses: at most %d are tried", len(c.ReplicationHosts), MaxHosts)
	}
	for i, h := range c.ReplicationHosts {
		if problem := checkHost(h); problem != "" {
			p.add(0, "replication_hosts", "address %d: %s", i+1, problem)
		} else if slices.Contains(c.ReplicationHosts[:i], h) {
			p.add(0, "replication_hosts", "address %d: %q is there twice", i+1, h)
		}
	}
}

// checkHost says what is wrong with "host:port", or "".
func checkHost(h string) string {
	if strings.Contains(h, "@") {
		return "holds a user name: credentials belong into files, named in broker.usernameFile and broker.passwordFile"
	}
	host, port, err := net.SplitHostPort(h)
	switch {
	case strings.Contains(h, "/"):
		return fmt.Sprintf("%q looks like a URL: write host:port, such as mq.example.com:61613", h)
	case err != nil || host == "":
		return fmt.Sprintf("%q is not host:port: write it like mq.example.com:61613 or [::1]:61613", h)
	case !validPort(port, 1):
		return fmt.Sprintf("%q has no port from 1 to 65535", h)
	case strings.ContainsFunc(host, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == utf8.RuneError }):
		return fmt.Sprintf("%q holds a blank or an unprintable character in the host name", h)
	}
	return ""
}

func validPort(s string, lowest int) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= lowest && n <= 65535
}

func (c Config) checkChannel(p *problems) {
	const name = "replication_channel"
	switch {
	case c.ReplicationChannel == "" && c.Replicates():
		p.add(0, name, "missing: replication_hosts needs the name of the channel, such as VESPER_DATA")
	case c.ReplicationChannel == "":
	case !c.Replicates():
		p.add(0, name, "given without replication_hosts: name the broker's hosts, or remove it to run without a broker")
	case !channelRE.MatchString(c.ReplicationChannel):
		p.add(0, name, "%q is not a channel: 1 to 64 letters, digits, '_', '.' and '-', starting with a letter, digit or '_'", c.ReplicationChannel)
	case strings.HasSuffix(c.ReplicationChannel, ".beacon"), strings.Contains(c.ReplicationChannel+".", ".sync."):
		p.add(0, name, "%q is a name that the nodes of another channel use among themselves: choose one without .beacon and .sync", c.ReplicationChannel)
	}
}

func (b Broker) check(p *problems) {
	if !slices.Contains(flavors, b.Flavor) {
		p.add(0, "broker.flavor", "%q is unknown: it must be one of %s", b.Flavor, list(flavors))
	}
	pair(p, "broker.usernameFile", b.UsernameFile, "broker.passwordFile", b.PasswordFile)
	if b.HeartBeat != 0 && (b.HeartBeat < 100*time.Millisecond || b.HeartBeat > 10*time.Minute) {
		p.add(0, "broker.heartBeat", "%s is out of range: 100ms to 10m, or 0 for none", b.HeartBeat)
	}
	if b.TLS != nil {
		pair(p, "broker.tls.certFile", b.TLS.CertFile, "broker.tls.keyFile", b.TLS.KeyFile)
	}
}

// pair checks that of two files both are named or none.
func pair(p *problems, keyA, a, keyB, b string) {
	if a == "" && b != "" {
		keyA, keyB, a, b = keyB, keyA, b, a
	}
	if a != "" && b == "" {
		p.add(0, keyA, "given without %s: give both or none", keyB)
	}
	if a != "" && b != "" && filepath.Clean(a) == filepath.Clean(b) {
		p.add(0, keyB, "names the same file as %s", keyA)
	}
}

func (c Config) checkBounds(p *problems) {
	inRange(p, "beacon.interval", c.Beacon.Interval, MinBeaconInterval, MaxBeaconInterval)
	inRange(p, "beacon.window", c.Beacon.Window, MinBeaconWindow, MaxBeaconInterval)
	inRange(p, "shutdownGrace", c.ShutdownGrace, 0, MaxShutdownGrace)
	inRange(p, "limits.requestBytes", c.Limits.RequestBytes, MinRequestBytes, MaxRequestBytes)
	inRange(p, "limits.queryRows", c.Limits.QueryRows, 1, 1<<40)
	inRange(p, "limits.queryTime", c.Limits.QueryTime, time.Millisecond, time.Hour)
}

func inRange[T int64 | time.Duration](p *problems, name string, v, low, high T) {
	if v < low || v > high {
		p.add(0, name, "%v is out of range: %v to %v", v, low, high)
	}
}

func (l Log) check(p *problems) {
	if !slices.Contains(levels, l.Level) {
		p.add(0, "log.level", "%q is unknown: it must be one of %s", l.Level, list(levels))
	}
	if !slices.Contains(formats, l.Format) {
		p.add(0, "log.format", "%q is unknown: it must be one of %s", l.Format, list(formats))
	}
}

func list[T ~string](names []T) string {
	texts := make([]string, len(names))
	for i, n := range names {
		texts[i] = string(n)
	}
	return strings.Join(texts, ", ")
}
