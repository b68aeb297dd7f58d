package tree

import (
	"bytes"
	"strings"

	"golang.org/x/sys/unix"
)

// CopyAttributes gives the file or directory dst the owner, mode, extended
// attributes and times of src, as far as the caller may.
func CopyAttributes(dst, src int) error {
	var st unix.Stat_t
	if err := unix.Fstat(src, &st); err != nil {
		return err
	}
	if err := unix.Fchown(dst, int(st.Uid), int(st.Gid)); err != nil && !refused(err) {
		return err
	}
	if err := unix.Fchmod(dst, st.Mode&0o7777); err != nil {
		return err
	}
	if err := copyXattrs(dst, src); err != nil {
		return err
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	return unix.UtimesNanoAt(unix.AT_FDCWD, procPath(dst), times, 0)
}

// refused reports that the caller's namespace or the file system does not allow
// what was tried, as opposed to an error of the disk.
func refused(err error) bool {
	switch err {
	case unix.EPERM, unix.EINVAL, unix.EACCES, unix.EOPNOTSUPP, unix.ENOSYS, unix.EOVERFLOW:
		return true
	}
	return false
}

func copyXattrs(dst, src int) error {
	list, err := grow(func(buf []byte) (int, error) { return unix.Flistxattr(src, buf) })
	if err != nil {
		if refused(err) {
			return nil
		}
		return err
	}
	for raw := range bytes.SplitSeq(list, []byte{0}) {
		name := string(raw)
		if !copiedXattr(name) {
			continue
		}
		value, err := grow(func(buf []byte) (int, error) { return unix.Fgetxattr(src, name, buf) })
		if err == nil {
			err = unix.Fsetxattr(dst, name, value, 0)
		}
		if err != nil && err != unix.ENODATA && !refused(err) {
			return err
		}
	}
	return nil
}

// copiedXattr leaves out what overlay keeps its own books with, and labels, which
// the destination gets by the host's policy.
func copiedXattr(name string) bool {
	switch {
	case name == "" || name == "security.selinux":
		return false
	case strings.HasPrefix(name, "trusted.overlay."), strings.HasPrefix(name, "user.overlay."),
		strings.HasPrefix(name, "user.fuseoverlayfs."), strings.HasPrefix(name, "user.containers."):
		return false
	}
	return true
}

// grow calls get with a buffer that is large enough.
func grow(get func([]byte) (int, error)) ([]byte, error) {
	buf := make([]byte, 256)
	for {
		n, err := get(buf)
		if err == unix.ERANGE {
			buf = make([]byte, 64<<10) // the kernel's limit for names and values
			if n, err = get(buf); err == unix.ERANGE {
				return nil, err
			}
		}
		if err != nil {
			return nil, err
		}
		return buf[:n], nil
	}
}

// whiteoutPrefix begins the names with which fuse-overlayfs hides others where it
// cannot make the device nodes that say so.
const whiteoutPrefix = ".wh."

// isOpaque reports whether a layer's directory hides those below it.
func isOpaque(fd int) bool {
	var value [2]byte
	for _, name := range []string{"trusted.overlay.opaque", "user.overlay.opaque", "user.fuseoverlayfs.opaque"} {
		if n, err := unix.Fgetxattr(fd, name, value[:]); err == nil && n == 1 && value[0] == 'y' {
			return true
		}
	}
	return unix.Faccessat(fd, whiteoutPrefix+".wh..opq", unix.F_OK, unix.AT_SYMLINK_NOFOLLOW) == nil
}

// isWhiteout reports whether a layer's file says that the name does not exist.
func isWhiteout(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

func copyLink(dst, src int, name string, st *unix.Stat_t) error {
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(src, name, target)
	if err != nil {
		return err
	}
	if err := unix.Symlinkat(string(target[:n]), dst, name); err != nil {
		return err
	}
	return nameAttributes(dst, name, st)
}

// copyNode makes a fifo, a socket or a device node; the last only where the caller may.
func copyNode(dst int, name string, st *unix.Stat_t) error {
	if err := unix.Mknodat(dst, name, st.Mode, int(st.Rdev)); err != nil {
		if err == unix.EPERM {
			return nil
		}
		return err
	}
	if err := unix.Fchmodat(dst, name, st.Mode&0o7777, 0); err != nil {
		return err
	}
	return nameAttributes(dst, name, st)
}

func nameAttributes(dst int, name string, st *unix.Stat_t) error {
	err := unix.Fchownat(dst, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW)
	if err != nil && !refused(err) {
		return err
	}
	return unix.UtimesNanoAt(dst, name, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}
