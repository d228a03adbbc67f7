package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"vesperdb.io/vesper/hack/localkube/internal/netns"
)

// hostNetwork are the `ip` commands that make the namespace and the machine's way into it. The namespace gets no default
// route: what runs in it reaches this machine and nothing else.
func hostNetwork() [][]string {
	return [][]string{
		{"netns", "add", Name},
		{"link", "add", hostLink, "type", "veth", "peer", "name", nodeLink, "netns", Name},
		{"addr", "add", hostAddress + "/24", "dev", hostLink},
		{"link", "set", hostLink, "up"},
	}
}

// nodeNetworkCommands are the `ip` commands inside the namespace. Service addresses need a route before they are
// translated; a bridge without members serves, and unlike a dummy device it exists in every kernel that runs pods.
func nodeNetworkCommands() [][]string {
	return [][]string{
		{"link", "set", "lo", "up"},
		{"addr", "add", nodeAddress + "/24", "dev", nodeLink},
		{"link", "set", nodeLink, "up"},
		{"link", "add", serviceLink, "type", "bridge"},
		{"link", "set", serviceLink, "up"},
		{"route", "add", serviceRange, "dev", serviceLink},
	}
}

// hostRoutes lets the machine reach pods and services. They can be set only when the link is up on both sides.
func hostRoutes() [][]string {
	return [][]string{{"route", "replace", clusterRoutes, "via", nodeAddress, "dev", hostLink}}
}

// sysctls of the namespace: it forwards packets, and iptables sees what passes the bridge.
var sysctls = []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/bridge/bridge-nf-call-iptables"}

// ensureNetwork makes the namespace and its links unless they are there.
func (c *Cluster) ensureNetwork(ctx context.Context) error {
	if netns.Exists(Name) && hostLinkExists() {
		return nil
	}
	if err := c.removeNetwork(ctx); err != nil {
		return err
	}
	if err := c.ipAll(ctx, hostNetwork()); err != nil {
		return err
	}
	err := netns.Do(Name, func() error {
		if err := c.ipAll(ctx, nodeNetworkCommands()); err != nil {
			return err
		}
		return writeSysctls(ctx)
	})
	if err != nil {
		return err
	}
	return c.ipAll(ctx, hostRoutes())
}

func writeSysctls(ctx context.Context) error {
	for _, file := range sysctls {
		if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
			_ = exec.CommandContext(ctx, "modprobe", "br_netfilter").Run() // its absence shows in the next line
		}
		if err := os.WriteFile(file, []byte("1"), 0o644); err != nil {
			return fmt.Errorf("switch on %s: %w (the kernel module br_netfilter may be missing: modprobe br_netfilter)", file, err)
		}
	}
	return nil
}

// removeNetwork removes the namespace and the machine's link to it; what is not there is no error.
func (c *Cluster) removeNetwork(ctx context.Context) error {
	if hostLinkExists() {
		if err := c.ip(ctx, "link", "del", hostLink); err != nil && hostLinkExists() {
			return err
		}
	}
	if _, err := os.Lstat(filepath.Join(netns.Dir, Name)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return c.ip(ctx, "netns", "del", Name)
}

func hostLinkExists() bool {
	_, err := net.InterfaceByName(hostLink)
	return err == nil
}

func (c *Cluster) ipAll(ctx context.Context, commands [][]string) error {
	for _, args := range commands {
		if err := c.ip(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) ip(ctx context.Context, args ...string) error {
	tool := c.Tools.IP
	if tool == "" {
		tool = "ip"
	}
	if out, err := exec.CommandContext(ctx, tool, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
