// Package volume keeps named volumes: directories that containers mount and that
// outlive them.
//
// A volume is volumes/<name>/ in ctr's data directory:
//
//	volume.json  what Create was given
//	_data/       what containers see
//	copied       empty; the image's content has been considered, see [Volume.CopyUp]
//	filling/     copied content on its way into _data
//	lock         locked while the volume is filled or removed
//
// A volume appears complete, by a rename, and disappears by one.
package volume

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"

	"ctr/storage"
)

// version is the newest format of volume.json that this program understands.
const version = 1

// ErrNotFound is matched by errors about a volume that does not exist. They match
// fs.ErrNotExist as well.
var ErrNotFound error = notFound{}

type notFound struct{}

func (notFound) Error() string        { return "no such volume" }
func (notFound) Is(target error) bool { return target == fs.ErrNotExist }

// Volumes is the set of a user's volumes. It holds no state and is safe for
// concurrent use by any number of processes.
type Volumes struct {
	dir, trash string
}

// Volume is one volume.
type Volume struct {
	Name      string
	Driver    string // always local
	Labels    map[string]string
	Created   time.Time
	Anonymous bool // made for a container that gave no name

	dir string // of the volume; _data is in it
}

// file is volume.json.
type file struct {
	Version   int               `json:"version"`
	Labels    map[string]string `json:"labels,omitempty"`
	Created   time.Time         `json:"created"`
	Anonymous bool              `json:"anonymous,omitempty"`
}

// Options says what a new volume is to be.
type Options struct {
	Driver    string            // "" or local
	DriverOpt map[string]string // the local driver takes none
	Labels    map[string]string
	Anonymous bool
}

// Open returns the volumes of ctr's data directory, which need not exist yet.
func Open(data string) *Volumes {
	return &Volumes{dir: filepath.Join(data, "volumes"), trash: filepath.Join(data, "trash")}
}

// NewName makes a name for an anonymous volume: 64 random hexadecimal digits.
func NewName() string {
	var b [32]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Create makes a volume and returns it. When one of that name exists it is returned
// as it is, as in Docker. An empty name stands for a new one. It runs as the plain
// user.
func (v *Volumes) Create(name string, o Options) (*Volume, error) {
	if name == "" {
		name = NewName()
	}
	if err := CheckName(name); err != nil {
		return nil, fmt.Errorf("create %s: %w", name, err)
	}
	if o.Driver != "" && o.Driver != "local" {
		return nil, fmt.Errorf("create %s: error looking up volume plugin %s: plugin %q not found", name, o.Driver, o.Driver)
	}
	for option := range o.DriverOpt {
		return nil, fmt.Errorf("create %s: invalid option: %q: the local driver of ctr takes none", name, option)
	}
	if found, err := v.Get(name); !errors.Is(err, ErrNotFound) {
		return found, err
	}
	if err := v.make(name, o); err != nil {
		return nil, fmt.Errorf("create %s: %w", name, err)
	}
	return v.Get(name)
}

// Ensure returns the volume that a container mounts, and makes it when it is missing.
func (v *Volumes) Ensure(name string, anonymous bool) (*Volume, error) {
	return v.Create(name, Options{Anonymous: anonymous})
}

func (v *Volumes) make(name string, o Options) error {
	if err := os.MkdirAll(v.dir, 0o700); err != nil {
		return err
	}
	temporary, err := os.MkdirTemp(v.dir, ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary) // does nothing once it is renamed
	data := filepath.Join(temporary, "_data")
	if err := os.Mkdir(data, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(data, 0o755); err != nil {
		return err
	}
	record, err := json.Marshal(file{Version: version, Labels: o.Labels, Created: time.Now().UTC(), Anonymous: o.Anonymous})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(temporary, "volume.json"), record, 0o600); err != nil {
		return err
	}
	err = os.Rename(temporary, filepath.Join(v.dir, name))
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, fs.ErrExist) {
		return nil // another command was first
	}
	return err
}

// Get returns a volume. A missing one is an error that matches [ErrNotFound].
func (v *Volumes) Get(name string) (*Volume, error) {
	if CheckName(name) != nil {
		return nil, fmt.Errorf("get %s: %w", name, ErrNotFound)
	}
	vol := &Volume{Name: name, Driver: "local", dir: filepath.Join(v.dir, name)}
	info, err := os.Lstat(vol.Path())
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENAMETOOLONG) {
		return nil, fmt.Errorf("get %s: %w", name, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", name, err)
	}
	record, err := os.ReadFile(filepath.Join(vol.dir, "volume.json"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("get %s: %w", name, err)
	}
	// A power cut can leave the record empty. The data is what matters, so the volume
	// goes on without labels.
	var f file
	if json.Unmarshal(record, &f) != nil || f.Version == 0 {
		f = file{Created: info.ModTime()}
	}
	if f.Version > version {
		return nil, fmt.Errorf("get %s: it was made by a newer ctr (format %d, this one knows %d)", name, f.Version, version)
	}
	vol.Labels, vol.Created, vol.Anonymous = f.Labels, f.Created, f.Anonymous
	return vol, nil
}

// List returns all volumes by name. Those that cannot be read are left out and
// named by the error, which may come with a list.
func (v *Volumes) List() ([]*Volume, error) {
	entries, err := os.ReadDir(v.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing volumes: %w", err)
	}
	var list []*Volume
	var failed []error
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		vol, err := v.Get(entry.Name())
		switch {
		case err == nil:
			list = append(list, vol)
		case !errors.Is(err, ErrNotFound):
			failed = append(failed, err)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list, errors.Join(failed...)
}

// Remove removes a volume; whether a container uses it is for the caller to know.
// The name is free at once. What the plain user may not delete, because it belongs to
// subordinate ids, stays in the trash directory for whoever empties that inside the
// user namespace.
func (v *Volumes) Remove(name string) error {
	trash, err := v.Discard(name)
	if err == nil {
		storage.RemoveTree(trash) // an error leaves it where it is
	}
	return err
}

// Discard is Remove without the time that removing the files takes: they are in the
// directory trash, for the caller to remove or for a later command.
func (v *Volumes) Discard(name string) (trash string, err error) {
	vol, err := v.Get(name)
	if err != nil {
		return "", err
	}
	unlock, err := vol.lock(context.Background())
	if err != nil {
		return "", fmt.Errorf("remove %s: %w", name, err)
	}
	defer unlock()
	if err := os.MkdirAll(v.trash, 0o700); err != nil {
		return "", fmt.Errorf("remove %s: %w", name, err)
	}
	trash = filepath.Join(v.trash, "volume-"+NewName()[:16])
	if err := os.Rename(vol.dir, trash); err != nil {
		return "", fmt.Errorf("remove %s: %w", name, err)
	}
	return trash, nil
}

// Path is the directory that containers mount.
func (v *Volume) Path() string { return filepath.Join(v.dir, "_data") }

// CheckName returns Docker's error for a name that no volume can have.
func CheckName(name string) error {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	if len(name) == 1 {
		return errors.New("volume name is too short, names should be at least two alphanumeric characters")
	}
	if name == "" || !strings.Contains(plain, name[:1]) || strings.Trim(name, plain+"_.-") != "" {
		return fmt.Errorf("%q includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. "+
			"If you intended to pass a host directory, use absolute path", name)
	}
	if len(name) > 255 {
		return errors.New("volume name is too long, names should be at most 255 characters")
	}
	return nil
}
