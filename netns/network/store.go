package network

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ctr/pkg/atomicfile"
)

// Networks is the set of a user's networks: a file networks/NAME.json each in ctr's
// data directory, written durably. It holds no state and is safe for concurrent use
// by any number of processes. Automatic subnets are chosen by the routes of the
// network namespace that the caller runs in, which should be the host's.
//
// Three networks are always there and cannot be removed: host and none, which are
// no files, and bridge, which is made when it is first asked for.
type Networks struct {
	data, dir string
}

// NotFoundError says that there is no network of that name, ID or beginning of an ID.
type NotFoundError struct{ Name string }

func (e *NotFoundError) Error() string { return fmt.Sprintf("network %s not found", e.Name) }

// ExistsError says that the name for a new network is taken.
type ExistsError struct{ Name string }

func (e *ExistsError) Error() string {
	return fmt.Sprintf("network with name %s already exists", e.Name)
}

// Open returns the networks of ctr's data directory, which need not exist yet.
func Open(data string) *Networks {
	return &Networks{data: data, dir: filepath.Join(data, "networks")}
}

// Predefined reports whether the network is one of bridge, host and none.
func (n *Network) Predefined() bool { return predefined(n.Name) }

// Lookup returns the network of that name, else of that ID, else the only one whose
// ID begins so. A missing one is a [*NotFoundError].
func (s *Networks) Lookup(nameOrID string) (*Network, error) {
	switch nameOrID {
	case "":
		return nil, errors.New("invalid network name or ID: value is empty")
	case "host", "none":
		return s.virtual(nameOrID), nil
	case DefaultName:
		return s.defaultNetwork()
	}
	if validName(nameOrID) && len(nameOrID) <= maxName {
		n, err := s.read(nameOrID)
		if !errors.Is(err, fs.ErrNotExist) {
			return n, err
		}
	}
	if strings.Trim(nameOrID, "0123456789abcdef") != "" {
		return nil, &NotFoundError{nameOrID}
	}
	return s.byID(nameOrID)
}

func (s *Networks) byID(prefix string) (*Network, error) {
	all, broken := s.readAll()
	var found []*Network
	for _, n := range append(all, s.virtual("host"), s.virtual("none")) {
		if n.ID == prefix {
			return n, nil
		}
		if strings.HasPrefix(n.ID, prefix) {
			found = append(found, n)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return nil, fmt.Errorf("network %s is ambiguous (%d matches found based on ID prefix)", prefix, len(found))
	case broken != nil:
		return nil, fmt.Errorf("%w, unless it is this one: %w", &NotFoundError{prefix}, broken)
	}
	return nil, &NotFoundError{prefix}
}

// List returns all networks by name, numbers in names by value, as Docker has them.
// Those that cannot be read are left out and named by the error, which may come with
// a list.
func (s *Networks) List() ([]*Network, error) {
	_, failed := s.defaultNetwork()
	all, broken := s.readAll()
	if broken != nil {
		failed = broken // it names the default one, too
	}
	all = append(all, s.virtual("host"), s.virtual("none"))
	slices.SortFunc(all, func(a, b *Network) int { return natural(a.Name, b.Name) })
	return all, failed
}

// virtual is one of the predefined networks that are no files.
func (s *Networks) virtual(name string) *Network {
	sum := sha256.Sum256([]byte(name + "\n" + s.data))
	n := &Network{Version: Version, ID: hex.EncodeToString(sum[:]), Name: name, Driver: Host}
	if name == "none" {
		n.Driver = Null
	}
	return n
}

// defaultNetwork returns the network bridge and makes it when it is missing.
func (s *Networks) defaultNetwork() (*Network, error) {
	n, err := s.read(DefaultName)
	if !errors.Is(err, fs.ErrNotExist) {
		return n, err
	}
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	return s.makeDefault()
}

func (s *Networks) file(name string) string { return filepath.Join(s.dir, name+".json") }

// read returns a network that is a file. A missing one matches fs.ErrNotExist; one
// that cannot be used is an error that names the file.
func (s *Networks) read(name string) (*Network, error) {
	n, err := s.decode(name)
	if err != nil {
		return nil, err
	}
	if err := n.checkRead(name); err != nil {
		return nil, fmt.Errorf("network %s: %s is damaged, repair or remove it: %w", name, s.file(name), err)
	}
	return n, nil
}

// decode reads a file as far as it is JSON.
func (s *Networks) decode(name string) (*Network, error) {
	text, err := os.ReadFile(s.file(name))
	if err != nil {
		return nil, fmt.Errorf("network %s: %w", name, err)
	}
	n := new(Network)
	if err := json.Unmarshal(text, n); err != nil {
		return nil, fmt.Errorf("network %s: %s is damaged, repair or remove it: %w", name, s.file(name), err)
	}
	return n, nil
}

// checkRead is nil when what a file holds is a network, complete and in a format
// that is understood.
func (n *Network) checkRead(name string) error {
	switch {
	case n.Version > Version:
		return fmt.Errorf("it was made by a newer ctr (format %d, this one knows %d)", n.Version, Version)
	case n.Version < 1:
		return errors.New("it has no format version")
	case n.Name != name:
		return fmt.Errorf("it is about a network %q", n.Name)
	case len(n.ID) != 64 || strings.Trim(n.ID, "0123456789abcdef") != "":
		return fmt.Errorf("its ID %q is not 64 hexadecimal digits", n.ID)
	}
	if err := n.check(); err != nil {
		return err
	}
	if n.ConfigOnly {
		return nil
	}
	if n.NoIPv4 != (n.Subnet4() == nil) || n.IPv6 != (n.Subnet6() != nil) {
		return errors.New("its subnets are not those of the address families that it has")
	}
	for _, s := range n.Subnets {
		if n.Driver == Bridge && !s.Gateway.IsValid() {
			return fmt.Errorf("its subnet %s has no gateway", s.Subnet)
		}
	}
	return nil
}

// readAll returns all networks that are files, and what is wrong with those that
// cannot be used.
func (s *Networks) readAll() (all []*Network, broken error) {
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	var failed []error
	for _, name := range names {
		n, err := s.read(name)
		switch {
		case err == nil:
			all = append(all, n)
		case !errors.Is(err, fs.ErrNotExist): // removed meanwhile
			failed = append(failed, err)
		}
	}
	return all, errors.Join(failed...)
}

func (s *Networks) names() (names []string, err error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing networks: %w", err)
	}
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".json"); ok && validName(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// lock excludes other changes of the set of networks; it ends with the process at
// the latest. What a killed writer left is cleared away.
func (s *Networks) lock() (unlock func(), err error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("locking the networks: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(s.dir, ".lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the networks: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("locking the networks: %w", err)
	}
	left, _ := filepath.Glob(filepath.Join(s.dir, ".*.tmp-*"))
	for _, path := range left {
		os.Remove(path)
	}
	return func() { f.Close() }, nil
}

// write stores the network durably. The caller holds the lock.
func (s *Networks) write(n *Network) error {
	text, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return fmt.Errorf("network %s: %w", n.Name, err)
	}
	return atomicfile.Write(s.file(n.Name), append(text, '\n'), 0o600, true)
}
