// Command ctr runs containers without a daemon and without root.
package main

import (
	"os"

	"ctr/cmd/ctr/verbs"
	"ctr/libpod"
	"ctr/libpod/monitor"
	"ctr/libpod/oci"
	"ctr/netns/link"
)

func main() {
	oci.MaybeInit()
	switch os.Args[0] {
	case monitor.Name:
		verbs.Exit(monitor.Main())
	case link.Name:
		verbs.Exit(link.Main())
	case libpod.CleanName:
		verbs.Exit(libpod.CleanMain())
	}
	verbs.Exit(verbs.Main(os.Args, verbs.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, nil))
}
