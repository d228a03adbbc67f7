package nodeconfig

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
)

// Access says who may do what at the HTTP interface.
type Access struct {
	// Anonymous (access.anonymous) is the role of requests without a token: none,
	// read, write or admin. "" is none if there are tokens, and admin if not.
	Anonymous string
	// OpenMetrics (access.openMetrics) lets anybody read /metrics.
	OpenMetrics bool
	// Tokens (access.tokens) are those that may ask.
	Tokens []Token
}

// Token is one who may ask, by a secret that a file holds.
type Token struct {
	// Name (name) becomes the author of what it writes.
	Name string
	// Role (role) is read, write or admin.
	Role string
	// File (file) holds the token, or several, one a line.
	File string
}

// ServerTLS turns on TLS at the HTTP interface.
type ServerTLS struct {
	// CertFile and KeyFile (tls.certFile, tls.keyFile) are the node's certificate,
	// with what leads to its CA, and its key, in PEM. Required.
	CertFile string
	KeyFile  string
	// ClientCAFile (tls.clientCAFile) holds the certificates, in PEM, of which one
	// must have signed the clients'; "": clients need none.
	ClientCAFile string
}

// Audit says where it is kept who wrote what.
type Audit struct {
	// To (audit.to) is stdout or the path of a file; "": nowhere.
	To string
	// MaxBytes (audit.maxBytes) is how long the file may get before another is begun.
	MaxBytes int64
	// Keep (audit.keep) is how many full files are kept beside the current one.
	Keep int64
}

// The bounds of access.
const (
	// MaxTokens is the most tokens of access.tokens.
	MaxTokens = 64
	// MinConnections and MaxConnections bound limits.connections.
	MinConnections = 8
	MaxConnections = 1 << 20
	// MinAuditBytes bounds audit.maxBytes from below.
	MinAuditBytes = 64 << 10
	// AuditStdout is the value of audit.to for standard output.
	AuditStdout = "stdout"
)

var (
	tokenRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}$`)
	roles   = []string{"read", "write", "admin"}
	anyone  = []string{"", "none", "read", "write", "admin"}
)

// tokenKeys are the keys of an item of access.tokens.
var tokenKeys = []key[Token]{
	{name: "name", always: true, value: func(t *Token) any { return &t.Name }},
	{name: "role", always: true, value: func(t *Token) any { return &t.Role }},
	{name: "file", always: true, value: func(t *Token) any { return &t.File }},
}

// tokenPath is how problems call a token, counted from 1 as a person does.
func tokenPath(i int) string { return fmt.Sprintf("access.tokens[%d]", i+1) }

func (c *Config) enterTLS() {
	if c.TLS == nil {
		c.TLS = &ServerTLS{}
	}
}

func (c Config) checkAccess(p *problems) {
	if !slices.Contains(anyone, c.Access.Anonymous) {
		p.add(0, "access.anonymous", "%q is unknown: it must be one of none, read, write, admin", c.Access.Anonymous)
	}
	if len(c.Access.Tokens) > MaxTokens {
		p.add(0, "access.tokens", "%d tokens: a node has at most %d", len(c.Access.Tokens), MaxTokens)
	}
	for i, t := range c.Access.Tokens {
		t.check(p, tokenPath(i), c.Access.Tokens[:i])
	}
	if t := c.TLS; t != nil {
		for _, f := range []struct{ key, file string }{{"tls.certFile", t.CertFile}, {"tls.keyFile", t.KeyFile}} {
			if f.file == "" {
				p.add(0, f.key, "missing: name the file, or remove the section tls to serve plain HTTP")
			}
		}
		if t.CertFile != "" && t.KeyFile != "" {
			pair(p, "tls.certFile", t.CertFile, "tls.keyFile", t.KeyFile)
		}
	}
	inRange(p, "limits.connections", c.Limits.Connections, MinConnections, MaxConnections)
	inRange(p, "audit.maxBytes", c.Audit.MaxBytes, MinAuditBytes, 1<<40)
	inRange(p, "audit.keep", c.Audit.Keep, 1, 1000)
	if to := c.Audit.To; to != "" && to != AuditStdout && !filepath.IsAbs(to) {
		p.add(0, "audit.to", "%q is neither stdout nor the absolute path of a file", to)
	}
}

func (t Token) check(p *problems, at string, before []Token) {
	if !tokenRE.MatchString(t.Name) {
		p.add(0, at+".name", "%q is not a name: 1 to 63 letters, digits and '_', '.', '@', '-', starting with a letter or digit", t.Name)
	}
	if !slices.Contains(roles, t.Role) {
		p.add(0, at+".role", "%q is no role: it must be one of read, write, admin", t.Role)
	}
	if t.File == "" {
		p.add(0, at+".file", "missing: name the file that holds the token; the token itself does not belong here")
	}
	for j, other := range before {
		if t.Name != "" && other.Name == t.Name {
			p.add(0, at+".name", "token %d is called %q too: several tokens of one name belong into one file, one a line", j+1, t.Name)
		}
	}
}
