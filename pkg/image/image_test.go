package image

import (
	"os"
	"path/filepath"
	"testing"

	"go.podman.io/storage"
)

// Another program's store in the same place, as older skopeos leave with vfs, must not
// make ours unusable.
func TestStoreBesideOneOfAnotherDriver(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("unpacks layers with their owners: needs root")
	}
	dir, err := os.MkdirTemp("", "ctr-image-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	o := storage.StoreOptions{GraphRoot: filepath.Join(dir, "graph"), RunRoot: filepath.Join(dir, "run")}
	for range 2 {
		s, err := OpenAt(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.EnsureHello(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.lookup("hello"); err != nil {
			t.Error(err)
		}
		s.Close()
		if err := os.MkdirAll(filepath.Join(o.GraphRoot, "vfs-images"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(o.GraphRoot, "vfs/dir"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
}
