package syntax

import (
	"maps"
	"slices"
	"strings"
)

// near returns the word of a list that another one is most likely a wrong
// spelling of, or "".
func near(word string, list []string) string {
	word = strings.ToLower(word)
	best, least := "", max(1, min(2, len(word)/3))+1
	for _, candidate := range list {
		if d := distance(word, strings.ToLower(candidate)); d < least {
			best, least = candidate, d
		}
	}
	return best
}

// distance is how many characters must be changed, left out, put in, or
// exchanged with their neighbor to make one word of another.
func distance(a, b string) int {
	if len(a) > 40 || len(b) > 40 {
		return 40
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

func functionNames() []string { return slices.Sorted(maps.Keys(arity)) }

// operationWords are the keywords that an operation begins with.
var operationWords = []string{"where", "order", "group", "limit", "offset", "depth", "mergeall", "namemap", "after"}
