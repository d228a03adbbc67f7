//go:build !mutants

package mutant

// On reports whether the code is to be broken in a way; it never is in this
// program.
func On(string) bool { return false }
