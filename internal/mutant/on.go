//go:build mutants

package mutant

import "os"

var chosen = os.Getenv("MUTANT")

// On reports whether the code is to be broken in a way: the one that MUTANT in
// the environment names.
func On(name string) bool { return name == chosen }
