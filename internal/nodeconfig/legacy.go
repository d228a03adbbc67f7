package nodeconfig

import (
	"strings"
	"unicode"
)

const (
	// DefaultModelURI is model_uri unless the file says otherwise.
	DefaultModelURI = "http://vesperdb.io/"
	// maxModelURI bounds model_uri: it is in every statement of a message, often twice.
	maxModelURI = 256
)

// Legacy reports whether the node has a channel that nodes of the original
// Vesper share.
func (c Config) Legacy() bool {
	for _, l := range c.AllLinks() {
		if l.Wire == WireVesper {
			return true
		}
	}
	return false
}

// checkLegacy checks what a channel shared with original nodes demands.
func (c Config) checkLegacy(p *problems) {
	if strings.Contains(c.ModelURI, ";") || len(c.ModelURI) > maxModelURI || strings.ContainsFunc(c.ModelURI, func(r rune) bool {
		return r > unicode.MaxASCII || unicode.IsSpace(r)
	}) {
		p.add(0, "model_uri", "%.80q cannot be one: at most %d characters of ASCII, without blanks and ';'", c.ModelURI, maxModelURI)
	}
	if !c.Legacy() {
		return
	}
	for i, l := range c.Links {
		if l.Wire == WireVesper && len(c.Links) > 1 {
			p.add(0, linkPath(i)+".wire", "vesper, beside other links: what a node writes for nodes of the original Vesper must build on nothing "+
				"that they cannot know, so such a link is a node's only one")
		}
	}
	if c.Retention != Forever {
		p.add(0, "retention", "given with wire vesper: nodes of the original Vesper do not say what they have, so nothing may leave the log; remove it")
	}
}
