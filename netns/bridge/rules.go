package bridge

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/nftables"
	nfnetlink "github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// patience is how long the kernel may take to answer a transaction. One without
// nf_tables sends fewer answers than the library waits for.
const patience = 10 * time.Second

// transaction gives f a connection to collect changes on, and applies them all or none.
func (h *Hub) transaction(f func(c *nftables.Conn) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, err := h.connectRules()
	if err != nil {
		return err
	}
	h.rulesNL.SetDeadline(time.Now().Add(patience))
	if err = f(c); err == nil {
		err = c.Flush()
	}
	if err != nil {
		h.dropRules() // there may be answers that nobody read
	}
	return err
}

// connectRules returns the connection to the hub's nftables, made once.
func (h *Hub) connectRules() (*nftables.Conn, error) {
	if h.rules != nil {
		return h.rules, nil
	}
	keep := func(s *nfnetlink.Conn) error { h.rulesNL = s; return nil }
	err := h.do(func() (err error) {
		h.rules, err = nftables.New(nftables.AsLasting(), nftables.WithSockOptions(keep))
		return err
	})
	if err != nil {
		h.rules = nil
		return nil, fmt.Errorf("opening netfilter netlink in the containers' network: %w", err)
	}
	return h.rules, nil
}

func (h *Hub) dropRules() {
	if h.rules != nil {
		h.rules.CloseLasting()
		h.rules = nil
	}
}

// rebuild replaces both tables by what networks and leases say, each at once.
func (h *Hub) rebuild() error {
	t := newTables()
	elements, err := h.elements(t)
	if err != nil {
		return err
	}
	for {
		err := h.transaction(func(c *nftables.Conn) error {
			l := h.lacking
			replace(c, t.inet, t.inetSets(h.root, l), t.inetChains(h.root, l))
			return change(c.SetAddElements, elements, func(s *nftables.Set) bool { return s.Table == t.inet && h.has(s) })
		})
		if err == nil {
			break
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("writing the firewall rules of the containers' network: this kernel has no nftables, or is very slow; load nf_tables (%w)", err)
		}
		if !h.doWithout(err) {
			return fmt.Errorf("writing the firewall rules of the containers' network: %w", err)
		}
	}
	if !h.has(t.ports) {
		return nil
	}
	err = h.transaction(func(c *nftables.Conn) error {
		replace(c, t.bridge, t.bridgeSets(), t.bridgeChains())
		return change(c.SetAddElements, elements, func(s *nftables.Set) bool { return s.Table == t.bridge })
	})
	if err != nil {
		h.mu.Lock()
		h.lacking.bridge = true
		h.mu.Unlock()
		h.note(fmt.Sprintf("containers of one network can pretend to be one another, because this kernel does not filter bridged frames (%v); a kernel with CONFIG_NF_TABLES_BRIDGE does", err))
	}
	return nil
}

// has reports whether the set is one that this kernel and this kind of hub have.
func (h *Hub) has(s *nftables.Set) bool {
	switch {
	case s.Table.Family == nftables.TableFamilyBridge:
		return !h.lacking.bridge
	case s.Name == "open":
		return h.root
	case s.Interval:
		return h.root && !h.lacking.nat
	}
	return true
}

// doWithout gives up the next thing that a kernel may not have, after err, and
// reports whether that makes sense.
func (h *Hub) doWithout(err error) bool {
	if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EINVAL) {
		return false
	}
	line := ""
	h.mu.Lock()
	switch l := &h.lacking; {
	case !h.root && !l.reject:
		l.reject = true
	case !l.transparent:
		l.transparent = true
		line = "published ports and the built-in link do not work, because this kernel lacks nft_socket or nft_tproxy; load these modules"
	case h.root && !l.nat:
		l.nat = true
		line = "containers reach only this host, because this kernel lacks nft_masq or nft_nat; load these modules"
	default:
		h.mu.Unlock()
		return false
	}
	h.mu.Unlock()
	if line != "" {
		h.note(line)
	}
	return true
}

// replace makes a table anew.
func replace(c *nftables.Conn, t *nftables.Table, sets []*nftables.Set, chains []chain) {
	c.AddTable(t) // so that there is one to delete
	c.DelTable(t)
	c.AddTable(t)
	for _, s := range sets {
		s.ID = 0
		c.AddSet(s, nil)
	}
	policy := nftables.ChainPolicyAccept
	for _, ch := range chains {
		made := &nftables.Chain{Name: ch.name, Table: t, Type: ch.kind, Hooknum: ch.hook, Priority: ch.priority}
		if ch.hook != nil {
			made.Policy = &policy
		}
		c.AddChain(made)
		for _, r := range ch.rules {
			c.AddRule(&nftables.Rule{Table: t, Chain: made, Exprs: r})
		}
	}
}

// Reload writes all rules and routes again, from the networks and the leases, in
// one step: for `network reload`, and when somebody has flushed the rules. Without
// any lease it removes them as root.
func (h *Hub) Reload() error {
	return h.locked(unix.LOCK_EX, func() error {
		if !h.root {
			if err := h.routeMarked("", true); err != nil {
				return err
			}
			return h.rebuild()
		}
		active, err := h.active()
		if err != nil {
			return err
		}
		if len(active) == 0 {
			return h.clearHost()
		}
		if err := h.rebuild(); err != nil {
			return err
		}
		for _, n := range active {
			if err := h.letThrough(n); err != nil {
				return err
			}
		}
		return nil
	})
}
