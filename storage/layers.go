package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// LayerDirs returns the directories of a layer and of those below it, top first,
// as [Rootfs] wants them: relative to base, or absolute where a layer is in another
// store. It reads two small files and looks at each directory once. An error that
// matches [ErrLayerUnknown] means that the image is gone.
func (s *Store) LayerDirs(topLayer string) (base string, lower []string, err error) {
	if s.driver == "vfs" {
		base, err := s.homeOf(topLayer, "vfs/dir")
		return base, []string{topLayer}, err
	}
	base, err = s.homeOf(topLayer, "overlay")
	if err != nil {
		return "", nil, err
	}
	fd, err := unix.Open(base, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, fmt.Errorf("opening the layers' directory: %w", &fs.PathError{Op: "open", Path: base, Err: err})
	}
	defer unix.Close(fd)
	lower, err = s.shortDirs(fd, base, topLayer)
	if errors.Is(err, ErrLayerUnknown) {
		lower, err = s.longDirs(fd, base, topLayer)
	}
	return base, lower, err
}

// homeOf finds the directory, of the given kind, of the store that a layer is in.
func (s *Store) homeOf(layer, kind string) (string, error) {
	if !isHex(layer) && strings.Trim(layer, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" || layer == "" {
		return "", fmt.Errorf("layer ID %q is malformed", layer)
	}
	for _, root := range s.roots {
		if exists(filepath.Join(root, kind, layer)) {
			return filepath.Join(root, kind), nil
		}
	}
	return "", fmt.Errorf("finding layer %s: %w", layer, ErrLayerUnknown)
}

// shortDirs names layers by the store's short links, which keep overlay's options
// within a page on kernels that limit them so.
func (s *Store) shortDirs(fd int, base, layer string) ([]string, error) {
	link, err := os.ReadFile(filepath.Join(base, layer, "link"))
	if err != nil {
		return nil, fmt.Errorf("reading the link of layer %s: %w", layer, ErrLayerUnknown)
	}
	below, err := readList(filepath.Join(base, layer, "lower"))
	if err != nil {
		return nil, err
	}
	return s.resolve(fd, base, append([]string{"l/" + strings.TrimSpace(string(link))}, below...))
}

// longDirs names layers by their IDs, for a store whose short links are missing.
func (s *Store) longDirs(fd int, base, layer string) ([]string, error) {
	below, err := readList(filepath.Join(base, layer, "lower-layers"))
	if err != nil {
		return nil, err
	}
	if len(below) == 0 && exists(filepath.Join(base, layer, "lower")) {
		return nil, fmt.Errorf("the links of layer %s are missing from %s/l: %w", layer, base, ErrLayerUnknown)
	}
	dirs := []string{layer + "/diff"}
	for _, id := range below {
		dirs = append(dirs, id+"/diff")
	}
	return s.resolve(fd, base, dirs)
}

func readList(path string) ([]string, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the list of layers: %w", err)
	}
	return strings.Split(strings.TrimSpace(string(data)), ":"), nil
}

// resolve checks that each directory exists in base, and replaces those that are
// in another store by their absolute paths.
func (s *Store) resolve(fd int, base string, dirs []string) ([]string, error) {
	var st unix.Stat_t
	for i, dir := range dirs {
		if unix.Fstatat(fd, dir+"/../composefs-data", &st, 0) == nil {
			return nil, fmt.Errorf("layer %s is stored as composefs, which ctr does not read; set use_composefs to false in storage.conf and pull the image again", dir)
		}
		err := unix.Fstatat(fd, dir, &st, 0)
		for j := 0; err != nil && j < len(s.roots); j++ {
			elsewhere := filepath.Join(s.roots[j], "overlay", dir)
			if err = unix.Stat(elsewhere, &st); err == nil {
				dirs[i] = elsewhere
			}
		}
		if err != nil {
			return nil, fmt.Errorf("finding layer directory %s below %s: %w", dir, base, ErrLayerUnknown)
		}
	}
	return dirs, nil
}
