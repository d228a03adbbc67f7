package docs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// more stands in a shown answer for what is left out: a key or last item of
// JSON, a line of text.
const more = "…"

// moving are parts of an answer that differ at every run: times, hashes and
// generated ids, the broker's port, the release.
var moving = []struct {
	form *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`x?[0-9a-f]{16,}`), "HEX"},
	{regexp.MustCompile(`127\.0\.0\.1:\d{4,5}`), "ADDRESS"},
	{regexp.MustCompile(`\bv\d+\.\d+\.\d+[\w.+-]*`), "VERSION"},
	{regexp.MustCompile(`^Date: .*`), "Date"},
}

// movingNumbers are the keys of numbers that differ at every run.
var movingNumbers = []string{"elapsed", "oldestAgeSeconds", "seconds", "bytes", "free", "volume"}

func still(s string) string {
	for _, m := range moving {
		s = m.form.ReplaceAllString(s, m.as)
	}
	return s
}

func decode(text string) (any, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("more than one JSON value")
	}
	return v, nil
}

// matchJSON returns how an answer differs from the one shown, nil if it does not.
func matchJSON(shown, got string) error {
	want, err := decode(shown)
	if err != nil {
		return fmt.Errorf("the JSON shown: %w", err)
	}
	have, err := decode(got)
	if err != nil {
		return fmt.Errorf("the answer is not JSON: %w", err)
	}
	return matchValue("", want, have)
}

func matchValue(path string, want, got any) error {
	switch w := want.(type) {
	case map[string]any:
		return matchObject(path, w, got)
	case []any:
		return matchList(path, w, got)
	case string:
		if g, ok := got.(string); ok && still(w) == still(g) {
			return nil
		}
	case json.Number:
		if _, ok := got.(json.Number); ok && slices.Contains(movingNumbers, path[strings.LastIndex(path, "/")+1:]) {
			return nil
		}
	}
	if want != got {
		return fmt.Errorf("at %q: shown is %v, answered was %v", path, want, got)
	}
	return nil
}

func matchObject(path string, want map[string]any, got any) error {
	have, ok := got.(map[string]any)
	if !ok {
		return fmt.Errorf("at %q: shown is an object, answered was %v", path, got)
	}
	_, open := want[more]
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if k == more {
			continue
		}
		if _, ok := have[k]; !ok {
			return fmt.Errorf("at %q: the key %q is shown and was not answered", path, k)
		}
		if err := matchValue(path+"/"+k, want[k], have[k]); err != nil {
			return err
		}
	}
	for _, k := range slices.Sorted(maps.Keys(have)) {
		if _, ok := want[k]; !ok && !open {
			return fmt.Errorf("at %q: the key %q was answered and is not shown", path, k)
		}
	}
	return nil
}

func matchList(path string, want []any, got any) error {
	have, ok := got.([]any)
	if !ok {
		return fmt.Errorf("at %q: shown is a list, answered was %v", path, got)
	}
	if n := len(want); n > 0 && want[n-1] == more {
		want = want[:n-1]
		have = have[:min(len(have), n-1)]
	}
	if len(want) != len(have) {
		return fmt.Errorf("at %q: %d items are shown, %d were answered", path, len(want), len(have))
	}
	for i := range want {
		if err := matchValue(fmt.Sprintf("%s[%d]", path, i), want[i], have[i]); err != nil {
			return err
		}
	}
	return nil
}

// matchText compares line by line; a line that is more stands for any number of lines.
func matchText(shown, got string) error {
	want, have := lines(shown), lines(got)
	skip := false
	for i, w := range want {
		if w == more {
			skip = true
			continue
		}
		at := slices.IndexFunc(have, func(h string) bool { return still(h) == still(w) })
		if at < 0 || at > 0 && !skip {
			return fmt.Errorf("line %d, %q, is shown and was not answered there", i+1, w)
		}
		have, skip = have[at+1:], false
	}
	if len(have) > 0 && !skip {
		return fmt.Errorf("answered and not shown: %q", have)
	}
	return nil
}

func lines(text string) []string {
	var out []string
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		out = append(out, strings.TrimRight(line, " \t\r"))
	}
	return out
}

func TestAnswersThatDifferDoNotMatch(t *testing.T) {
	for name, c := range map[string]struct{ shown, got string }{
		"value":        {`{"a": 1}`, `{"a": 2}`},
		"type":         {`{"a": 1}`, `{"a": "1"}`},
		"double":       {`{"a": 1}`, `{"a": 1.0}`},
		"missing key":  {`{"a": 1, "b": 2}`, `{"a": 1}`},
		"further key":  {`{"a": 1}`, `{"a": 1, "b": 2}`},
		"order":        {`[1, 2]`, `[2, 1]`},
		"length":       {`[1]`, `[1, 2]`},
		"open, absent": {`[1, 2, "…"]`, `[1]`},
		"no time":      {`"2026-01-01T00:00:00Z"`, `"today"`},
		"no list":      {`[]`, `{}`},
		"no JSON":      {`[]`, `nothing`},
		"two":          {`[]`, `[] {}`},
	} {
		t.Run(name, func(t *testing.T) {
			if matchJSON(c.shown, c.got) == nil {
				t.Errorf("%s passes for %s", c.got, c.shown)
			}
		})
	}
}

func TestAnswersMatchApartFromWhatMoves(t *testing.T) {
	for shown, got := range map[string]string{
		`{"t": "2026-01-01T00:00:00Z"}`:              `{"t": "2031-12-31T10:11:12.123456Z"}`,
		`{"id": "bnode:j:t:object:x` + hex32 + `1"}`: `{"id": "bnode:j:t:object:xffffffffffffffffffffffffffffffff1"}`,
		`{"a": 1, "…": "…"}`:                         `{"a": 1, "b": 2}`,
		`[1, "…"]`:                                   `[1, 2, 3]`,
		`{"elapsed": 0.1}`:                           `{"elapsed": 7}`,
	} {
		if err := matchJSON(shown, got); err != nil {
			t.Errorf("%s does not pass for %s: %v", got, shown, err)
		}
	}
}

const hex32 = "0123456789abcdef0123456789abcdef"

func TestTextMatchesLineByLine(t *testing.T) {
	for _, c := range []struct {
		shown, got string
		same       bool
	}{
		{"a\nb", "a\r\nb\n", true},
		{"a\n…\nc", "a\nb\nb\nc", true},
		{"a\n…", "a\nb", true},
		{"a\nc", "a\nb\nc", false},
		{"a", "a\nb", false},
		{"a\n…\nd", "a\nb\nc", false},
	} {
		if err := matchText(c.shown, c.got); (err == nil) != c.same {
			t.Errorf("%q for %q: got %v, want equal: %t", c.got, c.shown, err, c.same)
		}
	}
}
