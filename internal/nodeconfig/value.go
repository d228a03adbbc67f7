package nodeconfig

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"vesperdb.io/vesper/internal/branch"
)

// read sets what target points at from a YAML value. Its errors say what was
// wanted, never the text that was found: it could be a misplaced secret.
func read(n *yaml.Node, target any) error {
	switch t := target.(type) {
	case *branch.ID:
		// The plain text, whatever YAML takes it for: 0A is a string, but an id
		// such as NO or 1E must not turn into something else.
		return readText(n, "a branch id such as 0A", (*string)(t), n.Tag != "!!null")
	case *string:
		return readText(n, "text", t, n.Tag == "!!str")
	case *Flavor:
		return readText(n, "text", (*string)(t), n.Tag == "!!str")
	case *Wire:
		return readText(n, "text", (*string)(t), n.Tag == "!!str")
	case *ConflictPolicy:
		return readText(n, "text", (*string)(t), n.Tag == "!!str")
	case *VolumeIdentity:
		return readText(n, "text", (*string)(t), n.Tag == "!!str")
	case *Retention:
		return readRetention(n, t)
	case *float64:
		return readFraction(n, t)
	case *bool:
		return readBool(n, t)
	case *int64:
		return readInt(n, t)
	case *time.Duration:
		return readDuration(n, t)
	case *[]string:
		return readHosts(n, t)
	}
	return fmt.Errorf("a value of type %T has no reader", target)
}

func readText(n *yaml.Node, want string, t *string, typed bool) error {
	if n.Kind != yaml.ScalarNode || !typed {
		return fmt.Errorf("want %s, got %s", want, describe(n))
	}
	*t = n.Value
	return nil
}

func readBool(n *yaml.Node, t *bool) error {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
		return fmt.Errorf("want true or false, got %s", describe(n))
	}
	return n.Decode(t)
}

var sizes = []struct {
	suffix string
	factor int64
}{{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}}

// readInt takes 1048576, "1048576" and 1Mi.
func readInt(n *yaml.Node, t *int64) error {
	text, factor := n.Value, int64(1)
	for _, s := range sizes {
		if rest, ok := strings.CutSuffix(text, s.suffix); ok {
			text, factor = rest, s.factor
		}
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if n.Kind != yaml.ScalarNode || err != nil || v < 0 || v > math.MaxInt64/factor {
		return fmt.Errorf("want a whole number such as 1048576 or 1Mi, got %s", describe(n))
	}
	*t = v * factor
	return nil
}

func readDuration(n *yaml.Node, t *time.Duration) error {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!int" && n.Value != "0" {
		return fmt.Errorf("want a duration with its unit such as 10s or 500ms, got a bare number")
	}
	d, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		return fmt.Errorf("want a duration such as 10s or 500ms, got %s", describe(n))
	}
	*t = d
	return nil
}

// readRetention takes forever or a duration.
func readRetention(n *yaml.Node, t *Retention) error {
	if n.Kind == yaml.ScalarNode && n.Value == forever {
		*t = Forever
		return nil
	}
	var d time.Duration
	if err := readDuration(n, &d); err != nil {
		return fmt.Errorf("want forever or a duration with its unit such as 720h, got %s", describe(n))
	}
	if d == 0 {
		return fmt.Errorf("want forever or a duration such as 720h, got zero")
	}
	*t = Retention(d)
	return nil
}

func readFraction(n *yaml.Node, t *float64) error {
	v, err := strconv.ParseFloat(n.Value, 64)
	if n.Kind != yaml.ScalarNode || n.Tag != "!!float" && n.Tag != "!!int" || err != nil || math.IsNaN(v) {
		return fmt.Errorf("want a fraction such as 0.5, got %s", describe(n))
	}
	*t = v
	return nil
}

// readHosts takes a list of "host:port" or one text of them with commas, as the
// original does.
func readHosts(n *yaml.Node, t *[]string) error {
	hosts := []string{}
	switch {
	case n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			if item = resolve(item); item.Kind != yaml.ScalarNode || item.Tag != "!!str" {
				return fmt.Errorf("want a list of host:port, got %s in it", describe(item))
			}
			hosts = append(hosts, strings.TrimSpace(item.Value))
		}
	case n.Kind == yaml.ScalarNode && n.Tag == "!!str":
		for part := range strings.SplitSeq(n.Value, ",") {
			hosts = append(hosts, strings.TrimSpace(part))
		}
	case n.Tag == "!!null":
	default:
		return fmt.Errorf("want a list of host:port, got %s", describe(n))
	}
	*t = hosts
	if len(hosts) == 0 {
		*t = nil
	}
	return nil
}

// describe names the kind of a value without showing it.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys and values"
	case yaml.SequenceNode:
		return "a list"
	default:
	}
	switch n.Tag {
	case "!!null":
		return "nothing"
	case "!!bool":
		return "true or false"
	case "!!int", "!!float":
		return "a number"
	}
	return "text"
}
