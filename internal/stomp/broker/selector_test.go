package broker

import (
	"errors"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/stomp/frame"
)

func TestSelectors(t *testing.T) {
	h := frame.Header{{Key: "a", Value: "1"}, {Key: "empty", Value: ""}, {Key: "it", Value: "o'clock"}}
	for text, want := range map[string]truth{
		"a = '1'":                             yes,
		"a = '2'":                             no,
		"a <> '2'":                            yes,
		"a<>'1'":                              no,
		"empty = ''":                          yes,
		"it = 'o''clock'":                     yes,
		"missing = '1'":                       unknown,
		"missing <> '1'":                      unknown,
		"NOT missing <> '1'":                  unknown,
		"missing <> '1' OR missing IS NULL":   yes,
		"missing IS NOT NULL":                 no,
		"a is not null":                       yes,
		"a IS NULL":                           no,
		"a = '1' AND missing = '1'":           unknown,
		"a = '2' AND missing = '1'":           no,
		"a = '1' OR missing = '1'":            yes,
		"a = '2' OR missing = '1'":            unknown,
		"a = '2' AND a = '1' OR a = '1'":      yes,
		"a = '2' AND (a = '1' OR a = '1')":    no,
		"NOT a = '2' AND NOT (a = '2')":       yes,
		"  (  a  =  '1'  )  ":                 yes,
		"a = '1' AND a <> 'x' AND empty = ''": yes,
	} {
		s, err := parseSelector(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := s(h); got != want {
			t.Errorf("%s is %d, want %d", text, got, want)
		}
	}
	for _, text := range []string{
		"", " ", "a", "a =", "a = 1", "a = b", "= 'x'", "'x' = a", "a = 'x", "a = 'x' b", "a > '1'", "(a = '1'",
		"a = '1')", "a = '1' AND", "OR a = '1'", "a IS", "a IS NOT", "1a = 'x'", "a-b = 'x'", "a LIKE 'x'", "NOT",
		strings.Repeat("(", 100) + "a = '1'" + strings.Repeat(")", 100), "ä = 'x'",
	} {
		var e *selectorError
		if _, err := parseSelector(text); !errors.As(err, &e) {
			t.Errorf("%.30q was understood: %v", text, err)
		}
	}
}

// FuzzSelector: no text may crash the parser, and what parses can be asked.
func FuzzSelector(f *testing.F) {
	f.Add("clientid <> 'X' OR NOT (a IS NOT NULL AND b = 'it''s')")
	f.Fuzz(func(_ *testing.T, text string) {
		if s, err := parseSelector(text); err == nil {
			s(frame.Header{{Key: "a", Value: "1"}})
		}
	})
}
