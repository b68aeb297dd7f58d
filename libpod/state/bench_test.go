package state

import (
	"testing"

	"ctr/libpod/config"
)

// BenchmarkList is what `ps -a` costs for one container that has ended.
func BenchmarkList(b *testing.B) {
	s := Open(b.TempDir(), b.TempDir())
	c := &config.Container{Version: 1, ID: NewID(), Name: "benchmark", Image: config.ImageRef{Name: "busybox", ID: NewID()}, Cmd: []string{"true"},
		Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}}
	if err := s.Create(c, func(string) error { return nil }); err != nil {
		b.Fatal(err)
	}
	if err := s.WriteExit(c.ID, Exit{}, false); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Load(c.ID); err != nil {
			b.Fatal(err)
		}
		if _, err := s.State(c.ID); err != nil {
			b.Fatal(err)
		}
	}
}
