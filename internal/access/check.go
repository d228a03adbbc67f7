package access

import (
	"fmt"
	"slices"
)

// CheckTokens returns an error unless a node takes the files of tokens, by the
// names of those they belong to. The error names whose file it is, and shows none
// of the tokens.
func CheckTokens(files map[string][]byte) error {
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	all := make([]held, len(names))
	for i, name := range names {
		if len(files[name]) > maxFile {
			return fmt.Errorf("the token of %s is longer than %d bytes", name, maxFile)
		}
		digests, err := parseTokens(files[name])
		if err != nil {
			return fmt.Errorf("the token of %s: %w", name, err)
		}
		all[i] = held{Principal{Name: name}, digests}
	}
	return distinct(all)
}
