package rootfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	pathrs "github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"
)

// maxFile is the largest passwd or group file that is read.
const maxFile = 4 << 20

// openRoot opens the directory that all paths of this package are below.
func openRoot(root string) (*os.File, error) {
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the container's root %s: %w", root, err)
	}
	return os.NewFile(uintptr(fd), root), nil
}

// openInRoot opens name below root as O_PATH, so that nothing happens to what it is.
// The kernel keeps links within root; pathrs does it where the kernel cannot. Going
// to pathrs first would cost a start 1.2 ms, for checks of /proc that are not needed here.
func openInRoot(root *os.File, name string) (*os.File, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(int(root.Fd()), name, &how)
	switch {
	case err == nil:
		return os.NewFile(uintptr(fd), name), nil
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM), errors.Is(err, unix.EAGAIN): // old, filtered, or raced
		return pathrs.OpenatInRoot(root, name)
	}
	return nil, &os.PathError{Op: "openat2", Path: name, Err: err}
}

// readBounded is the content of a regular file below root. What is missing, is no
// regular file, or is a symbolic link that leads nowhere or in circles, is empty: a
// FIFO or a device must neither be waited for nor touched. A file over maxFile is an error.
func readBounded(root *os.File, name string) ([]byte, error) {
	handle, err := openInRoot(root, name)
	if absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening the container's %s: %w", name, err)
	}
	defer handle.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(handle.Fd()), &st); err != nil {
		return nil, fmt.Errorf("opening the container's %s: %w", name, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, nil
	}
	// The same inode again, whatever now stands at its name.
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(int(handle.Fd())), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EACCES) {
		return nil, nil // an owner that this user namespace does not map
	}
	if err != nil {
		return nil, fmt.Errorf("opening the container's %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading the container's %s: %w", name, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("reading the container's %s: it is larger than %d MiB, which no honest image needs", name, maxFile>>20)
	}
	return data, nil
}

func absent(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}
