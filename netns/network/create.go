package network

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"ctr/pkg/atomicfile"
)

// Create makes the network n and returns it complete: with ID, time of creation,
// subnets and gateways. An empty driver is bridge. Subnets that are given count as
// chosen by the user; an IPv6 one turns IPv6 on. A taken name is an [*ExistsError].
// The errors about bad input are Docker's, with what to do about it.
func (s *Networks) Create(n Network) (*Network, error) {
	if err := CheckName(n.Name); err != nil {
		return nil, err
	}
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := os.Lstat(s.file(n.Name)); err == nil {
		return nil, &ExistsError{n.Name}
	}
	// the default network has the first choice of subnets, whenever it is first used
	if _, err := s.makeDefault(); err != nil {
		return nil, err
	}
	return s.make(n)
}

// makeDefault makes the network bridge unless it is there. The caller holds the lock.
func (s *Networks) makeDefault() (*Network, error) {
	n, err := s.read(DefaultName)
	if !errors.Is(err, fs.ErrNotExist) {
		return n, err
	}
	return s.make(Network{Name: DefaultName})
}

// make completes, checks and stores a network. The caller holds the lock.
func (s *Networks) make(n Network) (*Network, error) {
	others, err := s.others(n.Name)
	if err != nil {
		return nil, err
	}
	if err := n.complete(others); err != nil {
		return nil, err
	}
	if err := errors.Join(n.check(), n.checkParentExists()); err != nil {
		return nil, err
	}
	if !n.ConfigOnly {
		if err := n.conflict(others); err != nil {
			return nil, err
		}
		if err := n.addAutomatic(others, s.data); err != nil {
			return nil, fmt.Errorf("network %s: %w", n.Name, err)
		}
		if err := n.chooseGateways(); err != nil {
			return nil, fmt.Errorf("network %s: %w", n.Name, err)
		}
	}
	if err := s.write(&n); err != nil {
		return nil, fmt.Errorf("network %s: %w", n.Name, err)
	}
	return &n, nil
}

// others are all networks but the named one. Those that cannot be used count as far
// as they can be read: a newer ctr may have made them.
func (s *Networks) others(name string) (others []*Network, err error) {
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	for _, other := range names {
		if other == name {
			continue
		}
		if n, err := s.decode(other); err == nil {
			n.Name = other
			others = append(others, n)
		}
	}
	return others, nil
}

// complete fills in what follows from what was given.
func (n *Network) complete(others []*Network) error {
	if err := n.applyConfigFrom(others); err != nil {
		return err
	}
	n.Version, n.ID, n.Created = Version, newID(), time.Now().UTC()
	switch {
	case n.ConfigOnly:
		n.Driver = Null
	case n.Driver == "":
		n.Driver = Bridge
	}
	if v, err := strconv.ParseBool(n.Options[optEnableIPv4]); err == nil {
		n.NoIPv4 = !v
	}
	if v, err := strconv.ParseBool(n.Options[optEnableIPv6]); err == nil {
		n.IPv6 = v
	}
	n.Subnets = slices.Clone(n.Subnets)
	for i := range n.Subnets {
		n.Subnets[i].Chosen = true
	}
	slices.SortStableFunc(n.Subnets, func(a, b Subnet) int { return a.Subnet.Addr().BitLen() - b.Subnet.Addr().BitLen() })
	if n.Subnet6() != nil {
		n.IPv6 = true
	}
	return n.completeInterface()
}

func (n *Network) completeInterface() error {
	key := optParent
	if n.Driver == Bridge {
		key = optBridgeName
	}
	named := n.Options[key]
	if n.Interface != "" && named != "" && n.Interface != named {
		return fmt.Errorf("the interface is named twice: %s, and %s by option %s", n.Interface, named, key)
	}
	if n.Interface == "" && !n.ConfigOnly {
		n.Interface = named
	}
	return nil
}

// applyConfigFrom takes over what the network of --config-from holds.
func (n *Network) applyConfigFrom(others []*Network) error {
	if n.ConfigFrom == "" || n.ConfigOnly {
		return nil // the latter is refused by check
	}
	switch {
	case len(n.Subnets) > 0 || n.NoIPv4 || n.IPv6 || len(n.Labels) > 0 || n.IPAM.Driver != "" && n.IPAM.Driver != "default" || len(n.IPAM.Options) > 0:
		return errors.New("user specified configurations are not supported if the network depends on a configuration network")
	case len(n.Options) > 0:
		return errors.New("network driver options are not supported if the network depends on a configuration network")
	}
	for _, from := range others {
		if from.ConfigOnly && (from.Name == n.ConfigFrom || from.ID == n.ConfigFrom) {
			n.ConfigFrom = from.Name
			n.Subnets, n.NoIPv4, n.IPv6 = from.Subnets, from.NoIPv4, from.IPv6
			n.Labels, n.Options, n.IPAM = maps.Clone(from.Labels), maps.Clone(from.Options), from.IPAM
			return nil
		}
	}
	return fmt.Errorf("configuration network %q does not exist", n.ConfigFrom)
}

// conflict says which other network has what n asks for.
func (n *Network) conflict(others []*Network) error {
	for _, other := range others {
		if other.ConfigOnly {
			continue
		}
		for _, s := range n.Subnets {
			for _, o := range other.Subnets {
				if s.Subnet.Overlaps(o.Subnet) {
					return fmt.Errorf("invalid pool request: Pool overlaps with other one on this address space: subnet %s of network %q", o.Subnet, other.Name)
				}
			}
		}
		if n.Driver == Bridge && other.Driver == Bridge && n.Interface != "" && n.Interface == other.Interface {
			return fmt.Errorf("cannot create network %s (%s): conflicts with network %s: networks have same bridge name", n.Name, n.Interface, other.Name)
		}
		if n.Driver == Macvlan && other.Driver == Macvlan && n.Interface != "" && n.Interface == other.Interface && (n.Mode() == "passthru" || other.Mode() == "passthru") {
			return fmt.Errorf("cannot use mode passthru, macvlan network %s is already using parent interface %s", other.Name, n.Interface)
		}
	}
	return nil
}

// chooseGateways gives a gateway to the subnets that need one. Without a way out
// there is none to name, but a bridge always has its own address.
func (n *Network) chooseGateways() error {
	if n.Driver != Bridge && (n.Internal || n.Interface == "" || n.Mode() == "l3" || n.Mode() == "l3s") {
		return nil
	}
	for i := range n.Subnets {
		if err := n.Subnets[i].chooseGateway(); err != nil {
			return err
		}
	}
	return nil
}

// Replace stores a changed definition of an existing network; name and ID stay, and
// so must the subnets while containers are on it. Predefined networks are refused.
// A network that is gone is a [*NotFoundError].
func (s *Networks) Replace(n *Network) error {
	if n.Predefined() {
		return fmt.Errorf("operation is not permitted on predefined %s network", n.Name)
	}
	if err := n.checkRead(n.Name); err != nil {
		return err
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if now, err := s.read(n.Name); errors.Is(err, fs.ErrNotExist) || err == nil && now.ID != n.ID {
		return &NotFoundError{n.Name}
	} else if err != nil {
		return err
	}
	others, err := s.others(n.Name)
	if err != nil {
		return err
	}
	if err := n.conflict(others); err != nil && !n.ConfigOnly {
		return err
	}
	return s.write(n)
}

// Remove deletes the definition of a network; whether a container is on it is for
// the caller to see. Predefined networks are refused, and configurations that others
// are made from. A network that is gone is no error.
func (s *Networks) Remove(n *Network) error {
	if n.Predefined() {
		return fmt.Errorf("%s is a pre-defined network and cannot be removed", n.Name)
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	now, err := s.decode(n.Name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && now.ID != n.ID {
		return nil
	}
	if n.ConfigOnly {
		if err := s.configInUse(n); err != nil {
			return err
		}
	}
	if err := os.Remove(s.file(n.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing network %s: %w", n.Name, err)
	}
	return atomicfile.SyncDir(s.dir)
}

func (s *Networks) configInUse(n *Network) error {
	others, err := s.others(n.Name)
	if err != nil {
		return err
	}
	var users []string
	for _, other := range others {
		if other.ConfigFrom == n.Name {
			users = append(users, other.Name)
		}
	}
	if len(users) > 0 {
		return fmt.Errorf("configuration network %q is in use by network %s", n.Name, strings.Join(users, ", "))
	}
	return nil
}

func newID() string {
	var b [32]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
