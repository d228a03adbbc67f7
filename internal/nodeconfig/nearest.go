package nodeconfig

import "strings"

// nearest returns the name that s was most likely meant to be, or "" when none
// is close. Case, "_" and "-" do not count, so branch-ID finds branchId.
func nearest(s string, names []string) string {
	best, bestDistance := "", len(s)/3+2
	for _, name := range names {
		d := distance(fold(s), fold(name))
		if d < bestDistance {
			best, bestDistance = name, d
		}
	}
	return best
}

func fold(s string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(s))
}

// distance counts the edits (insert, delete, substitute) between a and b.
func distance(a, b string) int {
	previous := make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			substitute := previous[j]
			if a[i] != b[j] {
				substitute++
			}
			row[j+1] = min(substitute, previous[j+1]+1, row[j]+1)
		}
		previous = row
	}
	return previous[len(b)]
}
