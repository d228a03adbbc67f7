package nodeconfig

import (
	"net"
	"path/filepath"
	"regexp"
	"slices"
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
	// MaxLinks is the most links of one node.
	MaxLinks = 64
	// MinRetention is the least retention: shorter ones would send a node that
	// restarts for a snapshot.
	MinRetention = time.Hour
	// MinMessage and MaxMessage bound broker.maxMessage.
	MinMessage = 64 << 10
	MaxMessage = 1 << 30
	// MinCompactionRate bounds compaction.rate from below: a file must be copied
	// faster than nodes write.
	MinCompactionRate = 1 << 20
)

var (
	flavors   = []Flavor{FlavorAuto, FlavorActiveMQ, FlavorArtemis, FlavorRabbitMQ, FlavorCoilMQ, FlavorMorbidQ, FlavorGeneric}
	levels    = []string{"debug", "info", "warn", "error"}
	formats   = []string{"json", "text"}
	policies  = []ConflictPolicy{ConflictLatest, ConflictEarliest, ConflictKeepBoth}
	volumes   = []VolumeIdentity{VolumeInode, VolumeNone}
	channelRE = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)
	linkRE    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$`)
)

// Validate checks the whole configuration without touching files or network. It
// returns nil or an *Error with every problem, each naming its key and a remedy.
func (c Config) Validate() error {
	var p problems
	c.checkIDs(&p)
	c.checkStore(&p)
	c.checkListen(&p)
	c.checkReplication(&p)
	c.checkLegacy(&p)
	c.checkLog(&p)
	c.checkBounds(&p)
	c.checkIndexes(&p)
	c.checkAccess(&p)
	c.Log.check(&p)
	checkTexts(&p, &c, "", fileKeys)
	for i := range c.Links {
		checkTexts(&p, &c.Links[i], linkPath(i), linkKeys)
	}
	for i := range c.Indexes {
		checkTexts(&p, &c.Indexes[i], indexPath(i), indexKeys)
	}
	for i := range c.Access.Tokens {
		checkTexts(&p, &c.Access.Tokens[i], tokenPath(i), tokenKeys)
	}
	return p.err("")
}

// checkTexts refuses control characters and broken UTF-8 in any text: they come
// from a broken editor or template, and YAML cannot carry all of them.
func checkTexts[T any](p *problems, c *T, path string, known []key[T]) {
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

// checkLog checks what becomes of conflicts, of the log and of its file.
func (c Config) checkLog(p *problems) {
	if !slices.Contains(policies, c.ConflictPolicy) {
		p.add(0, "conflictPolicy", "%q is unknown: it must be one of %s", c.ConflictPolicy, list(policies))
	}
	if c.Retention != Forever && time.Duration(c.Retention) < MinRetention {
		p.add(0, "retention", "%s is too short: at least %s, or forever", time.Duration(c.Retention), MinRetention)
	}
	if c.Retention != Forever && c.Replicates() && c.MembersFile == "" {
		p.add(0, "retention", "given without membersFile: a changeset may leave the log only when every member has it, so name the members, or write forever")
	}
	if !slices.Contains(volumes, c.VolumeIdentity) {
		p.add(0, "volumeIdentity", "%q is unknown: it must be one of %s", c.VolumeIdentity, list(volumes))
	}
	if t := c.Compaction.Threshold; t != 0 && (t < 0.1 || t > 0.95) {
		p.add(0, "compaction.threshold", "%v is out of range: 0.1 to 0.95, or 0 for never", t)
	}
	inRange(p, "compaction.minFree", c.Compaction.MinFree, 0, 1<<40)
	inRange(p, "compaction.rate", c.Compaction.Rate, MinCompactionRate, 1<<40)
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
