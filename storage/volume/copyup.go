package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"

	"ctr/storage"
	"ctr/storage/internal/tree"
)

// CopyUp gives a volume that is used for the first time, and is empty, what the
// image has at the place where the volume will be mounted: content, owners, modes,
// and the directory's own attributes. rootfs is the mounted root file system, dest
// the path in it, resolved inside it whatever links it goes through. Where the image
// has nothing there the volume stays as it is; something else than a directory is an
// error. Every later call does nothing, and costs one look at a file.
//
// It is called inside the container's user namespace, before the volume is mounted
// and before anything runs in rootfs. It may be interrupted at any point and
// called again.
func (v *Volume) CopyUp(ctx context.Context, rootfs, dest string) error {
	if v.has("copied") {
		return nil
	}
	unlock, err := v.lock(ctx)
	if err != nil {
		return fmt.Errorf("filling volume %s: %w", v.Name, err)
	}
	defer unlock()
	if v.has("copied") {
		return nil
	}
	if err := v.fill(ctx, rootfs, dest); err != nil {
		return fmt.Errorf("filling volume %s from %s: %w", v.Name, dest, err)
	}
	return nil
}

func (v *Volume) has(name string) bool {
	_, err := os.Lstat(filepath.Join(v.dir, name))
	return err == nil
}

func (v *Volume) fill(ctx context.Context, rootfs, dest string) error {
	filling := filepath.Join(v.dir, "filling")
	if !v.has("filling") {
		entries, err := os.ReadDir(v.Path())
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			if err := v.stage(ctx, filling, rootfs, dest); err != nil {
				return err
			}
		}
	}
	if v.has("filling") {
		if err := v.take(filling); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(v.dir, "copied"), nil, 0o600)
}

// stage copies the image's directory to filling, which appears when it is complete,
// or not at all when the image has no such directory.
func (v *Volume) stage(ctx context.Context, filling, rootfs, dest string) (err error) {
	src, err := openInRoot(rootfs, dest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer src.Close()
	temporary := filling + ".new"
	if err := storage.RemoveTree(temporary); err != nil {
		return err
	}
	if err := os.Mkdir(temporary, 0o700); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, storage.RemoveTree(temporary))
		}
	}()
	dst, err := os.Open(temporary)
	if err != nil {
		return err
	}
	defer dst.Close()
	if err := tree.Copy(ctx, dst, src); err != nil {
		return err
	}
	return os.Rename(temporary, filling)
}

// take moves what was staged into the volume's directory, which keeps its identity:
// a running container may have it mounted. What that container wrote meanwhile stays.
func (v *Volume) take(filling string) error {
	from, err := os.Open(filling)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.Open(v.Path())
	if err != nil {
		return err
	}
	defer to.Close()
	attributes, err := from.Stat()
	if err != nil {
		return err
	}
	names, err := from.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		err := unix.Renameat2(int(from.Fd()), name, int(to.Fd()), name, unix.RENAME_NOREPLACE)
		if err != nil && err != unix.EEXIST {
			return &fs.PathError{Op: "move", Path: name, Err: err}
		}
	}
	if err := os.Chtimes(filling, time.Time{}, attributes.ModTime()); err != nil {
		return err
	}
	if err := tree.CopyAttributes(int(to.Fd()), int(from.Fd())); err != nil {
		return err
	}
	return storage.RemoveTree(filling)
}

// openInRoot opens the directory that path means inside root.
func openInRoot(root, path string) (*os.File, error) {
	handle, err := pathrs.OpenInRoot(root, path)
	if err != nil {
		return nil, err
	}
	defer handle.Close()
	return pathrs.Reopen(handle, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC)
}

// lock takes the volume's lock; it ends with the process at the latest.
func (v *Volume) lock(ctx context.Context) (unlock func(), err error) {
	path := filepath.Join(v.dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			break
		}
		if ctx.Err() != nil {
			err = ctx.Err()
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err == nil {
		err = sameFile(f, path)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("locking: %w", err)
	}
	return func() { f.Close() }, nil
}

// sameFile checks that the volume was not removed while its lock was waited for.
func sameFile(f *os.File, path string) error {
	held, err := f.Stat()
	if err != nil {
		return err
	}
	now, err := os.Lstat(path)
	if err != nil || !os.SameFile(held, now) {
		return ErrNotFound
	}
	return nil
}
