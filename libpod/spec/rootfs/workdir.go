package rootfs

import (
	"errors"
	"fmt"
	"path"
	"strings"

	pathrs "github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"
)

// EnsureWorkdir makes the working directory dir below root when it is missing, as
// Docker does, owned by uid and gid (the parents it makes are root's) where the user
// namespace has these; with a single id it has not. Symbolic links are followed
// within root and never out of it. What is there already is left as it is, and so are
// places that the kernel's file systems will cover. Idempotent.
func EnsureWorkdir(root, dir string, uid, gid int) error {
	dir = path.Clean("/" + dir)
	if dir == "/" || covered(dir) {
		return nil
	}
	rootDir, err := openRoot(root)
	if err != nil {
		return err
	}
	defer rootDir.Close()
	existing, err := openInRoot(rootDir, dir)
	if err == nil {
		defer existing.Close()
		if info, err := existing.Stat(); err != nil || !info.IsDir() {
			return fmt.Errorf("Cannot mkdir: %s is not a directory", dir)
		}
		return nil
	}
	if !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("opening the working directory %s: %w", dir, err)
	}
	made, err := pathrs.MkdirAllHandle(rootDir, dir, 0o755)
	if err != nil {
		return fmt.Errorf("making the working directory %s: %w", dir, err)
	}
	defer made.Close()
	if uid == 0 && gid == 0 {
		return nil
	}
	err = unix.Fchownat(int(made.Fd()), "", uid, gid, unix.AT_EMPTY_PATH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("giving the working directory %s to %d:%d: %w", dir, uid, gid, err)
	}
	return nil
}

// covered reports whether dir lies in a file system of the kernel's own.
func covered(dir string) bool {
	for _, mount := range []string{"/proc", "/sys", "/dev"} {
		if dir == mount || strings.HasPrefix(dir, mount+"/") {
			return true
		}
	}
	return false
}
