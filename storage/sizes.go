package storage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// layer is what a layer contributes to an image's size.
type layer struct {
	parent string
	size   int64
	known  bool // size is recorded
	diff   string
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
				img.Size += l.measure()
				id = l.parent
			}
		}
	}
	return nil
}

// measure is the layer's size. One that no archive was unpacked into has none on
// record, so it is walked; what the plain user may not read there is left out.
func (l layer) measure() int64 {
	if l.known {
		return l.size
	}
	size, _ := DirSize(l.diff)
	return size
}

func (s *Store) readLayers(layers map[string]layer, root, list string) error {
	path := filepath.Join(root, s.driver+"-layers", list)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(data) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the layer list: %w", err)
	}
	c := cursor{data: data}
	err = c.array(func() error {
		var id, digest []byte
		var l layer
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
		l.diff = filepath.Join(root, "overlay", name, "diff")
		if s.driver == "vfs" {
			l.diff = filepath.Join(root, "vfs/dir", name)
		}
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
