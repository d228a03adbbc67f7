package legacywire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/statement"
)

// Row is one statement of a message: subject, predicate, object, type of the
// object, scope. A string that had half a surrogate pair is not valid UTF-8.
type Row [5]string

// The columns of a Row.
const (
	subject = iota
	predicate
	object
	objectType
	scope
)

// Message is one changeset as the original publishes it.
type Message struct {
	// Origin is the branch that committed the changeset.
	Origin branch.ID
	// Timestamp is the time of the commit in seconds, as JSON writes the number.
	Timestamp string
	// Rows are the statements: the metadata of the changeset and its data.
	Rows []Row
	// Base and Revision are the revisions before and after, as written.
	Base, Revision string

	// seq is the changeset's number in its branch, seen what its author had
	// applied of the others.
	seq  uint64
	seen branch.Revision
}

// Dot returns the changeset's name.
func (m Message) Dot() branch.Dot { return branch.Dot{Branch: m.Origin, Seq: m.seq} }

// Seen returns what the author had applied of other branches, as far as the
// message says.
func (m Message) Seen() branch.Revision { return m.seen }

// Parse reads the body of a message and checks everything that can be checked
// without the changesets before it. The error says what is wrong with it.
func Parse(body []byte) (Message, error) {
	m, err := parse(body)
	if err != nil {
		return Message{}, fmt.Errorf("reading a changeset of the original's form: %w", err)
	}
	return m, nil
}

func parse(body []byte) (Message, error) {
	if limit := changeset.DefaultLimits().MessageBytes; len(body) > limit {
		return Message{}, fmt.Errorf("it has %d bytes, and the limit is %d", len(body), limit)
	}
	if !utf8.Valid(body) {
		return Message{}, errors.New("it is not valid UTF-8")
	}
	fields, err := fieldsOf(body)
	if err != nil {
		return Message{}, err
	}
	var m Message
	for _, f := range []struct {
		name string
		read func(json.RawMessage) error
	}{
		{"origin", m.readOrigin}, {"timestamp", m.readTimestamp}, {"statements", m.readRows},
		{"baserevision", m.readBase}, {"revision", m.readRevision},
	} {
		raw, ok := fields[f.name]
		if !ok {
			return Message{}, fmt.Errorf("it has no %s", f.name)
		}
		if err := f.read(raw); err != nil {
			return Message{}, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return m, m.relate()
}

// fieldsOf returns the members of a JSON object, each once.
func fieldsOf(body []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("it is not a JSON object: %s", statement.Excerpt(string(body[:min(len(body), 200)])))
	}
	fields := map[string]json.RawMessage{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("it is not JSON: %w", err)
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, fmt.Errorf("it is not JSON: %w", err)
		}
		key := fmt.Sprint(name)
		if _, twice := fields[key]; twice {
			return nil, fmt.Errorf("it has %s twice", statement.Excerpt(key))
		}
		fields[key] = raw
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return fields, nil
}

func (m *Message) readOrigin(raw json.RawMessage) error {
	text, err := unquote(raw)
	if err != nil {
		return err
	}
	m.Origin, err = branch.ParseID(text)
	return err
}

func (m *Message) readTimestamp(raw json.RawMessage) error {
	m.Timestamp = string(raw)
	_, err := ClockOf(m.Timestamp)
	return err
}

func (m *Message) readRows(raw json.RawMessage) error {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil || raw[0] != '[' {
		return errors.New("it is not a list")
	}
	m.Rows = make([]Row, len(list))
	for i, raw := range list {
		var columns []json.RawMessage
		if err := json.Unmarshal(raw, &columns); err != nil || len(columns) != len(Row{}) {
			return fmt.Errorf("statement %d is not a list of %d strings", i+1, len(Row{}))
		}
		for j, column := range columns {
			text, err := unquote(column)
			if err != nil {
				return fmt.Errorf("statement %d: %w", i+1, err)
			}
			m.Rows[i][j] = text
		}
	}
	return nil
}

// readBase takes null for no base, as the original does.
func (m *Message) readBase(raw json.RawMessage) (err error) {
	if string(raw) != "null" {
		m.Base, err = unquote(raw)
	}
	return err
}

func (m *Message) readRevision(raw json.RawMessage) (err error) {
	m.Revision, err = unquote(raw)
	return err
}

// relate checks what the parts of the message say of one another.
func (m *Message) relate() error {
	revision, err := branch.ParseRevision(m.Revision)
	if err != nil {
		return err
	}
	if m.seq = revision.At(m.Origin); m.seq == 0 {
		return fmt.Errorf("revision %s has no number of the origin, %s", statement.Excerpt(m.Revision), m.Origin)
	}
	base, err := m.bases()
	if err != nil {
		return err
	}
	if base.At(m.Origin) >= m.seq {
		return fmt.Errorf("baserevision %s is not before revision %s", statement.Excerpt(m.Base), statement.Excerpt(m.Revision))
	}
	m.seen = without(revision.Merge(base), m.Origin)
	return nil
}

// bases returns what all the revisions say on which the changeset builds: that
// in the message, and one more in the statements of a merge.
func (m *Message) bases() (branch.Revision, error) {
	base, err := branch.ParseRevision(m.Base)
	if err != nil {
		return nil, err
	}
	for _, row := range m.Rows {
		if kindOf(row, m.Revision) != kindMetadata {
			continue
		}
		switch row[predicate] {
		case hasRevision:
			if row[object] != m.Revision {
				return nil, fmt.Errorf("its statements are those of revision %s, not of %s",
					statement.Excerpt(row[object]), statement.Excerpt(m.Revision))
			}
		case baseRevision:
			more, err := branch.ParseRevision(row[object])
			if err != nil {
				return nil, err
			}
			base = base.Merge(more)
		}
	}
	return base, nil
}

func without(r branch.Revision, id branch.ID) branch.Revision {
	var out branch.Revision
	for _, d := range r {
		if d.Branch != id {
			out = append(out, d)
		}
	}
	return out
}

// Encode returns the body of the message, byte for byte as the original writes
// the same: its order of members, its blanks, ASCII only.
func (m Message) Encode() []byte {
	out := append([]byte(nil), `{"origin": `...)
	out = appendQuoted(out, string(m.Origin))
	out = append(append(out, `, "timestamp": `...), m.Timestamp...)
	out = append(out, `, "statements": [`...)
	for i, row := range m.Rows {
		if i > 0 {
			out = append(out, ", "...)
		}
		out = append(out, '[')
		for j, text := range row {
			if j > 0 {
				out = append(out, ", "...)
			}
			out = appendQuoted(out, text)
		}
		out = append(out, ']')
	}
	out = appendQuoted(append(out, `], "baserevision": `...), m.Base)
	out = appendQuoted(append(out, `, "revision": `...), m.Revision)
	return append(out, '}')
}

// WithBase returns the message of the same changeset that names another published
// revision as the one before.
func (m Message) WithBase(base string) Message {
	m.Rows = slices.Clone(m.Rows)
	for i, row := range m.Rows {
		if row[predicate] == baseRevision && row[object] == m.Base && kindOf(row, m.Revision) == kindMetadata {
			m.Rows[i][object] = base
		}
	}
	m.Base = base
	return m
}

// kind says what a statement of a message is.
type kind int

const (
	kindForeign kind = iota // of no use here
	kindMetadata
	kindAdded
	kindRemoved
)

const (
	transaction = "context:txn:"
	addedIn     = "context:add:"
	removedIn   = "context:del:"
	scopeMark   = ";;"
)

func kindOf(row Row, revision string) kind {
	k, _ := scopeOf(row[scope], revision)
	return k
}

// scopeOf takes the scope of a statement apart: what the statement is, and for
// data the scope it has in the store.
func scopeOf(text, revision string) (kind, string) {
	if strings.HasPrefix(text, transaction) && strings.HasSuffix(text, ";"+revision) {
		return kindMetadata, ""
	}
	k := kindAdded
	rest, ok := strings.CutPrefix(text, addedIn)
	if !ok {
		k = kindRemoved
		rest, ok = strings.CutPrefix(text, removedIn)
	}
	if !ok || !strings.HasPrefix(rest, transaction) {
		return kindForeign, ""
	}
	_, of, ok := strings.Cut(rest, ";"+revision+scopeMark)
	if !ok {
		return kindForeign, ""
	}
	return k, of
}
