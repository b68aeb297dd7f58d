// Command ctr-full is ctr with the heavy verbs linked in: those that talk to
// registries, read archives or write the image store. The lean program hands over
// to it; nobody needs to call it by its name.
package main

import (
	"os"

	"github.com/sirupsen/logrus"
	"go.podman.io/storage/pkg/reexec"

	"ctr/cmd/ctr/verbs"
	"ctr/libpod"
	"ctr/libpod/monitor"
	"ctr/libpod/oci"
	"ctr/netns/link"
)

func main() {
	if reexec.Init() { // a process of containers/storage that unpacks a layer
		return
	}
	oci.MaybeInit()
	switch os.Args[0] {
	case monitor.Name:
		verbs.Exit(monitor.Main())
	case link.Name:
		verbs.Exit(link.Main())
	case libpod.CleanName:
		verbs.Exit(libpod.CleanMain())
	}
	logrus.SetLevel(logrus.ErrorLevel) // the libraries' warnings are not ours; what fails is returned
	verbs.Exit(verbs.Main(os.Args, verbs.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, heavy()))
}
