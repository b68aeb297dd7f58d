package image

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	scratchPrefix = "ctr-copy-"
	copiesLock    = "ctr-copies.lock"
)

// workdir is a directory for one operation's temporary files, on the disk of the
// store. Its lock tells others that the operation lives; the kernel lets go of it
// with the process, so what a killed one leaves is found by [Store.sweep].
type workdir struct {
	path string
	lock *os.File
}

func (s *Store) newWorkdir() (*workdir, error) {
	path, err := os.MkdirTemp(s.scratch, scratchPrefix)
	if err != nil {
		return nil, fmt.Errorf("making a temporary directory: %w", oneLine(err))
	}
	lock, err := os.Open(path)
	if err == nil {
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		os.RemoveAll(path)
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return &workdir{path: path, lock: lock}, nil
}

func (w *workdir) remove() {
	os.RemoveAll(w.path)
	w.lock.Close()
}

// sweep removes the temporary directories of operations that were killed. One
// that was made a moment ago and is not yet locked is at worst removed while
// empty, and its operation fails cleanly; so only those with something in them,
// or left by an earlier boot's processes, are of interest here.
func (s *Store) sweep() {
	entries, err := os.ReadDir(s.scratch)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), scratchPrefix) {
			continue
		}
		path := filepath.Join(s.scratch, e.Name())
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		content, _ := f.Readdirnames(1)
		if len(content) > 0 && unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			os.RemoveAll(path)
		}
		f.Close()
	}
}

// copying takes the lock that every copy shares. alone reports whether no other
// copy of ctr's runs now, and keeps others from starting until release.
func (s *Store) copying() (alone func() bool, release func(), err error) {
	f, err := os.OpenFile(filepath.Join(s.scratch, copiesLock), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("locking the image store: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH); err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("locking the image store: %w", err)
	}
	return func() bool { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil }, func() { f.Close() }, nil
}
