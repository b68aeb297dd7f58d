package storage

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLayerUnknown is wrapped by errors about a layer that is not in the store:
// the image was removed meanwhile, or the store is damaged.
var ErrLayerUnknown = errors.New("layer is not in the store")

// Store reads one user's image store. It keeps no state between calls: each sees
// what is on disk when it is made. It is safe for concurrent use.
type Store struct {
	roots        []string // graph roots, the first one the user's own
	writable     int      // so many of them are the user's own
	driver       string   // overlay or vfs
	mountProgram string
}

// Image is one image of the store.
type Image struct {
	ID            string // 64 hexadecimal digits
	Names         []string
	Digest        string   // of the manifest; "" when none is known
	Digests       []string // Digest and those of the image's other manifests
	TopLayer      string   // "" for an image without layers
	Created       time.Time
	Size          int64 // bytes, unpacked, as `docker images` shows it; set by Images, see [Store.Size]
	ReadOnlyStore bool  // in an additional store, which ctr does not change

	root        string
	mapped      []string // further top layers, with other id maps
	bigDataSize int64
}

// Open finds the user's store as containers/storage does: storage.conf and its
// environment variables, else the ordinary place. The store need not exist.
func Open() (*Store, error) {
	conf, err := loadSettings()
	if err != nil {
		return nil, err
	}
	s := &Store{roots: []string{conf.graphRoot}, driver: conf.driver, mountProgram: conf.mountProgram}
	if conf.imageStore != "" {
		s.roots = []string{conf.imageStore, conf.graphRoot}
	}
	s.writable = len(s.roots)
	s.roots = append(s.roots, conf.additional...)
	return s, s.settleDriver(conf.graphRoot)
}

// OpenAt reads the store at a known graph root, with additional read-only stores.
func OpenAt(graphRoot string, additional ...string) (*Store, error) {
	s := &Store{roots: append([]string{graphRoot}, additional...), writable: 1}
	return s, s.settleDriver(graphRoot)
}

// settleDriver chooses overlay where nothing is configured, as the library does. Until
// there is such a store it shows a vfs one, which skopeo of older systems makes.
func (s *Store) settleDriver(graphRoot string) error {
	switch s.driver {
	case "overlay", "vfs":
		return nil
	case "":
		s.driver = "overlay"
		if !exists(filepath.Join(graphRoot, "overlay")) && exists(filepath.Join(graphRoot, "vfs-images")) {
			s.driver = "vfs"
		}
		return nil
	}
	return fmt.Errorf("the image store's driver is %q, and ctr reads overlay and vfs only; set driver in storage.conf", s.driver)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// GraphRoot is the directory of the user's own store.
func (s *Store) GraphRoot() string { return s.roots[s.writable-1] }

// Driver is the store's layout: overlay or vfs.
func (s *Store) Driver() string { return s.driver }

// MountProgram is the program, usually fuse-overlayfs, that storage.conf wants
// layers to be mounted with; "" for the kernel's overlay. Its layers may be written
// in a way that only it understands, so it belongs into [Rootfs.Program].
func (s *Store) MountProgram() string { return s.mountProgram }

// record is an image as images.json has it, not decoded yet.
type record struct {
	id, names, layer, mapped, digest, digests, sizes, created []byte
	root                                                      string
	readOnly                                                  bool
}

// view calls use with the images of all stores, in the order in which they count.
// The records are valid until it returns.
func (s *Store) view(use func([]record)) error {
	var all []record
	for i, root := range s.roots {
		path := filepath.Join(root, s.driver+"-images/images.json")
		data, err := mapFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading the image list: %w", err)
		}
		defer unmap(data)
		all, err = parseImages(all, data, root, i >= s.writable)
		if err != nil {
			return fmt.Errorf("reading the image list %s: %w", path, err)
		}
	}
	use(all)
	return nil
}

// mapFile maps a file that is only ever replaced, never rewritten: with hundreds of
// images that takes a fifth of the time of reading it.
func mapFile(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Size == 0 {
		return nil, err
	}
	data, err := unix.Mmap(fd, 0, int(st.Size), unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_POPULATE)
	if err != nil {
		return nil, &fs.PathError{Op: "map", Path: path, Err: err}
	}
	return data, nil
}

func unmap(data []byte) {
	if data != nil {
		unix.Munmap(data)
	}
}

func parseImages(all []record, data []byte, root string, readOnly bool) ([]record, error) {
	if len(data) == 0 {
		return all, nil
	}
	if all == nil {
		all = make([]record, 0, len(data)/1024+1)
	}
	c := cursor{data: data}
	err := c.array(func() error {
		r := record{root: root, readOnly: readOnly}
		err := c.object(func(key []byte) error {
			value, err := c.value()
			switch string(key) {
			case `"id"`:
				r.id = value
			case `"names"`:
				r.names = value
			case `"layer"`:
				r.layer = value
			case `"mapped-layers"`:
				r.mapped = value
			case `"digest"`:
				r.digest = value
			case `"big-data-digests"`:
				r.digests = value
			case `"big-data-sizes"`:
				r.sizes = value
			case `"created"`:
				r.created = value
			}
			return err
		})
		if err == nil && (len(r.id) < 3 || r.id[0] != '"' || !isHexBytes(r.id[1:len(r.id)-1])) {
			return fmt.Errorf("image ID %s is not hexadecimal", r.id)
		}
		all = append(all, r)
		return err
	})
	return all, err
}

func isHexBytes(b []byte) bool {
	return len(bytes.Trim(b, "0123456789abcdef")) == 0
}

func (r *record) image() *Image {
	img := &Image{
		ID: text(r.id), Names: texts(r.names), Digest: text(r.digest), TopLayer: text(r.layer),
		ReadOnlyStore: r.readOnly, root: r.root, mapped: texts(r.mapped),
	}
	img.Created, _ = time.Parse(time.RFC3339Nano, text(r.created))
	img.Digests = r.manifestDigests()
	if img.Digest == "" && len(img.Digests) > 0 {
		img.Digest = img.Digests[0]
	}
	sizes := cursor{data: r.sizes}
	if len(r.sizes) > 0 {
		sizes.object(func([]byte) error {
			value, err := sizes.value()
			img.bigDataSize += number(value)
			return err
		})
	}
	return img
}

// manifestDigests lists the digests that the image is known by: the one recorded
// for it, then its manifests'.
func (r *record) manifestDigests() []string {
	var list []string
	add := func(digest string) {
		for _, known := range list {
			if known == digest {
				return
			}
		}
		if digest != "" {
			list = append(list, digest)
		}
	}
	add(text(r.digest))
	if len(r.digests) > 0 {
		c := cursor{data: r.digests}
		c.object(func(key []byte) error {
			value, err := c.value()
			if bytes.HasPrefix(key, []byte(`"manifest`)) {
				add(text(value))
			}
			return err
		})
	}
	return list
}

// Images lists every image with its size, in the store's order. A store that does
// not exist is empty.
func (s *Store) Images() ([]Image, error) {
	const attempts = 5
	for attempt := 1; ; attempt++ {
		var images []Image
		err := s.view(func(records []record) {
			for i := range records {
				images = append(images, *records[i].image())
			}
		})
		if err != nil || len(images) == 0 {
			return nil, err
		}
		err = s.sizes(images)
		if errors.Is(err, ErrLayerUnknown) && attempt < attempts {
			continue // an image was removed after its list was read
		}
		return images, err
	}
}

// BigData reads one of the data items that the store keeps with an image, such as
// "manifest". A missing item is an error that wraps fs.ErrNotExist.
func (s *Store) BigData(img *Image, key string) ([]byte, error) {
	const limit = 16 << 20
	f, err := os.Open(filepath.Join(img.root, s.driver+"-images", img.ID, bigDataName(key)))
	if err != nil {
		return nil, fmt.Errorf("reading %s of image %s: %w", key, img.ID, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s of image %s: %w", key, img.ID, err)
	}
	if len(data) > limit {
		return nil, fmt.Errorf("reading %s of image %s: larger than %d MiB", key, img.ID, limit>>20)
	}
	return data, nil
}

// bigDataName is the file name that the store uses for a data item's key.
func bigDataName(key string) string {
	if strings.Trim(key, ".0123456789abcdefghijklmnopqrstuvwxyz") == "" {
		return key
	}
	return "=" + base64.StdEncoding.EncodeToString([]byte(key))
}
