// Package version says which release a program was built from.
package version

// Version is the release, set by the linker with
// -ldflags "-X vesperdb.io/vesper/internal/version.Version=v0.1.0".
var Version = "v0.1.0-dev"
