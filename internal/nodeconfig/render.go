package nodeconfig

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"vesperdb.io/vesper/internal/branch"
)

// Render writes c as a file that Load reads back as c. The same c always gives
// the same bytes. Beyond the keys that say who the node is, only what differs
// from Default is written: a later release with more keys renders an unchanged
// node to an unchanged file, so an operator's upgrade restarts nothing. An
// invalid c is refused with an *Error.
func Render(c Config) ([]byte, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	plain := Default()
	plain.Broker.enterTLS()
	plain.enterTLS()
	root, err := renderSection(&c, &plain, fileKeys)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return nil, fmt.Errorf("rendering configuration of node %s: %w", c.BranchID, err)
	}
	return b.Bytes(), nil
}

func renderSection[T any](c, plain *T, known []key[T]) (*yaml.Node, error) {
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, k := range known {
		n, err := renderKey(c, plain, k)
		if err != nil {
			return nil, err
		}
		if n != nil {
			out.Content = append(out.Content, scalar("!!str", k.name), n)
		}
	}
	return out, nil
}

// renderKey returns nil for what needs no mention.
func renderKey[T any](c, plain *T, k key[T]) (*yaml.Node, error) {
	if k.section == nil {
		switch list := k.value(c).(type) {
		case *[]Link:
			return renderList(*list, plainLink(), linkKeys)
		case *[]Index:
			return renderList(*list, Index{}, indexKeys)
		case *[]Token:
			return renderList(*list, Token{}, tokenKeys)
		}
		return renderValue(k.value(c), k.value(plain), k.always)
	}
	if k.has != nil && !k.has(c) {
		return nil, nil
	}
	n, err := renderSection(c, plain, k.section)
	if err != nil || len(n.Content) == 0 && k.has == nil {
		return nil, err
	}
	return n, nil
}

// plainLink is a link that says nothing, with all its sections.
func plainLink() Link {
	plain := DefaultLink()
	plain.Broker.enterTLS()
	return plain
}

func renderList[T any](items []T, plain T, known []key[T]) (*yaml.Node, error) {
	if len(items) == 0 {
		return nil, nil
	}
	out := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for i := range items {
		n, err := renderSection(&items[i], &plain, known)
		if err != nil {
			return nil, err
		}
		out.Content = append(out.Content, n)
	}
	return out, nil
}

func renderValue(v, plain any, always bool) (*yaml.Node, error) {
	switch v := v.(type) {
	case *branch.ID:
		// Quoted, since readers of older YAML take ids such as NO and 1E for something else.
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle, Value: string(*v)}, nil
	case *float64:
		return unless(*v == *plain.(*float64) && !always, scalar("!!float", formatFraction(*v))), nil
	case *bool:
		return unless(*v == *plain.(*bool) && !always, scalar("!!bool", strconv.FormatBool(*v))), nil
	case *int64:
		return unless(*v == *plain.(*int64) && !always, scalar("!!int", strconv.FormatInt(*v, 10))), nil
	case *time.Duration:
		return unless(*v == *plain.(*time.Duration) && !always, scalar("!!str", v.String())), nil
	case *[]string:
		return unless(slices.Equal(*v, *plain.(*[]string)) && !always, sequence(*v)), nil
	}
	text, ok := textOf(v)
	usual, _ := textOf(plain)
	if !ok {
		return nil, fmt.Errorf("rendering configuration: a value of type %T has no writer", v)
	}
	return renderText(text, usual, always), nil
}

// textOf returns the text of the types that are written as one.
func textOf(v any) (text string, ok bool) {
	switch v := v.(type) {
	case *string:
		return *v, true
	case *Flavor:
		return string(*v), true
	case *Wire:
		return string(*v), true
	case *ConflictPolicy:
		return string(*v), true
	case *VolumeIdentity:
		return string(*v), true
	case *Retention:
		return v.String(), true
	}
	return "", false
}

// formatFraction always has a point, so that YAML reads it back as a fraction.
func formatFraction(v float64) string {
	text := strconv.FormatFloat(v, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

func renderText(v, plain string, always bool) *yaml.Node {
	return unless(v == plain && !always, scalar("!!str", v))
}

func unless(leaveOut bool, n *yaml.Node) *yaml.Node {
	if leaveOut {
		return nil
	}
	return n
}

func scalar(tag, value string) *yaml.Node {
	n := &yaml.Node{}
	if tag == "!!str" {
		// SetString quotes what YAML would take for something else.
		n.SetString(value)
		return n
	}
	n.Kind, n.Tag, n.Value = yaml.ScalarNode, tag, value
	return n
}

func sequence(values []string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for _, v := range values {
		n.Content = append(n.Content, scalar("!!str", v))
	}
	return n
}
