package lease

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Leases is the set of a user's leases, in net/ of ctr's run directory. It holds no
// state and is safe for concurrent use by any number of processes.
type Leases struct{ dir string }

const suffix = ".leases"

// Open returns the leases of ctr's run directory, which need not exist yet.
func Open(run string) *Leases { return &Leases{dir: filepath.Join(run, "net")} }

// Dir is the directory of all files of leases. It is not there before the first lease.
func (l *Leases) Dir() string { return l.dir }

// File is where the leases of a network are. Every change replaces it by another
// file, and there is none when there is no lease, so watch the directory.
func (l *Leases) File(networkID string) string { return filepath.Join(l.dir, networkID+suffix) }

// Of returns the leases of a network as they are on disk, oldest first; there may be
// void ones among them, whose holder is dead.
func (l *Leases) Of(networkID string) ([]Lease, error) {
	if err := checkID(networkID); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(l.File(networkID))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading leases: %w", err)
	}
	leases, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("leases in %s are damaged, stop the network's containers and remove the file: %w", l.File(networkID), err)
	}
	return leases, nil
}

// All returns the leases of all networks that have any, by the network's ID, void
// ones included. Files that cannot be read are left out and named by the error,
// which may come with the others.
func (l *Leases) All() (map[string][]Lease, error) {
	ids, err := l.networks()
	if err != nil {
		return nil, err
	}
	all := map[string][]Lease{}
	var failed []error
	for _, id := range ids {
		leases, err := l.Of(id)
		if err != nil {
			failed = append(failed, err)
		} else if len(leases) > 0 {
			all[id] = leases
		}
	}
	return all, errors.Join(failed...)
}

func (l *Leases) networks() (ids []string, err error) {
	entries, err := os.ReadDir(l.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing leases: %w", err)
	}
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), suffix); ok && checkID(id) == nil {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Release ends a container's lease. Where there is none it does nothing.
func (l *Leases) Release(networkID, container string) error {
	return l.change(networkID, func(leases []Lease) []Lease {
		return slices.DeleteFunc(leases, func(other Lease) bool { return other.Container == container })
	})
}

// SetNames changes the names that DNS answers to. A container without a lease of
// the network is an error.
func (l *Leases) SetNames(networkID, container string, names []string) error {
	found := false
	err := l.change(networkID, func(leases []Lease) []Lease {
		for i := range leases {
			if leases[i].Container == container {
				leases[i].Names, found = slices.Clone(names), true
			}
		}
		return leases
	})
	if err == nil && !found {
		err = fmt.Errorf("container %.12s has no lease of network %.12s", container, networkID)
	}
	return err
}

// Prune drops the void leases of all networks.
func (l *Leases) Prune() error {
	all, err := l.All()
	failed := []error{err}
	for id, leases := range all {
		if slices.ContainsFunc(leases, void) {
			failed = append(failed, l.change(id, dropVoid))
		}
	}
	return errors.Join(failed...)
}

func void(l Lease) bool { return !l.Holder.Alive() }

func dropVoid(leases []Lease) []Lease { return slices.DeleteFunc(leases, void) }

// Hold calls f with the leases of a network that are not void, while nobody can take
// or end one. A network that is removed inside f when there are none is not removed
// under a starting container, if that looks the network up again after [Leases.Take].
func (l *Leases) Hold(networkID string, f func(live []Lease) error) error {
	if err := checkID(networkID); err != nil {
		return err
	}
	unlock, err := l.lock(networkID)
	if err != nil {
		return err
	}
	defer unlock()
	leases, err := l.Of(networkID)
	if err != nil {
		return err
	}
	live := dropVoid(slices.Clone(leases))
	return errors.Join(f(live), l.write(networkID, live))
}

// change replaces the leases of a network, if it has any, by what f makes of them.
func (l *Leases) change(networkID string, f func([]Lease) []Lease) error {
	if err := checkID(networkID); err != nil {
		return err
	}
	if _, err := os.Lstat(l.File(networkID)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, err := l.lock(networkID)
	if err != nil {
		return err
	}
	defer unlock()
	leases, err := l.Of(networkID)
	if err != nil {
		return err
	}
	return l.write(networkID, f(leases))
}

func (l *Leases) lockFile(networkID string) string { return filepath.Join(l.dir, networkID+".lock") }

// lock excludes other changes of a network's leases; it ends with the process at
// the latest.
func (l *Leases) lock(networkID string) (unlock func(), err error) {
	path := l.lockFile(networkID)
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			if err = os.MkdirAll(l.dir, 0o700); err == nil {
				continue
			}
		}
		if err != nil {
			return nil, fmt.Errorf("locking leases: %w", err)
		}
		err = flock(f)
		if err == nil && same(f, path) {
			return func() { f.Close() }, nil
		}
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("locking leases: %s: %w", path, err)
		}
	}
}

func flock(f *os.File) error {
	for {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != unix.EINTR {
			return err
		}
	}
}

// same reports whether f is still the file at path: who ends the last lease removes
// the lock as well.
func same(f *os.File, path string) bool {
	held, err1 := f.Stat()
	now, err2 := os.Lstat(path)
	return err1 == nil && err2 == nil && os.SameFile(held, now)
}

// write stores the leases; none removes the files. The caller holds the lock, so one
// temporary name does, and what a killed writer left there is overwritten.
func (l *Leases) write(networkID string, leases []Lease) error {
	path := l.File(networkID)
	if len(leases) == 0 {
		return errors.Join(remove(path), remove(l.lockFile(networkID)))
	}
	if err := os.WriteFile(path+".new", encode(leases), 0o600); err != nil {
		return fmt.Errorf("writing leases: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("writing leases: %w", err)
	}
	return nil
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing leases: %w", err)
	}
	return nil
}

// checkID is nil when id may be part of a file's name.
func checkID(id string) error {
	if len(id) != 64 || strings.Trim(id, "0123456789abcdef") != "" {
		return fmt.Errorf("leases of %.70q: the ID of a network has 64 hexadecimal digits", id)
	}
	return nil
}
