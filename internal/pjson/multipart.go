package pjson

import (
	"bytes"
	"strings"
)

const (
	// multipartMark is the first line of a document in several parts.
	multipartMark = "=multipart-json"
	// keyPart is the only key of an object that stands for a part's text.
	keyPart = "multipartjsonref"
)

// roots returns the JSON values of the text: one, or of a document in several
// parts one for each JSON section, with the text sections put in.
func roots(text []byte) ([]node, error) {
	if !bytes.HasPrefix(bytes.TrimPrefix(text, byteOrderMark), []byte(multipartMark)) {
		root, err := scan(text)
		if err != nil {
			return nil, err
		}
		return []node{*root}, nil
	}
	m := multipart{text: text, parts: map[string]*part{}}
	if err := m.split(); err != nil {
		return nil, err
	}
	for i := range m.roots {
		if err := m.resolve(&m.roots[i]); err != nil {
			return nil, err
		}
	}
	for id, p := range m.parts {
		if !p.used && (m.unused == nil || p.at < m.parts[*m.unused].at) {
			m.unused = &id
		}
	}
	if m.unused != nil {
		return nil, faultf(m.parts[*m.unused].at, `refer to it with {"multipartjsonref": ID}, or remove it`,
			"nothing refers to the text %q", *m.unused)
	}
	return m.roots, nil
}

// part is a text section.
type part struct {
	at   int
	text string
	used bool
}

// multipart is a document in several parts: the line "=multipart-json", then
// JSON sections and text sections. A text section is the line "= ID END", the
// text, and the line END.
type multipart struct {
	text   []byte
	at     int
	roots  []node
	parts  map[string]*part
	unused *string
}

func (m *multipart) split() error {
	if first := m.line(); strings.TrimRight(strings.TrimPrefix(first, string(byteOrderMark)), " \t\r") != multipartMark {
		return faultf(0, "end the line after "+multipartMark, "the first line is %q", first)
	}
	for m.at < len(m.text) {
		start := m.at
		if line := m.line(); strings.HasPrefix(line, "=") {
			if err := m.part(start, line); err != nil {
				return err
			}
			continue
		}
		for m.at < len(m.text) && m.text[m.at] != '=' {
			m.line()
		}
		if len(bytes.TrimSpace(m.text[start:m.at])) == 0 {
			continue
		}
		root, err := scanFrom(m.text[:m.at], start)
		if err != nil {
			return err
		}
		m.roots = append(m.roots, *root)
	}
	if len(m.roots) == 0 {
		return faultf(len(m.text), "add the objects that the texts belong to", "there is no JSON section")
	}
	return nil
}

// line returns the next line without its end.
func (m *multipart) line() string {
	rest := m.text[m.at:]
	size := bytes.IndexByte(rest, '\n')
	if size < 0 {
		m.at = len(m.text)
		return string(rest)
	}
	m.at += size + 1
	return strings.TrimSuffix(string(rest[:size]), "\r")
}

func (m *multipart) part(at int, header string) error {
	fields := strings.Fields(strings.TrimPrefix(header, "="))
	if len(fields) != 2 {
		return faultf(at, `write "= ID END", with what ends the text in a line of its own`,
			"the header of a text section is %q", header)
	}
	id, end := fields[0], fields[1]
	if m.parts[id] != nil {
		return faultf(at, "give each text an id of its own", "the text %q is given twice", id)
	}
	start := m.at
	for m.at < len(m.text) {
		stop := m.at
		if m.line() != end {
			continue
		}
		text := bytes.TrimSuffix(bytes.TrimSuffix(m.text[start:max(start, stop)], []byte("\n")), []byte("\r"))
		m.parts[id] = &part{at: at, text: string(text)}
		return nil
	}
	return faultf(at, "write that line after the text", "no line %q ends the text %q", end, id)
}

// resolve puts texts in the place of what refers to them.
func (m *multipart) resolve(n *node) error {
	for i := range n.items {
		if err := m.resolve(&n.items[i]); err != nil {
			return err
		}
	}
	for i := range n.members {
		if err := m.resolve(&n.members[i].value); err != nil {
			return err
		}
	}
	if n.kind != kindObject || len(n.members) != 1 || n.members[0].key != keyPart {
		return nil
	}
	ref := &n.members[0].value
	p := m.parts[ref.text]
	if ref.kind != kindString || p == nil {
		return faultf(ref.at, `add the section "= ID END"`, "there is no text section of this id")
	}
	p.used = true
	*n = node{kind: kindString, at: n.at, text: p.text}
	return nil
}
