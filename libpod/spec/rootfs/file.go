package rootfs

import (
	"errors"
	"fmt"
	"io"
	"os"

	pathrs "github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"
)

// maxFile is the largest passwd or group file that is read.
const maxFile = 4 << 20

// readBounded is the content of a regular file below root. What is missing, is no
// regular file, or is a symbolic link that leads nowhere or in circles, is empty: a
// FIFO or a device must neither be waited for nor touched. A file over maxFile is an error.
func readBounded(root *os.File, name string) ([]byte, error) {
	handle, err := pathrs.OpenatInRoot(root, name)
	if absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening the container's %s: %w", name, err)
	}
	defer handle.Close()
	info, err := handle.Stat()
	if err != nil {
		return nil, fmt.Errorf("opening the container's %s: %w", name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, nil
	}
	f, err := pathrs.Reopen(handle, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if errors.Is(err, os.ErrPermission) {
		return nil, nil // an owner that this user namespace does not map
	}
	if err != nil {
		return nil, fmt.Errorf("opening the container's %s: %w", name, err)
	}
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
