package store

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// The file is mapped into memory, so a damaged page shows as a panic of bbolt
// or as a fault at an address that is not there. Neither may end the process:
// it has other things to tell.

// shield runs fn and turns both into a *CorruptError.
func shield(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = &CorruptError{What: "the file", Err: fmt.Errorf("panic: %v", p)}
		}
	}()
	return fn()
}

// shieldFaults is shield for functions of others, whose own panics are theirs.
func shieldFaults(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		fault, ok := p.(interface {
			runtime.Error
			Addr() uintptr
		})
		if !ok {
			panic(p) // not the file's: whose it is shall see it
		}
		err = &CorruptError{What: "the file", Err: fault}
	}()
	return fn()
}
