// Package image brings images into the user's containers/storage store and takes
// them out again: pull, load, import, tag, remove, and the image that is built
// into ctr. It is the heavy side of images; programs that only read them use
// package ctr/storage.
//
// Every function works inside ctr's user namespace (or as root): unpacking a layer
// gives files to ids that exist only there. It has no terminal: results are
// returned, progress goes to a [Progress]. A function whose context is cancelled
// returns early and leaves neither a half layer nor a temporary file.
//
// A program that uses it calls go.podman.io/storage/pkg/reexec.Init first thing in
// main, because layers are unpacked by a confined copy of the program itself.
package image

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/types"
	"go.podman.io/storage"
	storagetypes "go.podman.io/storage/types"

	"ctr/pkg/userns"
	lean "ctr/storage"
)

// Store is the user's image store, opened for writing. Its methods may be called
// at the same time, also by other processes.
type Store struct {
	store   storage.Store
	reader  *lean.Store // the same store, as programs that only read it see it
	scratch string      // directory below which copies keep what they need meanwhile
	system  types.SystemContext
}

// Open opens the store of the user at its ordinary place, as storage.conf and the
// CONTAINERS_STORAGE_CONF and STORAGE_* variables say. The caller closes it.
func Open() (*Store, error) {
	o, err := storagetypes.DefaultStoreOptions()
	if err != nil {
		return nil, fmt.Errorf("reading storage.conf: %w", err)
	}
	reader, err := lean.Open()
	if err != nil {
		return nil, err
	}
	return open(o, reader)
}

// OpenAt opens the store that o describes.
func OpenAt(o storage.StoreOptions) (*Store, error) {
	reader, err := lean.OpenAt(o.GraphRoot)
	if err != nil {
		return nil, err
	}
	return open(o, reader)
}

// open opens the store that o describes. Where only one user id exists, files of
// other owners are taken as that user's, or no ordinary image could be unpacked.
func open(o storage.StoreOptions, reader *lean.Store) (*Store, error) {
	o.GraphDriverOptions = append([]string{"overlay.skip_mount_home=true"}, o.GraphDriverOptions...)
	if userns.SingleID() {
		o.GraphDriverOptions = append(o.GraphDriverOptions, "overlay.ignore_chown_errors=true", "vfs.ignore_chown_errors=true")
	}
	store, err := storage.GetStore(chooseDriver(o, reader))
	if err != nil {
		return nil, fmt.Errorf("opening the image store %s: %w", o.GraphRoot, oneLine(err))
	}
	s := &Store{store: store, reader: reader, scratch: filepath.Join(store.GraphRoot(), "tmp")}
	if err := os.MkdirAll(s.scratch, 0o700); err != nil {
		return nil, fmt.Errorf("opening the image store: %w", err)
	}
	s.sweep()
	return s, nil
}

// chooseDriver settles, when none is configured, for the driver that readers of the
// store go by: another program may have begun a second store in the same place, as
// older skopeos do with vfs, and containers/storage then refuses to choose. A new
// store gets overlay if the place can hold it, else vfs.
func chooseDriver(o storage.StoreOptions, reader *lean.Store) storage.StoreOptions {
	if o.GraphDriverName != "" {
		return o
	}
	if _, err := os.Stat(filepath.Join(o.GraphRoot, reader.Driver()+"-images")); err == nil {
		o.GraphDriverName = reader.Driver()
	} else if len(o.GraphDriverPriority) == 0 {
		o.GraphDriverPriority = []string{"overlay", "vfs"}
	}
	return o
}

// Close releases what the store holds in this process. Nothing is unmounted or
// stopped: other processes go on using it.
func (s *Store) Close() error {
	s.store.Free()
	return nil
}

// Platform is what an image was made for.
type Platform struct{ OS, Architecture, Variant string }

func (p Platform) String() string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// ParsePlatform reads "os/arch[/variant]", or an architecture alone. "" is this
// machine's platform, without a variant.
func ParsePlatform(s string) (Platform, error) {
	p := Platform{OS: "linux", Architecture: runtime.GOARCH}
	if s == "" {
		return p, nil
	}
	parts := strings.Split(s, "/")
	for _, part := range parts {
		if part == "" {
			return p, fmt.Errorf("invalid platform %q: want os/arch[/variant]", s)
		}
	}
	switch len(parts) {
	case 1:
		p.Architecture = parts[0]
	case 2:
		p.OS, p.Architecture = parts[0], parts[1]
	case 3:
		p.OS, p.Architecture, p.Variant = parts[0], parts[1], parts[2]
	default:
		return p, fmt.Errorf("invalid platform %q: want os/arch[/variant]", s)
	}
	switch p.Architecture {
	case "x86_64", "x86-64":
		p.Architecture = "amd64"
	case "aarch64":
		p.Architecture = "arm64"
	}
	return p, nil
}

// systemFor is the configuration of containers/image for one operation.
func (s *Store) systemFor(p Platform, bigFiles string) *types.SystemContext {
	sys := s.system
	mode := types.ShortNameModeDisabled // never ask the user
	sys.ShortNameMode = &mode
	sys.OSChoice, sys.ArchitectureChoice, sys.VariantChoice = p.OS, p.Architecture, p.Variant
	sys.BigFilesTemporaryDir = bigFiles
	sys.DockerRegistryUserAgent = "ctr"
	return &sys
}

// policy is the machine's or the user's policy.json, or one that accepts every
// image when there is none.
func (s *Store) policy(sys *types.SystemContext) (*signature.PolicyContext, error) {
	policy, err := signature.DefaultPolicy(sys)
	if errors.Is(err, fs.ErrNotExist) {
		policy, err = &signature.Policy{Default: signature.PolicyRequirements{signature.NewPRInsecureAcceptAnything()}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading policy.json: %w", err)
	}
	return signature.NewPolicyContext(policy)
}

// isLocal reports whether the registry of a name is this machine itself; such a
// registry may speak plain HTTP, as with Docker.
func isLocal(name reference.Named) bool {
	host := reference.Domain(name)
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
