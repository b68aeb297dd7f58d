package state

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"ctr/libpod/config"
	"ctr/pkg/atomicfile"
)

// A name is claimed by a symbolic link names/NAME -> ID: made in one step with its
// content, and refused by the kernel when it is there. A claim is dead when its
// container has no config.json and nobody holds the container's lock.

// NameInUseError is Docker's conflict message.
type NameInUseError struct{ Name, ID string }

func (e *NameInUseError) Error() string {
	return fmt.Sprintf("Conflict. The container name %q is already in use by container %q. You have to remove (or rename) that container to be able to reuse that name.", "/"+e.Name, e.ID)
}

func (s *Store) nameFile(name string) string { return filepath.Join(s.data, "names", name) }

// NewID returns a fresh container ID: 64 random hexadecimal digits.
func NewID() string {
	var b [32]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Create makes the container's directory, calls prepare to fill it, claims the
// name and commits the configuration. On error nothing is left behind. [Store.Sync]
// makes it outlast a power cut.
func (s *Store) Create(c *config.Container, prepare func(dir string) error) (err error) {
	dir := s.Dir(c.ID)
	if err := s.makeDirs(); err != nil {
		return err
	}
	lock, err := s.begin(dir)
	if err != nil {
		return fmt.Errorf("creating container %q: %w", c.Name, err)
	}
	defer lock.Close()
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	if err := prepare(dir); err != nil {
		return err
	}
	if err := s.claim(c.Name, c.ID); err != nil {
		return err
	}
	if err := writeJSON(s.configFile(c.ID), c, false); err != nil {
		os.Remove(s.nameFile(c.Name))
		return err
	}
	return nil
}

// Sync waits until the configuration of container id and its name are on the disk.
// A container that is gone meanwhile needs no disk.
func (s *Store) Sync(id string) error {
	f, err := os.Open(s.configFile(id))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("syncing container %.12s: %w", id, err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("syncing container %.12s: %w", id, err)
	}
	for _, dir := range []string{s.Dir(id), filepath.Dir(s.Dir(id)), filepath.Join(s.data, "names")} {
		if err := atomicfile.SyncDir(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// begin makes a container's directory and locks it, in one step as far as sweep
// can see.
func (s *Store) begin(dir string) (lock *os.File, err error) {
	all, err := s.lockContainers(unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	defer all.Close()
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err = tryLock(filepath.Join(dir, "lock"), true)
	if err != nil {
		os.RemoveAll(dir)
	}
	return lock, err
}

// lockContainers locks the directory of all containers for the moment in which a
// new one's lock does not exist yet: shared to make one, exclusive to look for
// those that were never finished.
func (s *Store) lockContainers(how int) (*os.File, error) {
	dir, err := os.Open(filepath.Join(s.data, "containers"))
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(dir.Fd()), how)
		if err == nil {
			return dir, nil
		}
		if err != unix.EINTR {
			dir.Close()
			return nil, fmt.Errorf("locking %s: %w", dir.Name(), err)
		}
	}
}

func (s *Store) makeDirs() error {
	containers := filepath.Join(s.data, "containers")
	if _, err := os.Stat(containers); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(s.data, "names"), 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	if err := os.MkdirAll(containers, 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	return nil
}

// claim takes name for container id, taking over a dead claim.
func (s *Store) claim(name, id string) error {
	for range 100 {
		err := os.Symlink(id, s.nameFile(name))
		if err == nil {
			return nil
		}
		if !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("claiming the name %q: %w", name, err)
		}
		holder, err := os.Readlink(s.nameFile(name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("claiming the name %q: %w", name, err)
		}
		if !s.sweep(holder) {
			return &NameInUseError{name, holder}
		}
		if err := s.dropClaim(name, holder); err != nil {
			return err
		}
	}
	return fmt.Errorf("claiming the name %q: others keep taking it", name)
}

// dropClaim removes the claim of a dead container. The names directory is locked
// meanwhile: of two that see the dead claim only one may remove it, or the second
// would remove the first one's new claim.
func (s *Store) dropClaim(name, holder string) error {
	dir, err := os.Open(filepath.Join(s.data, "names"))
	if err != nil {
		return fmt.Errorf("releasing the name %q: %w", name, err)
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("releasing the name %q: %w", name, err)
	}
	if now, err := os.Readlink(s.nameFile(name)); err != nil || now != holder {
		return nil
	}
	if err := os.Remove(s.nameFile(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("releasing the name %q: %w", name, err)
	}
	return nil
}

// sweep removes the directory of a container that was never committed, and
// reports whether id is (now) no container. One that is being created is.
func (s *Store) sweep(id string) bool {
	if _, err := os.Stat(s.configFile(id)); err == nil {
		return false
	}
	if _, err := os.Stat(s.Dir(id)); errors.Is(err, os.ErrNotExist) {
		return true
	}
	all, err := s.lockContainers(unix.LOCK_EX)
	if err != nil {
		return false
	}
	defer all.Close()
	lock, err := tryLock(filepath.Join(s.Dir(id), "lock"), false)
	if err == nil {
		defer lock.Close()
	} else if !errors.Is(err, os.ErrNotExist) {
		return false
	}
	if _, err := os.Stat(s.configFile(id)); err == nil {
		return false
	}
	return os.RemoveAll(s.Dir(id)) == nil
}

// Rename gives container c another name. The caller holds the container's lock.
// It changes c.
func (s *Store) Rename(c *config.Container, name string) error {
	old := c.Name
	if err := s.claim(name, c.ID); err != nil {
		return err
	}
	c.Name = name
	if err := writeJSON(s.configFile(c.ID), c, true); err != nil {
		c.Name = old
		return errors.Join(err, s.dropClaim(name, c.ID))
	}
	return s.dropClaim(old, c.ID)
}

// Replace writes the configuration of container c anew, durably. The caller holds the
// container's lock.
func (s *Store) Replace(c *config.Container) error {
	return writeJSON(s.configFile(c.ID), c, true)
}

// Discard ends the container's existence: its directory moves into the trash
// under the returned path, its name is free. The caller holds the container's
// lock, has checked that it does not run, and removes the path.
func (s *Store) Discard(id string) (trash string, err error) {
	bin := filepath.Join(s.data, "trash")
	if err := os.MkdirAll(bin, 0o700); err != nil {
		return "", fmt.Errorf("removing container %.12s: %w", id, err)
	}
	name := ""
	if c, err := s.Load(id); err == nil {
		name = c.Name
	}
	trash = filepath.Join(bin, id)
	if err := os.Rename(s.Dir(id), trash); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return "", &NoSuchContainerError{id}
		}
		return "", fmt.Errorf("removing container %.12s: %w", id, err)
	}
	if name == "" {
		name = s.nameOf(id)
	}
	if name != "" {
		err = s.dropClaim(name, id)
	}
	return trash, errors.Join(err, os.RemoveAll(s.RunDir(id)))
}

// nameOf searches the claims, for a container whose configuration cannot be read.
func (s *Store) nameOf(id string) string {
	entries, _ := os.ReadDir(filepath.Join(s.data, "names"))
	for _, e := range entries {
		if holder, err := os.Readlink(s.nameFile(e.Name())); err == nil && holder == id {
			return e.Name()
		}
	}
	return ""
}

// Trash lists what is left to remove of containers that are gone. What was put there
// within the last second is being removed by whoever put it there.
func (s *Store) Trash() []string {
	entries, _ := os.ReadDir(filepath.Join(s.data, "trash"))
	paths := make([]string, 0, len(entries))
	for _, e := range entries {
		path := filepath.Join(s.data, "trash", e.Name())
		var st unix.Stat_t
		if unix.Lstat(path, &st) == nil && time.Since(time.Unix(st.Ctim.Unix())) > time.Second {
			paths = append(paths, path)
		}
	}
	return paths
}

// Lock waits for container id to be this process's to change: start, remove,
// rename. The lock belongs to the open file, so passing it to a child shares it;
// it ends when the last holder closes it or dies.
func (s *Store) Lock(ctx context.Context, id string) (*os.File, error) {
	path := filepath.Join(s.Dir(id), "lock")
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		f, err := tryLock(path, true)
		switch {
		case err == nil && sameFile(f, path):
			return f, nil
		case err == nil: // removed while we waited
			f.Close()
			return nil, &NoSuchContainerError{id}
		case errors.Is(err, os.ErrNotExist):
			return nil, &NoSuchContainerError{id}
		case !errors.Is(err, unix.EWOULDBLOCK):
			return nil, fmt.Errorf("locking container %.12s: %w", id, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("locking container %.12s: %w", id, ctx.Err())
		case <-time.After(wait):
		}
	}
}

func tryLock(path string, create bool) (*os.File, error) {
	flags := os.O_RDWR
	if create {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func sameFile(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}
