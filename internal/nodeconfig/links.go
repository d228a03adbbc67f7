package nodeconfig

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

func (c Config) checkReplication(p *problems) {
	if len(c.Links) > 0 {
		c.checkLinks(p)
		return
	}
	checkWire(p, "wire", c.Wire)
	checkHosts(p, "replication_hosts", c.ReplicationHosts)
	c.checkOnlyChannel(p)
	c.Broker.check(p, "broker.")
}

func checkWire(p *problems, key string, w Wire) {
	if !slices.Contains([]Wire{WirePacked, WireVesper}, w) {
		p.add(0, key, "%q is unknown: it must be packed or vesper", w)
	}
}

func checkHosts(p *problems, key string, hosts []string) {
	if len(hosts) > MaxHosts {
		p.add(0, key, "has %d addresses: at most %d are tried", len(hosts), MaxHosts)
	}
	for i, h := range hosts {
		if problem := checkHost(h); problem != "" {
			p.add(0, key, "address %d: %s", i+1, problem)
		} else if slices.Contains(hosts[:i], h) {
			p.add(0, key, "address %d: %q is there twice", i+1, h)
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

// checkOnlyChannel checks the channel of a node without a list of links.
func (c Config) checkOnlyChannel(p *problems) {
	const key = "replication_channel"
	switch {
	case c.ReplicationChannel == "" && c.Replicates():
		p.add(0, key, "missing: replication_hosts needs the name of the channel, such as VESPER_DATA")
	case c.ReplicationChannel == "":
	case !c.Replicates():
		p.add(0, key, "given without replication_hosts: name the broker's hosts, or remove it to run without a broker")
	default:
		checkChannel(p, key, c.ReplicationChannel)
	}
}

func checkChannel(p *problems, key, channel string) {
	switch {
	case !channelRE.MatchString(channel):
		p.add(0, key, "%q is not a channel: 1 to 64 letters, digits, '_', '.' and '-', starting with a letter, digit or '_'", channel)
	case strings.HasSuffix(channel, ".beacon"), strings.Contains(channel+".", ".sync."):
		p.add(0, key, "%q is a name that the nodes of another channel use among themselves: choose one without .beacon and .sync", channel)
	}
}

// check checks the keys whose paths start with prefix.
func (b Broker) check(p *problems, prefix string) {
	if !slices.Contains(flavors, b.Flavor) {
		p.add(0, prefix+"flavor", "%q is unknown: it must be one of %s", b.Flavor, list(flavors))
	}
	pair(p, prefix+"usernameFile", b.UsernameFile, prefix+"passwordFile", b.PasswordFile)
	if b.HeartBeat != 0 && (b.HeartBeat < 100*time.Millisecond || b.HeartBeat > 10*time.Minute) {
		p.add(0, prefix+"heartBeat", "%s is out of range: 100ms to 10m, or 0 for none", b.HeartBeat)
	}
	if b.MaxMessage != 0 && (b.MaxMessage < MinMessage || b.MaxMessage > MaxMessage) {
		p.add(0, prefix+"maxMessage", "%d is out of range: %d to %d, or 0 for what the broker takes by default", b.MaxMessage, MinMessage, MaxMessage)
	}
	if b.TLS != nil {
		pair(p, prefix+"tls.certFile", b.TLS.CertFile, prefix+"tls.keyFile", b.TLS.KeyFile)
	}
}

// checkLinks checks a list of links, which stands in place of the keys for one.
func (c Config) checkLinks(p *problems) {
	const remedy = "given beside links: say it in each link instead"
	plain := Default()
	for _, k := range []struct {
		name  string
		given bool
	}{
		{"replication_hosts", len(c.ReplicationHosts) > 0},
		{"replication_channel", c.ReplicationChannel != ""},
		{"send_stomp_ack", c.SendSTOMPAck != plain.SendSTOMPAck},
		{"wire", c.Wire != plain.Wire},
		{"broker", c.Broker != plain.Broker},
	} {
		if k.given {
			p.add(0, k.name, remedy)
		}
	}
	if len(c.Links) > MaxLinks {
		p.add(0, "links", "%d links: a node has at most %d", len(c.Links), MaxLinks)
	}
	for i := range c.Links {
		c.checkLink(p, i)
	}
}

func (c Config) checkLink(p *problems, i int) {
	l, at := c.Links[i], linkPath(i)
	switch {
	case l.Name == "":
		p.add(0, at+".name", "missing: give the link a name, such as core")
	case !linkRE.MatchString(l.Name):
		p.add(0, at+".name", "%q is not a name: 1 to 32 letters, digits, '_' and '-', starting with a letter or digit", l.Name)
	}
	if len(l.Hosts) == 0 {
		p.add(0, at+".hosts", "missing: name the broker's addresses, such as [mq.example.com:61613]")
	}
	if l.Channel == "" {
		p.add(0, at+".channel", "missing: name the channel, such as VESPER_DATA")
	} else {
		checkChannel(p, at+".channel", l.Channel)
	}
	checkHosts(p, at+".hosts", l.Hosts)
	checkWire(p, at+".wire", l.Wire)
	l.Broker.check(p, at+".")
	for j, other := range c.Links[:i] {
		switch {
		case l.Name != "" && other.Name == l.Name:
			p.add(0, at+".name", "link %d is called %q too", j+1, l.Name)
		case other.Channel == l.Channel && other.Broker.VirtualHost == l.Broker.VirtualHost && slices.ContainsFunc(l.Hosts, func(h string) bool { return slices.Contains(other.Hosts, h) }):
			p.add(0, at+".channel", "link %d has the same channel of the same broker", j+1)
		}
	}
}
