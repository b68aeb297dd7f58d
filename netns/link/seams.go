package link

import (
	"context"
	"errors"
	"net/netip"
	"os"

	"ctr/netns/lease"
)

// What this package takes from its neighbours.
const (
	up0  = "up0"
	tap0 = "tap0"
)

type uplinked struct {
	Interface   string
	Masquerade  bool
	HostAddress netip.Addr
}

var (
	setUplink  = func(hub *os.File, u uplinked) error { return nil }
	allLeases  = func(run string) (map[string][]lease.Lease, error) { return nil, nil }
	openTUN    = func(hub *os.File, name string, mtu int) (*os.File, error) { return nil, errors.ErrUnsupported }
	openVeth   = func(hub *os.File, name string, mtu int) (*os.File, error) { return nil, errors.ErrUnsupported }
	serveRelay = func(ctx context.Context, hub, device *os.File, host func() netip.Addr) error {
		return errors.ErrUnsupported
	}
)
