package syntax

import (
	"strings"
	"testing"
)

func TestAMisspeltWordIsToldByTheOneItIsLike(t *testing.T) {
	for query, hint := range map[string]string{
		"{title wher year > 1}":        "did you mean where",
		"{title hwere year > 1}":       "did you mean where",
		"{title where a ordre by b}":   "did you mean order",
		"{title lmit 3}":               "did you mean limit",
		"{'a': uper(title)}":           "did you mean upper",
		"{'a': Count(title)}":          "did you mean count",
		"{'a': getTransactionID(p)}":   "did you mean getTransactionId",
		"{'a': nothinglikeit(title)}":  "unknown function \"nothinglikeit\": see the list of functions",
		"{'a': upper()}":               "upper takes 1 argument, and here are 0",
		"{'a': trim(a, b, c)}":         "trim takes 1 to 2 arguments, and here are 3",
		"{title completely different}": `"}" should be here`,
	} {
		if _, err := Parse(query); err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: %v, want %q", query, err, hint)
		}
	}
}
