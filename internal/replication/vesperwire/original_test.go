package vesperwire

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"vesperdb.io/vesper/internal/statement"
)

// originalNode behaves as the specification says that a node of the original Vesper
// does with what it gets from a channel, and dies of what kills that. It is
// written from the specification alone, with its own reading of messages.
type originalNode struct {
	id, trunk, uri string
	// current is the revision published or taken over last, latest the local
	// mark, which merges raise further.
	current, latest string
	primary         map[row]bool
	// known are the data statements of each revision that was applied.
	known   map[string][]row
	pending map[string]bool
	dead    error
	now     float64
	// out are the bodies published, merges how many of them are merges.
	out    [][]byte
	merges int
}

type row [5]string

type wireMessage struct {
	Origin       string     `json:"origin"`
	Timestamp    float64    `json:"timestamp"`
	Statements   [][]string `json:"statements"`
	BaseRevision string     `json:"baserevision"`
	Revision     string     `json:"revision"`
}

func newOriginal(id, trunk string) *originalNode {
	return &originalNode{
		id: id, trunk: trunk, uri: "test:", current: "0", latest: "0", now: 1300000000.25,
		primary: map[row]bool{}, known: map[string][]row{}, pending: map[string]bool{},
	}
}

// receive takes a message as its STOMP client would hand it over.
func (o *originalNode) receive(clientID string, body []byte) {
	if o.dead != nil {
		return
	}
	o.dead = o.merge(clientID, body)
}

func (o *originalNode) merge(clientID string, body []byte) error {
	for _, c := range body {
		if c >= 0x80 {
			return errors.New("its client takes the connection for closed: the body is not ASCII")
		}
	}
	var m wireMessage
	if err := json.Unmarshal(body, &m); err != nil {
		return fmt.Errorf("exception while reading JSON: %w", err)
	}
	for _, s := range m.Statements {
		if len(s) != len(row{}) {
			return fmt.Errorf("exception: a statement of %d", len(s))
		}
	}
	switch {
	case clientID == "":
		return errors.New("KeyError: clientid")
	case clientID != m.Origin:
		return nil // mismatched origins: dropped
	case m.Origin == o.id:
		return nil
	}
	if known := o.known[m.BaseRevision]; m.BaseRevision != "0" && m.BaseRevision != "" && known == nil {
		if o.pending[m.BaseRevision] {
			return errors.New("assertion: another changeset with this base is pending")
		}
		o.pending[m.BaseRevision] = true // for ever
		return nil
	}
	data := o.data(m)
	if m.BaseRevision == "" || m.BaseRevision == o.current {
		if err := o.apply(m, data); err != nil {
			return err
		}
		o.current, o.latest = m.Revision, m.Revision
		return nil
	}
	if o.overlap(m, data) {
		return fmt.Errorf("assertion: merging conflicts not yet implemented! %s current %s", m.BaseRevision, o.current)
	}
	if err := o.apply(m, data); err != nil {
		return err
	}
	revision, err := o.increment()
	if err != nil {
		return err
	}
	o.commit(revision, nil, nil)
	o.latest = mergeRevisions(revision, m.Revision)
	o.merges++
	return nil
}

// data returns the data statements, additions with "+" before the scope and
// removals with "-".
func (o *originalNode) data(m wireMessage) []row {
	out := []row{}
	for _, s := range m.Statements {
		r := row(s)
		for mark, prefix := range map[string]string{"+": "context:add:", "-": "context:del:"} {
			if rest, ok := strings.CutPrefix(r[4], prefix); ok && strings.Contains(rest, ";"+m.Revision+";;") {
				_, within, _ := strings.Cut(rest, ";"+m.Revision+";;")
				r[4] = mark + within
				out = append(out, r)
				break
			}
		}
	}
	return out
}

func (o *originalNode) apply(m wireMessage, data []row) error {
	first, _, _ := strings.Cut(m.Revision, ",")
	if o.current == "0" {
		if m.BaseRevision != "0" || m.Origin != o.trunk && m.Origin != o.id {
			return errors.New("error: the first changeset of an empty store is not the trunk's")
		}
	} else if mine, _, _ := strings.Cut(o.current, ","); branchOf(first) != branchOf(mine) {
		return errors.New("error: does not share trunk branch")
	}
	o.store(data)
	for _, s := range m.Statements {
		if s[1] == "http://rx4rdf.sf.net/ns/archive#hasRevision" && s[0] == s[4] {
			o.known[s[2]] = data
		}
	}
	return nil
}

func (o *originalNode) store(data []row) {
	for _, r := range data {
		kind, within := r[4][:1], r[4][1:]
		if strings.HasPrefix(within, "context:") {
			within = ""
		}
		r[4] = within
		if kind == "+" {
			o.primary[r] = true
		} else {
			delete(o.primary, r)
		}
	}
}

// overlap reports whether the message touches what was changed here since its
// base, with all that is anonymous around it.
func (o *originalNode) overlap(m wireMessage, data []row) bool {
	remote, local := map[string]bool{}, map[string]bool{}
	touched(data, remote)
	for revision, rows := range o.known {
		if revision > m.BaseRevision && component(revision, m.Origin) >= component(m.BaseRevision, m.Origin) {
			touched(rows, local)
		}
	}
	o.closure(remote)
	o.closure(local)
	for id := range remote {
		if local[id] {
			return true
		}
	}
	return false
}

func touched(rows []row, into map[string]bool) {
	for _, r := range rows {
		into[r[0]] = true
		if r[3] == "R" {
			into[r[2]] = true
		}
	}
}

func (o *originalNode) closure(set map[string]bool) {
	for grew := true; grew; {
		grew = false
		for r := range o.primary {
			for _, pair := range [][2]string{{r[0], r[2]}, {r[2], r[0]}} {
				if r[3] == "R" && set[pair[0]] && statement.IsAnonymous(pair[0]) && !set[pair[1]] {
					set[pair[1]], grew = true, true
				}
			}
		}
	}
}

// write commits a local transaction: statements without scope.
func (o *originalNode) write(added, removed []row) error {
	revision, err := o.increment()
	if err != nil {
		return err
	}
	o.commit(revision, added, removed)
	o.latest = revision
	return nil
}

func (o *originalNode) commit(revision string, added, removed []row) {
	t := "context:txn:" + o.uri + ";" + revision
	const archive = "http://rx4rdf.sf.net/ns/archive#"
	m := wireMessage{Origin: o.id, BaseRevision: o.current, Revision: revision, Timestamp: o.now}
	o.now++
	m.Statements = [][]string{
		{t, archive + "baseRevision", o.current, "L", t},
		{t, archive + "hasRevision", revision, "L", t},
		{t, archive + "createdOn", strconv.FormatFloat(m.Timestamp, 'f', -1, 64), "http://www.w3.org/2001/XMLSchema#double", t},
	}
	for kind, rows := range map[string][]row{"del": removed, "add": added} {
		for _, r := range rows {
			m.Statements = append(m.Statements, []string{r[0], r[1], r[2], r[3], "context:" + kind + ":" + t + ";;" + r[4]})
		}
	}
	data := o.data(m)
	o.store(data)
	o.known[revision], o.current = data, revision
	body, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	o.out = append(o.out, ascii(body))
}

func ascii(text []byte) []byte {
	var out []byte
	for _, r := range string(text) {
		if r < 0x80 {
			out = append(out, byte(r))
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			out = fmt.Appendf(out, "\\u%04x", unit)
		}
	}
	return out
}

// increment returns the next revision, from the local mark.
func (o *originalNode) increment() (string, error) {
	if o.latest == "0" {
		return o.id + "00001", nil
	}
	parts := strings.Split(o.latest, ",")
	for i, p := range parts {
		if branchOf(p) == o.id {
			parts[i] = fmt.Sprintf("%s%05d", o.id, component(p, o.id)+1)
			return strings.Join(parts, ","), nil
		}
	}
	if slices.Max(parts) > o.id {
		return "", fmt.Errorf("branch_id %s precedes current branches in rev %s", o.id, o.latest)
	}
	return o.latest + "," + o.id + "00001", nil
}

func branchOf(part string) string { return part[:min(2, len(part))] }

func component(revision, id string) int {
	for p := range strings.SplitSeq(revision, ",") {
		if branchOf(p) == id {
			n, _ := strconv.Atoi(p[2:])
			return n
		}
	}
	return 0
}

func mergeRevisions(a, b string) string {
	all := map[string]int{}
	for p := range strings.SplitSeq(a+","+b, ",") {
		all[branchOf(p)] = max(all[branchOf(p)], component(p, branchOf(p)))
	}
	var out []string
	for id, n := range all {
		out = append(out, fmt.Sprintf("%s%05d", id, n))
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}
