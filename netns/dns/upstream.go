package dns

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ctr/netns"
)

const (
	maxServers = 3                // as many as the C library asks
	maxAsked   = 1024             // queries at upstream servers at once; more fail
	distrust   = 10 * time.Second // for how long a server that was silent is asked last
)

// server is a name server that is asked.
type server struct {
	address netip.AddrPort
	inside  bool // from the container's namespace
}

// way is how a server is asked. Not every one that answers datagrams takes connections.
type way struct {
	server
	network string // udp or tcp
}

// upstream knows the servers that queries are forwarded to.
type upstream struct {
	container *os.File // network namespace
	own       []server // --dns
	attached  bool     // the container's networks are known
	path      string   // of the host's resolv.conf
	slots     chan struct{}

	mu     sync.Mutex
	stamp  stamp
	host   []server
	silent map[way]time.Time // until when a server is not trusted to answer
}

// newUpstream takes the container's namespace over.
func newUpstream(container *os.File, c Config) *upstream {
	u := &upstream{container: container, path: c.HostConfig, attached: c.Names != nil, silent: map[way]time.Time{}}
	if u.path == "" {
		u.path = "/etc/resolv.conf"
	}
	u.own = inside(c.Servers)
	u.slots = make(chan struct{}, maximumAsked())
	return u
}

func (u *upstream) close() { u.container.Close() }

// maximumAsked leaves most of this process's descriptors to others.
func maximumAsked() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return maxAsked / 8
	}
	return int(min(maxAsked, limit.Cur/8))
}

// enter takes a place among the queries that are forwarded; leave gives it back.
func (u *upstream) enter() bool {
	select {
	case u.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

func (u *upstream) leave() { <-u.slots }

// inside makes servers of addresses in the container's view; this server is not one.
func inside(addresses []netip.Addr) []server {
	var servers []server
	for _, a := range addresses {
		if a.Unmap() != Address && len(servers) < maxServers {
			servers = append(servers, server{netip.AddrPortFrom(a, port), true})
		}
	}
	return servers
}

// servers are those to ask for a container in these networks: none when all of them
// are internal and no server was named that might be within them.
func (u *upstream) servers(networks []Attached) []server {
	if len(u.own) > 0 {
		return u.own
	}
	internal := u.attached
	for i := range networks {
		internal = internal && networks[i].Internal
		if own := inside(networks[i].Servers); len(own) > 0 {
			return own
		}
	}
	if internal {
		return nil
	}
	return u.hostServers()
}

// hostServers are those of the host's resolv.conf as it is now; without any it is
// the one on the host itself, as resolv.conf(5) says.
func (u *upstream) hostServers() []server {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := stampOf(u.path)
	if u.host != nil && now == u.stamp {
		return u.host
	}
	text, _ := os.ReadFile(u.path)
	addresses := netns.NameServers(text)
	if len(addresses) == 0 {
		addresses = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	u.host, u.stamp = nil, now
	for _, a := range addresses[:min(len(addresses), maxServers)] {
		u.host = append(u.host, server{address: netip.AddrPortFrom(a, port)})
	}
	return u.host
}

// order puts the servers that have been silent last. probe is one of those that it is
// time to try again, beside the first, so that a dead one delays no query; nil for none.
func (u *upstream) order(servers []server, network string) (ordered []server, probe *server) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.silent) == 0 {
		return servers, nil
	}
	var last []server
	for _, s := range servers {
		w := way{s, network}
		until, silent := u.silent[w]
		switch {
		case !silent:
			ordered = append(ordered, s)
		case probe == nil && time.Now().After(until):
			u.silent[w] = time.Now().Add(distrust)
			probe = &s
		default:
			last = append(last, s)
		}
	}
	ordered = append(ordered, last...)
	if len(ordered) == 0 {
		return []server{*probe}, nil
	}
	return ordered, probe
}

// remember notes that a server answered, or did not when another did.
func (u *upstream) remember(w way, answered bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if answered {
		delete(u.silent, w)
	} else if len(u.silent) < 64 { // servers come and go with the host's networks
		u.silent[w] = time.Now().Add(distrust)
	} else {
		clear(u.silent)
	}
}

// dial opens a socket towards a server. Each query has its own, so that nobody who
// does not see the query can guess both its port and its number.
func (u *upstream) dial(ctx context.Context, network string, s server) (c net.Conn, err error) {
	open := func() error {
		address := s.address
		if zone := address.Addr().Zone(); zone != "" {
			i, err := net.InterfaceByName(zone) // package net remembers interfaces, of whatever namespace
			if err != nil {
				return err
			}
			address = netip.AddrPortFrom(address.Addr().WithZone(strconv.Itoa(i.Index)), address.Port())
		}
		var d net.Dialer
		c, err = d.DialContext(ctx, network, address.String())
		return err
	}
	if s.inside {
		err = netns.Do(u.container, open)
	} else {
		err = open()
	}
	return c, err
}
