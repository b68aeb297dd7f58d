package storage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// layer is what a layer contributes to an image's size.
type layer struct {
	parent string
	size   int64
	known  bool   // size is recorded
	root   string // of the store that it is in
}

// Size is the unpacked size in bytes of an image: its layers and the data kept
// with it, as containers/storage counts them.
func (s *Store) Size(img *Image) (int64, error) {
	one := []Image{*img}
	err := s.sizes(one)
	return one[0].Size, err
}

// sizes sets the size of each image.
func (s *Store) sizes(images []Image) error {
	layers := map[string]layer{}
	for _, root := range s.roots {
		for _, list := range []string{"layers.json", "volatile-layers.json"} {
			if err := s.readLayers(layers, root, list); err != nil {
				return err
			}
		}
	}
	for i := range images {
		img := &images[i]
		img.Size = img.bigDataSize
		counted := map[string]bool{}
		for _, top := range append([]string{img.TopLayer}, img.mapped...) {
			for id := top; id != "" && !counted[id]; {
				l, found := layers[id]
				if !found {
					return fmt.Errorf("size of image %s: layer %s: %w", img.ID, id, ErrLayerUnknown)
				}
				counted[id] = true
				img.Size += s.measure(id, l)
				id = l.parent
			}
		}
	}
	return nil
}

// measure is the layer's size. One that no archive was unpacked into has none on
// record, so it is walked; what the plain user may not read there is left out, and
// with vfs the files of its parents count again.
func (s *Store) measure(id string, l layer) int64 {
	if l.known {
		return l.size
	}
	dir := filepath.Join(l.root, "overlay", id, "diff")
	if s.driver == "vfs" {
		dir = filepath.Join(l.root, "vfs/dir", id)
	}
	size, _ := DirSize(dir)
	return size
}

func (s *Store) readLayers(layers map[string]layer, root, list string) error {
	path := filepath.Join(root, s.driver+"-layers", list)
	data, err := mapFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(data) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the layer list: %w", err)
	}
	defer unmap(data)
	c := cursor{data: data}
	err = c.array(func() error {
		var id, digest []byte
		l := layer{root: root}
		err := c.object(func(key []byte) error {
			value, err := c.value()
			switch string(key) {
			case `"id"`:
				id = value
			case `"parent"`:
				l.parent = text(value)
			case `"diff-digest"`:
				digest = value
			case `"diff-size"`:
				l.size = number(value)
			}
			return err
		})
		name := text(id)
		l.known = len(bytes.Trim(digest, `"`)) > 0 && l.size >= 0
		if _, found := layers[name]; !found {
			layers[name] = l
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("reading the layer list %s: %w", path, err)
	}
	return nil
}
