package verbs

import (
	"context"
	"errors"
	"maps"

	"ctr/libpod"
	"ctr/libpod/config"
	"ctr/libpod/state"
	"ctr/netns/lease"
	"ctr/netns/network"
)

func networksOf(r *libpod.Runtime) *network.Networks { return network.Open(r.Data()) }
func leasesOf(r *libpod.Runtime) *lease.Leases       { return lease.Open(r.Run()) }

func logNetwork(r *libpod.Runtime, action string, n *network.Network, attrs map[string]string) {
	all := map[string]string{"name": n.Name, "type": n.Driver}
	maps.Copy(all, attrs)
	r.Log(state.Event{Type: "network", Action: action, ID: n.ID, Attributes: all})
}

type wired interface {
	Connect(ctx context.Context, e config.Endpoint) error
	Disconnect(ctx context.Context, network string, force bool) error
	ReloadNetwork(ctx context.Context) error
}

func wire(c *libpod.Container) wired {
	if w, ok := any(c).(wired); ok {
		return w
	}
	return unwired{}
}

type unwired struct{}

func (unwired) Connect(context.Context, config.Endpoint) error { return errors.ErrUnsupported }
func (unwired) Disconnect(context.Context, string, bool) error { return errors.ErrUnsupported }
func (unwired) ReloadNetwork(context.Context) error            { return errors.ErrUnsupported }
