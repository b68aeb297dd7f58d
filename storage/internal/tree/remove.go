package tree

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxDepth is how deep removal descends with one descriptor per level. Deeper
// directories are first moved up to the top of the tree.
const maxDepth = 64

// Remove removes path and everything below it, as far as it can; a missing path is
// no error. It opens up directories that their modes close, stays out of mounts, and
// goes on after an error, of which it returns the first: one that matches
// fs.ErrPermission says that something belongs to an id that the caller cannot act for.
func Remove(path string) error {
	path = filepath.Clean(path)
	parent, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing: %w", step("open", filepath.Dir(path), err))
	}
	defer unix.Close(parent)
	var r remover
	if err := r.remove(parent, entry{name: filepath.Base(path)}, 0); err != nil {
		return fmt.Errorf("removing %s: %w", path, err)
	}
	return nil
}

type remover struct {
	top   int // the tree's root, once open
	moved int // names used up in top
}

// swaps is how often a name may turn from a directory into something else and back
// while it is being removed.
const swaps = 100

// remove removes one name. Nothing is done about a name that is already gone.
func (r *remover) remove(parent int, e entry, depth int) error {
	var err error
	for range swaps {
		switch err = r.removeAs(parent, e, depth); {
		case errors.Is(err, unix.EISDIR):
			e.kind = unix.DT_DIR
		case errors.Is(err, unix.ENOTDIR):
			e.kind = unix.DT_UNKNOWN
		default:
			return err
		}
	}
	return err
}

// removeAs removes one name as what it was when it was looked at. EISDIR and ENOTDIR
// say that it is something else now.
func (r *remover) removeAs(parent int, e entry, depth int) error {
	if e.kind != unix.DT_DIR {
		switch err := unix.Unlinkat(parent, e.name, 0); err {
		case nil, unix.ENOENT:
			return nil
		case unix.EISDIR:
		default:
			return step("remove", e.name, err)
		}
	}
	if depth >= maxDepth && r.moveUp(parent, e.name) {
		return nil
	}
	fd, err := openUp(parent, e.name)
	switch err {
	case nil:
	case unix.ENOENT:
		return nil
	case unix.ENOTDIR, unix.ELOOP: // no longer a directory
		return step("remove", e.name, gone(unix.Unlinkat(parent, e.name, 0)))
	default:
		return step("open", e.name, err)
	}
	defer unix.Close(fd)
	if depth == 0 {
		r.top = fd
	}
	failed := r.empty(fd, depth)
	if err := gone(unix.Unlinkat(parent, e.name, unix.AT_REMOVEDIR)); err != nil {
		if failed != nil {
			return failed
		}
		return step("remove", e.name, err)
	}
	return nil
}

// empty removes a directory's entries, again and again while that gets anywhere:
// entries may appear meanwhile, not least those that are moved up.
func (r *remover) empty(fd, depth int) error {
	for {
		var failed error
		removed := 0
		err := read(fd, func(e entry) error {
			if err := r.remove(fd, e, depth+1); err == nil {
				removed++
			} else if failed == nil {
				failed = err
			}
			return nil
		})
		if err != nil {
			return step("read", "directory", err)
		}
		if removed == 0 {
			return failed
		}
		if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil {
			return step("rewind", "directory", err)
		}
	}
}

// moveUp moves a deep directory to the top of the tree, where a later pass finds it.
func (r *remover) moveUp(parent int, name string) bool {
	for {
		r.moved++
		err := unix.Renameat2(parent, name, r.top, ".ctr-deep-"+strconv.Itoa(r.moved), unix.RENAME_NOREPLACE)
		if err == nil {
			return true
		}
		if err != unix.EEXIST {
			return false
		}
	}
}

// openUp opens a directory for reading, and gives its owner full access to it.
func openUp(parent int, name string) (int, error) {
	fd, err := openDir(parent, name, unix.O_RDONLY)
	if err == nil {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && st.Mode&0o700 != 0o700 {
			unix.Fchmod(fd, 0o700) // when it is not ours to change, removing its entries says so
		}
		return fd, nil
	}
	if err != unix.EACCES {
		return -1, err
	}
	handle, err := openDir(parent, name, unix.O_PATH)
	if err != nil {
		return -1, err
	}
	defer unix.Close(handle)
	if err := unix.Chmod(procPath(handle), 0o700); err != nil {
		return -1, err
	}
	return unix.Openat(handle, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

func gone(err error) error {
	if err == unix.ENOENT {
		return nil
	}
	return err
}
