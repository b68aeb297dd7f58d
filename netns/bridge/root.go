package bridge

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ctr/netns/network"
)

// letThrough makes the host pass the network's packets: routing, and the firewalls
// of others. Nothing to do in a made hub. Idempotent.
func (h *Hub) letThrough(n *network.Network) error {
	if !h.root {
		return nil
	}
	if err := h.forwardAsRoot(n.IPv6); err != nil {
		return err
	}
	if err := h.routeMarked(n.BridgeName(), true); err != nil {
		return err
	}
	if err := h.acceptInTables(n.BridgeName(), true); err != nil {
		h.note(fmt.Sprintf("network %s may not reach outside, because the host's iptables rules could not be changed: %v", n.Name, err))
	}
	firewalld("--zone=trusted", "--add-interface="+n.BridgeName())
	return nil
}

// Left removes what only root leaves in the host's namespace: call it when a lease
// of the network was released. With the network's last lease go the bridge and its
// rules, with the very last our tables and routes. A bridge that the user made stays.
// In a made hub nothing is done: what is there costs nothing, ends with the hub,
// and makes the next container start faster. Idempotent.
func (h *Hub) Left(n *network.Network) error {
	if !h.root {
		return nil
	}
	return h.locked(unix.LOCK_EX, func() error {
		leases, err := h.leases.Of(n.ID)
		if err != nil {
			return fmt.Errorf("reading leases of network %s: %w", n.Name, err)
		}
		if anyAlive(leases) {
			return nil
		}
		if n.Driver != network.Bridge {
			return h.removeParent(n)
		}
		if err := h.removeBridge(n.BridgeName()); err != nil {
			return err
		}
		active, err := h.active()
		if err != nil {
			return err
		}
		if len(active) == 0 {
			return h.clearHost()
		}
		if err := h.remove(networkElements(newTables(), n)); err != nil {
			return fmt.Errorf("removing firewall rules of network %s: %w", n.Name, err)
		}
		return nil
	})
}

// removeBridge removes a bridge that we made, and what lets its packets through.
func (h *Hub) removeBridge(name string) error {
	route, err := h.links()
	if err != nil {
		return err
	}
	link, err := route.LinkByName(name)
	if err == nil && strings.HasPrefix(link.Attrs().Alias, aliasPrefix) {
		err = ignore(route.LinkDel(link), unix.ENODEV)
	}
	if err != nil && !errors.As(err, new(netlink.LinkNotFoundError)) {
		return fmt.Errorf("removing bridge %q: %w", name, err)
	}
	firewalld("--zone=trusted", "--remove-interface="+name)
	return errors.Join(h.routeMarked(name, false), h.acceptInTables(name, false))
}

// clearHost removes everything of ours from the host: bridges that killed monitors
// left, tables and routes.
func (h *Hub) clearHost() error {
	route, err := h.links()
	if err != nil {
		return err
	}
	links, err := route.LinkList()
	if err != nil {
		return fmt.Errorf("listing interfaces: %w", err)
	}
	ports := map[int]bool{}
	for _, l := range links {
		ports[l.Attrs().MasterIndex] = true
	}
	for _, l := range links {
		a := l.Attrs()
		if l.Type() == "bridge" && strings.HasPrefix(a.Alias, aliasPrefix) && !ports[a.Index] {
			err = errors.Join(err, h.removeBridge(a.Name))
		}
	}
	t := newTables()
	for _, table := range []*nftables.Table{t.inet, t.bridge} {
		err = errors.Join(err, h.transaction(func(c *nftables.Conn) error {
			c.AddTable(table) // so that there is one to delete
			c.DelTable(table)
			return nil
		}))
	}
	return errors.Join(err, h.unrouteMarked())
}

// firewalld asks a running firewalld, which otherwise drops what comes from
// interfaces that it does not know. It forgets with its next reload.
func firewalld(args ...string) {
	program, err := exec.LookPath("firewall-cmd")
	if err != nil || exec.Command(program, "--state").Run() != nil {
		return
	}
	c := exec.Command(program, args...)
	if c.Start() == nil {
		late := time.AfterFunc(patience, func() { c.Process.Kill() })
		c.Wait()
		late.Stop()
	}
}
