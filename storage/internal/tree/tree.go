// Package tree copies, removes and measures directory trees whose content may be
// hostile. Every step is taken relative to an open directory and follows no
// symbolic link, so neither a link in the tree nor a process that changes the tree
// meanwhile can lead a step outside it.
package tree

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"golang.org/x/sys/unix"
)

// entry is one name in a directory. kind is a DT_ constant, DT_UNKNOWN on file
// systems that do not say.
type entry struct {
	name string
	kind byte
}

// batch is how many bytes of directory entries are read at once.
const batch = 32 << 10

// read calls visit with each entry of the directory, from where the descriptor
// stands; "." and ".." are left out. Entries may be removed meanwhile.
func read(fd int, visit func(entry) error) error {
	buf := make([]byte, batch)
	for {
		n, err := unix.Getdents(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return err
		}
		for rest := buf[:n]; len(rest) > 0; {
			// struct linux_dirent64: ino 8, off 8, reclen 2, type 1, name
			length := binary.NativeEndian.Uint16(rest[16:])
			name, _, _ := bytes.Cut(rest[19:length], []byte{0})
			e := entry{string(name), rest[18]}
			rest = rest[length:]
			if e.name == "." || e.name == ".." {
				continue
			}
			if err := visit(e); err != nil {
				return err
			}
		}
	}
}

// readAll reads the directory from its start.
func readAll(fd int) ([]entry, error) {
	if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil {
		return nil, err
	}
	var all []entry
	err := read(fd, func(e entry) error {
		all = append(all, e)
		return nil
	})
	return all, err
}

// openDir opens the directory name in parent. It neither follows a link nor enters
// a mount; EXDEV says that name is one.
func openDir(parent int, name string, flags uint64) (int, error) {
	how := unix.OpenHow{
		Flags:   flags | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	}
	for {
		fd, err := unix.Openat2(parent, name, &how)
		switch err {
		case unix.EINTR, unix.EAGAIN:
			continue
		case unix.ENOSYS, unix.EPERM: // before Linux 5.6, or forbidden by a seccomp filter
			return unix.Openat(parent, name, int(how.Flags), 0)
		}
		return fd, err
	}
}

// procPath is a path to what fd is open on, for system calls that take no
// descriptor of the kind that O_PATH gives.
func procPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// step wraps the error of one step on one name of the tree.
func step(op, name string, err error) error {
	if err == nil {
		return nil
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		return err
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// inode tells files apart.
type inode struct{ dev, ino uint64 }

func inodeOf(st *unix.Stat_t) inode { return inode{uint64(st.Dev), st.Ino} }

// Size is the sum of the sizes, in bytes, of the files below dir, each counted once
// however many names it has; directories count nothing, as in Docker. What cannot
// be read is left out, and the error, which then matches fs.ErrPermission, says so.
func Size(dir string) (int64, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("measuring: %w", step("open", dir, err))
	}
	defer unix.Close(fd)
	m := meter{seen: map[inode]bool{}}
	if err := m.dir(fd); err != nil {
		m.fail(dir, err)
	}
	if m.err != nil {
		return m.size, fmt.Errorf("measuring %s: %w", dir, m.err)
	}
	return m.size, nil
}

type meter struct {
	size int64
	seen map[inode]bool // files with several names
	err  error          // the first
}

func (m *meter) fail(name string, err error) {
	if m.err == nil && err != nil && err != unix.ENOENT {
		m.err = step("read", name, err)
	}
}

func (m *meter) dir(fd int) error {
	return read(fd, func(e entry) error {
		if e.kind != unix.DT_DIR {
			isDir, err := m.file(fd, e.name)
			if !isDir {
				m.fail(e.name, err)
				return nil
			}
		}
		sub, err := openDir(fd, e.name, unix.O_RDONLY)
		if err == nil {
			err = m.dir(sub)
			unix.Close(sub)
		}
		m.fail(e.name, err)
		return nil
	})
}

func (m *meter) file(dir int, name string) (isDir bool, err error) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return false, err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return true, nil
	}
	if st.Nlink > 1 {
		if m.seen[inodeOf(&st)] {
			return false, nil
		}
		m.seen[inodeOf(&st)] = true
	}
	m.size += st.Size
	return false, nil
}
