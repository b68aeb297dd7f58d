package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ctr/storage/internal/tree"
)

// The drivers that [Rootfs.Mount] knows, best first.
const (
	DriverOverlay = "overlay"        // the kernel's
	DriverFuse    = "fuse-overlayfs" // a process beside the container
	DriverCopy    = "copy"           // the layers unpacked into the container's directory, once
)

// Rootfs is a container's root file system: an image's layers and, on top of them,
// a directory of the container's own. The zero value of the optional fields is right
// for an ordinary container.
type Rootfs struct {
	Base     string   // directory that relative lower directories are relative to
	Lower    []string // the image's layers, top first, from [Store.LayerDirs]; empty for an empty image
	Upper    string   // absolute; the container's changes. Its parent must exist
	Work     string   // absolute; overlay's scratch directory, on the same file system as Upper
	ReadOnly bool     // noted for the spec, which makes it so; mounting is the same

	Volatile bool   // optional: do not sync to disk, for a container that is removed when it ends
	Driver   string // optional: use this driver only, and fail when it cannot be had
	Program  string // optional: mount with this program first, from [Store.MountProgram]

	// Reason is set by Mount when it could not use the kernel's overlay: why not.
	Reason error

	fuse *fuseProcess
}

// RootfsOf returns the root file system of the container whose directory is dir, on
// an image's top layer in the user's store; topLayer is "" for an empty image. It
// only reads.
func RootfsOf(topLayer, dir string) (*Rootfs, error) {
	r := &Rootfs{Base: dir, Upper: filepath.Join(dir, "diff"), Work: filepath.Join(dir, "work")}
	if topLayer == "" {
		return r, nil
	}
	store, err := Open()
	if err != nil {
		return nil, err
	}
	r.Program = store.MountProgram()
	r.Base, r.Lower, err = store.LayerDirs(topLayer)
	return r, err
}

// Prepare makes the container's directories, with the mode and owner of the image's
// root directory. It may be called as the plain user and again at any time; where
// the owner is one that only the user namespace can give, it leaves the work to
// Mount, which calls it there.
func (r *Rootfs) Prepare() error {
	if exists(r.Upper) && exists(r.Work) {
		return nil
	}
	root, err := r.rootDir()
	if err != nil {
		return err
	}
	if int(root.Uid) != os.Geteuid() && os.Geteuid() != 0 {
		return nil
	}
	if err := mkdir(r.Work, 0o700); err != nil || exists(r.Upper) {
		return err
	}
	// Made under another name, so that a crash leaves no directory of a wrong mode.
	temporary := r.Upper + ".new"
	if err := mkdir(temporary, 0o700); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		os.Lchown(temporary, int(root.Uid), int(root.Gid)) // an owner that is not mapped stays root
	}
	if err := unix.Chmod(temporary, root.Mode&0o7777); err != nil {
		return fmt.Errorf("preparing the container's root: %w", err)
	}
	if err := os.Rename(temporary, r.Upper); err != nil {
		return fmt.Errorf("preparing the container's root: %w", err)
	}
	return nil
}

// rootDir describes the image's root directory.
func (r *Rootfs) rootDir() (unix.Stat_t, error) {
	st := unix.Stat_t{Mode: 0o755, Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid())}
	if len(r.Lower) == 0 {
		return st, nil
	}
	if err := unix.Stat(r.path(r.Lower[0]), &st); err != nil {
		return st, fmt.Errorf("looking at the image's root directory: %w", &fs.PathError{Op: "stat", Path: r.path(r.Lower[0]), Err: err})
	}
	return st, nil
}

func mkdir(path string, mode os.FileMode) error {
	if err := os.Mkdir(path, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("preparing the container's root: %w", err)
	}
	return nil
}

// path is the absolute path of a lower directory.
func (r *Rootfs) path(lower string) string {
	if filepath.IsAbs(lower) {
		return lower
	}
	return filepath.Join(r.Base, lower)
}

// Mount mounts the root file system on the existing directory target, in the
// caller's mount namespace, which must be the container's own: nothing undoes it
// but [Rootfs.Unmount] or the end of that namespace. The caller is uid 0 there, in
// a user namespace or as real root. Mount uses the kernel's overlay, else
// fuse-overlayfs, else a copy, and says which; Reason then says why.
func (r *Rootfs) Mount(target string) (driver string, err error) {
	if err := r.Prepare(); err != nil {
		return "", err
	}
	if target, err = filepath.Abs(target); err != nil {
		return "", fmt.Errorf("mounting the container's root: %w", err)
	}
	for _, driver := range r.drivers() {
		switch driver {
		case DriverOverlay:
			err = r.mountOverlay(target)
		case DriverFuse:
			err = r.mountFuse(target)
		case DriverCopy:
			err = r.mountCopy(target)
		default:
			err = fmt.Errorf("there is no driver %q; use overlay, fuse-overlayfs or copy", driver)
		}
		if err == nil {
			return driver, nil
		}
		if driver == DriverOverlay {
			r.Reason = err
		}
		if !unavailable(err) {
			break
		}
	}
	return "", fmt.Errorf("mounting the container's root: %w", err)
}

func (r *Rootfs) drivers() []string {
	switch {
	case r.Driver != "":
		return []string{r.Driver}
	case r.Program != "":
		return []string{DriverFuse, DriverOverlay, DriverCopy}
	}
	return []string{DriverOverlay, DriverFuse, DriverCopy}
}

// unavailable reports that the machine or the file system does not offer a driver,
// as opposed to a fault that another driver would meet as well.
func unavailable(err error) bool {
	for _, reason := range []error{errNoFuse, unix.EPERM, unix.EACCES, unix.EINVAL, unix.ENODEV, unix.EOPNOTSUPP, unix.ENOSYS} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}

// Unmount detaches what Mount mounted on target and ends its helper process, after
// what the container wrote has reached the container's directory. A driver without a
// helper needs no call: its mount goes away with the mount namespace.
func (r *Rootfs) Unmount(target string) error {
	if err := unix.Unmount(target, unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("unmounting the container's root: %w", err)
	}
	r.fuse.wait()
	return nil
}

// RemoveTree removes a directory of a container, with everything in it, whatever the
// container left there: it follows no link, stays out of mounts, and opens up
// directories that nobody may enter. A missing path is no error. It goes on after an
// error and returns the first. Called as the plain user, an error that matches
// fs.ErrPermission says that files of subordinate ids are left; call it again inside
// the user namespace.
func RemoveTree(path string) error { return tree.Remove(path) }

// DirSize is the sum in bytes of the files below dir, hard links counted once and
// directories not at all, as `docker ps -s` counts a container's own layer. An error
// that matches fs.ErrPermission comes with the size of what the caller may see.
func DirSize(dir string) (int64, error) { return tree.Size(dir) }
