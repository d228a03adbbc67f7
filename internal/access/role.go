// Package access says who may do what on a node: bearer tokens with roles, read
// from files that may change while the node runs; TLS whose certificate may
// change likewise; bounds on what clients hold; and the log of who wrote what.
package access

import (
	"context"
	"fmt"
)

// Role is what a principal may do. Roles are ordered: each may do all that the
// ones before it may.
type Role int

// The roles.
const (
	// None may do nothing but what is open to everybody.
	None Role = iota
	// Read may see all objects, their history, and the node's status.
	Read
	// Write may also change objects and settle conflicts.
	Write
	// Admin may also change what the node itself is: its branch, forks, bundles.
	Admin
)

var roleNames = [...]string{None: "none", Read: "read", Write: "write", Admin: "admin"}

// String returns the name that configurations use.
func (r Role) String() string {
	if r < None || r > Admin {
		return fmt.Sprintf("role %d", int(r))
	}
	return roleNames[r]
}

// ParseRole is the reverse of String.
func ParseRole(name string) (Role, error) {
	for r, n := range roleNames {
		if n == name {
			return Role(r), nil
		}
	}
	return None, fmt.Errorf("%q is no role: write read, write or admin", name)
}

// Principal is who sent a request.
type Principal struct {
	// Name is the name of its token in the configuration; "" for who gave none.
	Name string
	// Role is what it may do.
	Role Role
}

type principalKey struct{}

// With returns a context of a request of p.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// Of returns whose request the context is of; the zero Principal if nobody said.
func Of(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}
