package repr

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"vesperdb.io/vesper/internal/jsonql/syntax"
	"vesperdb.io/vesper/internal/statement"
)

// Parse reads a printed tree; positions in the query are bytes of the text. It
// refuses what it does not know rather than leave it out.
func Parse(text string) (*syntax.Query, error) {
	n, err := read(text)
	if err != nil {
		return nil, err
	}
	b := &builder{columns: map[string]map[string]bool{}}
	b.declare(n, "")
	root, err := b.selection(n)
	if err != nil {
		return nil, err
	}
	return &syntax.Query{Text: text, Root: root}, nil
}

// builder makes our tree. A row set goes by the name of its join; one without a
// name, by its place.
type builder struct {
	// columns are the properties that the filters of each row set read, by which
	// the original finds out what a name without a label means.
	columns map[string]map[string]bool
}

// declare notes the columns of all row sets.
func (b *builder) declare(n *node, set string) {
	switch {
	case n.name == "Select":
		set = mainSet(n)
	case n.name == "JoinConditionOp":
		if p, err := partOf(n); err == nil && isJoin(p.op) && !p.same() {
			set = apart(p.op)
		}
	case isJoin(n):
		set = setName(n, set)
	case n.name == "Filter":
		for _, label := range n.texts("objectlabel") {
			if b.columns[set] == nil {
				b.columns[set] = map[string]bool{}
			}
			b.columns[set][label] = true
		}
	}
	for _, inner := range n.nodes() {
		b.declare(inner, set)
	}
	if where, ok := n.named["where"].(*node); ok {
		b.declare(where, set)
	}
}

func isJoin(n *node) bool { return n.name == "Join" || n.name == "Union" || n.name == "Except" }

// setName is the row set of a join inside of another one's: its own, if it is
// named, or it is joined by something else than being the same object.
func setName(n *node, outer string) string {
	if name, ok := n.named["name"].(string); ok {
		return name
	}
	return outer
}

// apart names the row set of a join that has no name and is joined to others.
func apart(join *node) string { return fmt.Sprintf("at%d", join.at) }

// mainSet is the row set that a selection constructs.
func mainSet(n *node) string {
	if construct, ok := n.arg(0).(*node); ok {
		if label := subjectLabel(construct); label != "" {
			return label
		}
	}
	if where, ok := n.named["where"].(*node); ok {
		return setName(where, "")
	}
	return ""
}

// subjectLabel is the label that a construct names its objects by.
func subjectLabel(construct *node) string {
	items, _ := construct.arg(0).(list)
	for _, it := range items {
		if s, ok := it.(*node); ok && s.name == "ConstructSubject" {
			if label, ok := s.arg(1).(*node); ok {
				return label.text(0)
			}
		}
	}
	return ""
}

// selection makes a construct of a Select.
func (b *builder) selection(n *node) (*syntax.Construct, error) {
	construct, ok := n.arg(0).(*node)
	if n.name != "Select" || !ok || construct.name != "Construct" {
		return nil, fault(n.at, "%s is no selection with a construct", n.name)
	}
	set := mainSet(n)
	c := &syntax.Construct{At: n.at, Limit: -1, Label: set, MergeAll: n.flag(-1, "mergeall")}
	switch construct.arg(1) {
	case word("list"):
		c.Shape = syntax.List
	case word("object"):
		c.Shape = syntax.Value
	}
	items, _ := construct.arg(0).(list)
	for _, it := range items {
		if err := b.item(c, it, set); err != nil {
			return nil, err
		}
	}
	if where, ok := n.named["where"].(*node); ok {
		if !isJoin(where) {
			return nil, fault(where.at, "%s is no condition", where.name)
		}
		var err error
		if c.Where, err = b.join(where, set); err != nil {
			return nil, err
		}
	}
	return c, b.operations(n, c, set)
}

// item adds one part of a row.
func (b *builder) item(c *syntax.Construct, v any, set string) error {
	p, ok := v.(*node)
	if !ok || p.name != "ConstructProp" && p.name != "ConstructSubject" {
		return fault(c.At, "a construct has an item that is neither a property nor its subject")
	}
	if p.name == "ConstructSubject" {
		return nil // it is shown by "*" and names the row set: see subjectLabel
	}
	it := syntax.Item{At: p.at, ForceList: p.text(3) == "uselist", OmitNull: p.text(2) == "omit"}
	if p.text(2) == "uselist" && !it.ForceList {
		return fault(p.at, "a list that is only made of nothing has no form in a query")
	}
	value, _ := p.arg(1).(*node)
	if value == nil {
		return fault(p.at, "a property has no value")
	}
	key, computed := p.arg(5).(*node)
	star := value.name == "Project" && isStar(value)
	if it.Star = star && !computed; it.Star {
		c.Items = append(c.Items, it)
		return nil
	}
	var err error
	if it.Value, err = b.expr(value, place{set: set, whole: star}); err != nil {
		return err
	}
	if c.Shape == syntax.Object {
		if it.Key, err = b.key(p, key, value, set); err != nil {
			return err
		}
	}
	c.Items = append(c.Items, it)
	return nil
}

// key is the name of a part of a row: computed, or given, or that of the value.
func (b *builder) key(p, computed, value *node, set string) (syntax.Expr, error) {
	if computed != nil {
		return b.expr(computed, place{set: set})
	}
	name, given := p.arg(0).(string)
	if fields, _ := value.arg(0).(list); !given && value.name == "Project" && len(fields) > 0 {
		if name, given = fields[len(fields)-1].(string); !given {
			name, given = "id", fields[0] == number("0")
		}
	}
	if !given {
		return nil, fault(p.at, "a property has no name")
	}
	return &syntax.Literal{Pos: syntax.Pos{At: p.at}, Term: statement.Literal(name)}, nil
}

func (b *builder) operations(n *node, c *syntax.Construct, set string) error {
	for name, to := range map[string]*int{"limit": &c.Limit, "offset": &c.Offset, "depth": &c.Depth} {
		if n.named[name] == nil {
			continue
		}
		text, _ := n.named[name].(number)
		count, err := strconv.Atoi(string(text))
		if err != nil || count < 0 {
			return fault(n.at, "%s is no whole number", name)
		}
		*to = count
	}
	if names, ok := n.named["namemap"].(dict); ok && len(names) > 0 {
		text, err := json.Marshal(jsonOf(names))
		if err != nil {
			return fault(n.at, "the namemap: %v", err)
		}
		c.Namemap, c.NamemapAt = string(text), n.at
	}
	if group, ok := n.named["groupby"].(*node); ok {
		for _, key := range group.nodes() {
			e, err := b.expr(key, place{set: set})
			if err != nil {
				return err
			}
			c.GroupBy = append(c.GroupBy, e)
		}
	}
	return b.order(n, c, set)
}

func (b *builder) order(n *node, c *syntax.Construct, set string) error {
	order, ok := n.named["orderby"].(*node)
	if !ok {
		return nil
	}
	for _, key := range order.nodes() {
		value, ok := key.arg(0).(*node)
		if key.name != "SortExp" || !ok {
			return fault(key.at, "%s is no key of an order", key.name)
		}
		e, err := b.expr(value, place{set: set})
		if err != nil {
			return err
		}
		if m, ok := e.(*syntax.Maybe); ok {
			e = m.Inner // as every key of an order is
		}
		c.OrderBy = append(c.OrderBy, syntax.SortKey{Value: e, Desc: key.arg(1) == true})
	}
	return nil
}

// jsonOf is a printed value as one of JSON.
func jsonOf(v any) any {
	switch v := v.(type) {
	case dict:
		out := map[string]any{}
		for _, m := range v {
			if key, ok := m.key.(string); ok {
				out[key] = jsonOf(m.value)
			}
		}
		return out
	case list:
		out := []any{}
		for _, item := range v {
			out = append(out, jsonOf(item))
		}
		return out
	case number:
		return json.Number(v)
	case word:
		return string(v)
	default:
		return v
	}
}

// technical reports whether a label is one that the original made for itself.
func technical(label string) bool { return strings.HasPrefix(label, "#") }
