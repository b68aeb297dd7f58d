// Package initbin carries the program that is pid 1 of a container with --init:
// it forwards signals, reaps orphans and exits as its child did. See init.c.
package initbin

import _ "embed"

//go:embed init.embed
var program []byte

// Bytes is the program: a static executable of a few kilobytes for this machine's
// architecture, called as `init -- PROGRAM ARGS...`. It must not be changed.
func Bytes() []byte { return program }
