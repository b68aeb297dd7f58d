// Package hello carries the program of the image that is built into ctr.
package hello

import _ "embed"

//go:embed hello.embed
var program []byte

// Program is a static executable of a few kilobytes that greets whoever runs it;
// see hello.c. It must not be changed.
func Program() []byte { return program }
