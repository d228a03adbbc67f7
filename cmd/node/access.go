package main

import (
	"fmt"
	"net"
	"os"

	"vesperdb.io/vesper/internal/access"
)

// openAccess reads the tokens and certificates, before the store is opened: who
// mistyped a path should not wait for it.
func (n *node) openAccess() (err error) {
	if c := n.config.TLS; c != nil {
		if n.tls, err = access.NewServerTLS(*c); err != nil {
			return err
		}
	}
	if n.guard, err = access.NewGuard(n.config.Access, n.tls, n.log); err != nil {
		return err
	}
	if n.audit, err = access.NewAudit(n.config.Audit, os.Stdout); err != nil {
		return fmt.Errorf("of node %s: %w", n.config.BranchID, err)
	}
	return nil
}

// served is what the HTTP interface listens on.
func (n *node) served() net.Listener {
	l := access.Limit(n.listener, int(n.config.Limits.Connections))
	if n.tls != nil {
		return n.tls.Listener(l)
	}
	return l
}
