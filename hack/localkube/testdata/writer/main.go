// Writer proves that it may write to its volume and not to its root, then waits to be ended.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if err := os.WriteFile("/data/written", []byte("by a pod"), 0o600); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if err := os.WriteFile("/written", nil, 0o600); err == nil {
		fmt.Println("the root is writable")
		os.Exit(2)
	}
	fmt.Println("written")
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	<-c
}
