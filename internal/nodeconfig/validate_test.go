package nodeconfig

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// valid is a configuration as a program makes it: replicating, with everything set.
func valid() Config {
	c := Default()
	c.BranchID, c.TrunkID, c.StoragePath = "0B", "0A", "/data"
	c.ReplicationHosts, c.ReplicationChannel = []string{"mq-0:61613", "mq-1:61613"}, "VESPER_DATA"
	c.Broker.UsernameFile, c.Broker.PasswordFile = "/u", "/p"
	c.Broker.TLS = &TLS{CAFile: "/ca", CertFile: "/crt", KeyFile: "/key", ServerName: "mq"}
	return c
}

func TestValidateNamesTheKeyOfEachMistake(t *testing.T) {
	if err := valid().Validate(); err != nil {
		t.Fatalf("the valid one is refused: %v", err)
	}
	tests := map[string]struct {
		change func(*Config)
		key    string
	}{
		"no branch":             {func(c *Config) { c.BranchID = "" }, "branchId"},
		"branch in lower case":  {func(c *Config) { c.BranchID = "0b" }, "branchId"},
		"branch below trunk":    {func(c *Config) { c.BranchID, c.TrunkID = "0A", "0B" }, "branchId"},
		"no trunk":              {func(c *Config) { c.TrunkID = "" }, "trunkId"},
		"wider trunk":           {func(c *Config) { c.TrunkID = "00A" }, "branchId"},
		"no history":            {func(c *Config) { c.SaveHistory = false }, "saveHistory"},
		"no directory":          {func(c *Config) { c.StoragePath = "" }, "storage_path"},
		"NUL in the directory":  {func(c *Config) { c.StoragePath = "a\x00b" }, "storage_path"},
		"no address":            {func(c *Config) { c.Listen = "" }, "listen"},
		"port name":             {func(c *Config) { c.Listen = ":http" }, "listen"},
		"negative port":         {func(c *Config) { c.Listen = ":-1" }, "listen"},
		"host without port":     {func(c *Config) { c.ReplicationHosts = []string{"mq"} }, "replication_hosts"},
		"host of blanks":        {func(c *Config) { c.ReplicationHosts = []string{"m q:1"} }, "replication_hosts"},
		"empty host":            {func(c *Config) { c.ReplicationHosts = []string{":61613"} }, "replication_hosts"},
		"IPv6 without brackets": {func(c *Config) { c.ReplicationHosts = []string{"::1:61613"} }, "replication_hosts"},
		"too many hosts": {func(c *Config) {
			c.ReplicationHosts = nil
			for i := range MaxHosts + 1 {
				c.ReplicationHosts = append(c.ReplicationHosts, "h"+string(rune('a'+i))+":1")
			}
		}, "replication_hosts"},
		"no channel":             {func(c *Config) { c.ReplicationChannel = "" }, "replication_channel"},
		"channel too long":       {func(c *Config) { c.ReplicationChannel = strings.Repeat("C", 65) }, "replication_channel"},
		"channel with a dash":    {func(c *Config) { c.ReplicationChannel = "-C" }, "replication_channel"},
		"channel of sync queues": {func(c *Config) { c.ReplicationChannel = "C.sync" }, "replication_channel"},
		"no hosts":               {func(c *Config) { c.ReplicationHosts = nil }, "replication_channel"},
		"no wire":                {func(c *Config) { c.Wire = "" }, "wire"},
		"no flavor":              {func(c *Config) { c.Broker.Flavor = "" }, "broker.flavor"},
		"no password":            {func(c *Config) { c.Broker.PasswordFile = "" }, "broker.usernameFile"},
		"no username":            {func(c *Config) { c.Broker.UsernameFile = "" }, "broker.passwordFile"},
		"newline in a file name": {func(c *Config) { c.Broker.UsernameFile = "a\nb" }, "broker.usernameFile"},
		"heart-beat too slow":    {func(c *Config) { c.Broker.HeartBeat = time.Hour }, "broker.heartBeat"},
		"negative heart-beat":    {func(c *Config) { c.Broker.HeartBeat = -time.Second }, "broker.heartBeat"},
		"no key":                 {func(c *Config) { c.Broker.TLS.KeyFile = "" }, "broker.tls.certFile"},
		"no certificate":         {func(c *Config) { c.Broker.TLS.CertFile = "" }, "broker.tls.keyFile"},
		"broken UTF-8":           {func(c *Config) { c.Broker.TLS.ServerName = "\xff" }, "broker.tls.serverName"},
		"beacon too slow":        {func(c *Config) { c.Beacon.Interval = time.Hour }, "beacon.interval"},
		"window too short":       {func(c *Config) { c.Beacon.Window = time.Second }, "beacon.window"},
		"no request bytes":       {func(c *Config) { c.Limits.RequestBytes = 0 }, "limits.requestBytes"},
		"too many request bytes": {func(c *Config) { c.Limits.RequestBytes = 2 << 30 }, "limits.requestBytes"},
		"no rows":                {func(c *Config) { c.Limits.QueryRows = 0 }, "limits.queryRows"},
		"no time":                {func(c *Config) { c.Limits.QueryTime = 0 }, "limits.queryTime"},
		"grace too long":         {func(c *Config) { c.ShutdownGrace = 2 * time.Hour }, "shutdownGrace"},
		"no level":               {func(c *Config) { c.Log.Level = "" }, "log.level"},
		"no format":              {func(c *Config) { c.Log.Format = "" }, "log.format"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := valid()
			tt.change(&c)
			var e *Error
			if err := c.Validate(); !errors.As(err, &e) {
				t.Fatalf("accepted (%v)", err)
			}
			if len(e.Problems) != 1 || e.Problems[0].Key != tt.key || e.Problems[0].Message == "" {
				t.Errorf("got %v, want one problem of %s", e, tt.key)
			}
			if text, err := Render(c); err == nil {
				t.Errorf("it was rendered: %s", text)
			}
		})
	}
}

func TestValidateAcceptsTheEdges(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"the trunk itself":   func(c *Config) { c.BranchID = "0A" },
		"IPv6":               func(c *Config) { c.ReplicationHosts = []string{"[::1]:1", "[fe80::1%eth0]:65535"} },
		"a long channel":     func(c *Config) { c.ReplicationChannel = strings.Repeat("C", 64) },
		"a dotted channel":   func(c *Config) { c.ReplicationChannel = "shop.beacons.syncing" },
		"no heart-beat":      func(c *Config) { c.Broker.HeartBeat = 0 },
		"no grace":           func(c *Config) { c.ShutdownGrace = 0 },
		"no credentials":     func(c *Config) { c.Broker.UsernameFile, c.Broker.PasswordFile = "", "" },
		"TLS by the system":  func(c *Config) { c.Broker.TLS = &TLS{} },
		"alone":              func(c *Config) { c.ReplicationHosts, c.ReplicationChannel = nil, "" },
		"wire of originals":  func(c *Config) { c.Wire = WireVesper },
		"blanks in the path": func(c *Config) { c.StoragePath = "/my data/ä" },
	} {
		c := valid()
		change(&c)
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
