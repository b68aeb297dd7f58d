package libpod

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"ctr/libpod/config"
	"ctr/libpod/monitor"
	"ctr/libpod/state"
	"ctr/netns/bridge"
	"ctr/netns/lease"
	"ctr/netns/network"
	"ctr/pkg/userns"
)

// Networks are the definitions of networks.
func (r *Runtime) Networks() *network.Networks { return network.Open(r.store.Data()) }

// Leases tell which running container has which address.
func (r *Runtime) Leases() *lease.Leases { return lease.Open(r.store.Run()) }

// LogNetwork records an event of network n with Docker's attributes and attrs.
func (r *Runtime) LogNetwork(action string, n *network.Network, attrs map[string]string) {
	r.store.Log(monitor.NetworkEvent(n, action, attrs))
}

// Connect wires the container to a further network, at once when it runs and for
// all its later starts.
func (c *Container) Connect(ctx context.Context, e config.Endpoint) error {
	n, err := c.r.Networks().Lookup(e.Network)
	if err != nil {
		return err
	}
	if err := c.mayChangeNetworks(n); err != nil {
		return err
	}
	e.Network = n.Name
	return c.reconfigure(ctx, func(cfg *config.Container) error {
		if slices.ContainsFunc(cfg.Networks, func(x config.Endpoint) bool { return x.Network == n.Name }) {
			return fmt.Errorf("endpoint with name %s already exists in network %s", cfg.Name, n.Name)
		}
		if err := c.askIfRunning(ctx, monitor.Request{Op: monitor.OpConnect, Endpoint: &e}); err != nil {
			return err
		}
		cfg.Networks = append(cfg.Networks, e)
		return cfg.Validate()
	})
}

// Disconnect takes the container off a network, by name. With force a container that does not
// know of the network is no error.
func (c *Container) Disconnect(ctx context.Context, name string, force bool) error {
	n, err := c.r.Networks().Lookup(name)
	if err == nil {
		name = n.Name
		err = c.mayChangeNetworks(n)
	}
	if err != nil && !force {
		return err
	}
	return c.reconfigure(ctx, func(cfg *config.Container) error {
		i := slices.IndexFunc(cfg.Networks, func(x config.Endpoint) bool { return x.Network == name })
		if i < 0 {
			if force {
				return nil
			}
			return fmt.Errorf("container %s is not connected to network %s", cfg.ID, name)
		}
		err := c.askIfRunning(ctx, monitor.Request{Op: monitor.OpDisconnect, Network: name})
		if err != nil && !force {
			return err
		}
		cfg.Networks = slices.Delete(cfg.Networks, i, i+1)
		return nil
	})
}

// ReloadNetwork makes the rules of the running container's networks again, after
// another program has flushed them.
func (c *Container) ReloadNetwork(ctx context.Context) error {
	_, err := c.ask(ctx, monitor.Request{Op: monitor.OpReload})
	return err
}

func (c *Container) mayChangeNetworks(n *network.Network) error {
	switch {
	case n.Driver == network.Host:
		return errors.New("container cannot be connected to host network or disconnected from it: choose it with --network host at create")
	case n.Driver == network.Null || c.cfg.NS.Network == "none":
		return errors.New("cannot connect container to multiple networks with one of the networks in private (none) mode")
	case c.cfg.NS.Network != "":
		return fmt.Errorf("container sharing network namespace with another container or host cannot be connected to any other network (its network mode is %s)", c.cfg.NS.Network)
	}
	return nil
}

// reconfigure changes the container's configuration on disk under its lock.
func (c *Container) reconfigure(ctx context.Context, change func(*config.Container) error) error {
	lock, err := c.r.store.Lock(ctx, c.cfg.ID)
	if err != nil {
		return kinded(err)
	}
	defer lock.Close()
	cfg, err := c.r.store.Load(c.cfg.ID)
	if err != nil {
		return kinded(err)
	}
	if err := change(cfg); err != nil {
		return err
	}
	if err := c.r.store.Replace(cfg); err != nil {
		return err
	}
	c.cfg = cfg
	return nil
}

func (c *Container) askIfRunning(ctx context.Context, req monitor.Request) error {
	st, err := c.State()
	if err != nil || !st.Active() {
		return err
	}
	_, err = c.ask(ctx, req)
	if KindOf(err) == ErrNotRunning {
		return nil // it ended meanwhile
	}
	return err
}

// settleRun records and clears a run whose monitor was killed. The caller holds the
// container's lock and nothing of the container runs.
func (r *Runtime) settleRun(id string) error {
	return errors.Join(r.leaveNetworks(id), r.store.Settle(id))
}

// leaveNetworks gives up what container id, whose monitor was killed, had in its networks.
func (r *Runtime) leaveNetworks(id string) error {
	rec, err := r.store.ReadRecord(id)
	if err != nil || rec == nil || rec.Network == nil {
		return err
	}
	var errs []error
	for _, e := range rec.Network.Endpoints {
		if e.NetworkID == "" {
			continue
		}
		errs = append(errs, r.Leases().Release(e.NetworkID, id))
		if !userns.Needed() {
			errs = append(errs, r.leftAsRoot(e.NetworkID))
		}
	}
	return errors.Join(errs...)
}

// leftAsRoot takes the bridge down that a killed monitor left in the host's namespace.
func (r *Runtime) leftAsRoot(networkID string) error {
	n, err := r.Networks().Lookup(networkID)
	if err != nil {
		return err
	}
	hub, err := bridge.Open(r.store.Run(), r.Leases(), r.Networks())
	if err != nil {
		return err
	}
	defer hub.Close()
	return hub.Left(n)
}

// renamed tells the networks of a running container its new name.
func (c *Container) renamed(st state.State) error {
	if st.Network == nil {
		return nil
	}
	var errs []error
	for _, e := range st.Network.Endpoints {
		if e.NetworkID == "" || len(e.Names) == 0 {
			continue
		}
		names := append([]string{c.cfg.Name}, e.Names[1:]...)
		errs = append(errs, c.r.Leases().SetNames(e.NetworkID, c.cfg.ID, names))
	}
	return errors.Join(errs...)
}
