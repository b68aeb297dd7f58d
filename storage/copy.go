package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ctr/pkg/userns"
	"ctr/storage/internal/tree"
)

// mountCopy binds a copy of the layers, with the container's earlier changes on
// top, that is made beside the upper directory the first time. The copy takes its
// name when it is complete, so a crash leaves only what the next attempt removes.
func (r *Rootfs) mountCopy(target string) error {
	copied := filepath.Join(filepath.Dir(r.Upper), "rootfs")
	if !exists(copied) {
		if err := r.copyLayers(copied); err != nil {
			return fmt.Errorf("copying the layers: %w", err)
		}
	}
	if err := unix.Mount(copied, target, "", unix.MS_BIND, ""); err != nil {
		return &fs.PathError{Op: "bind", Path: copied, Err: err}
	}
	if !userns.Inside() {
		if err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_NODEV, ""); err != nil {
			return &fs.PathError{Op: "set nodev on", Path: target, Err: err}
		}
	}
	return nil
}

func (r *Rootfs) copyLayers(copied string) (err error) {
	temporary := copied + ".new"
	if err := tree.Remove(temporary); err != nil {
		return err
	}
	layers := []*os.File{}
	defer func() {
		for _, layer := range layers {
			layer.Close()
		}
		if err != nil {
			err = errors.Join(err, tree.Remove(temporary))
		}
	}()
	dirs := []string{r.Upper}
	for _, lower := range r.Lower {
		dirs = append(dirs, r.path(lower))
	}
	for _, dir := range dirs {
		layer, err := os.Open(dir)
		if err != nil {
			return err
		}
		layers = append(layers, layer)
	}
	if err := os.Mkdir(temporary, 0o700); err != nil {
		return err
	}
	dst, err := os.Open(temporary)
	if err != nil {
		return err
	}
	defer dst.Close()
	if err := tree.Merge(context.Background(), dst, layers); err != nil {
		return err
	}
	if !r.Volatile {
		if err := unix.Syncfs(int(dst.Fd())); err != nil {
			return fmt.Errorf("syncing the copy: %w", err)
		}
	}
	return os.Rename(temporary, copied)
}
