package dns

import (
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ctr/netns/lease"
	"ctr/pkg/process"
)

// Leases is what a [Resolver] reads; [lease.Leases] is one.
type Leases interface {
	File(networkID string) string               // replaced whenever the leases change
	Of(networkID string) ([]lease.Lease, error) // as on disk
}

// Attached is a network that the container is in.
type Attached struct {
	NetworkID string
	Name      string
	DNS       bool              // containers have names here: not on the default bridge, nor with --disable-dns
	Internal  bool              // nothing leads out of it
	Servers   []netip.Addr      // the network's own upstream servers, asked instead of the host's from the container's namespace
	Links     map[string]string // alias to the name or ID of a container of this network, for this container alone
}

// Resolver knows the names of the containers that a container shares networks with.
// It may be used by several goroutines.
type Resolver struct {
	leases   Leases
	networks func() []Attached

	mu     sync.Mutex
	tables map[string]*table // by network ID
	turn   int
}

// FromLeases answers from the lease files of the networks that the container is in.
// networks is called for each question, by several goroutines, and the slice is not
// written to; the first network that knows a name answers, as with Docker. A
// file is looked at for each question too, but read only after a change, so an answer is never
// older than the last change. What a lease says is not answered once its holder is dead.
func FromLeases(l Leases, networks func() []Attached) *Resolver {
	return &Resolver{leases: l, networks: networks, tables: map[string]*table{}}
}

// table is a lease file, read.
type table struct {
	path      string
	stamp     stamp
	names     map[string][]*entry // in lower case; also by ID, for links
	addresses map[netip.Addr]*entry
}

type entry struct {
	ipv4, ipv6 netip.Addr
	name       string
	holder     process.Process
	asked      time.Time // when the holder was last asked for
	checked    time.Time // when it was last seen alive beyond doubt
	void       bool
}

// stamp tells versions of a file apart. A file that is replaced has another inode;
// one that is rewritten has another time of change.
type stamp struct {
	device, inode uint64
	size          int64
	changed       unix.Timespec
}

func stampOf(path string) stamp {
	var s unix.Stat_t
	if unix.Stat(path, &s) != nil {
		return stamp{}
	}
	return stamp{uint64(s.Dev), s.Ino, s.Size, s.Ctim}
}

// table returns the names of a network as of now.
func (r *Resolver) table(id string) *table {
	t := r.tables[id]
	if t == nil {
		t = &table{path: r.leases.File(id)}
		r.tables[id] = t
	}
	now := stampOf(t.path) // before reading: what changes in between is read again
	if t.names != nil && now == t.stamp {
		return t
	}
	leases, err := r.leases.Of(id)
	if err != nil {
		return t // what was known last; the next question tries again
	}
	t.stamp = now
	t.names = make(map[string][]*entry, 3*len(leases))
	t.addresses = make(map[netip.Addr]*entry, len(leases))
	for i := range leases {
		t.insert(&leases[i])
	}
	return t
}

func (t *table) insert(l *lease.Lease) {
	e := &entry{ipv4: l.IPv4, ipv6: l.IPv6, holder: l.Holder}
	if len(l.Names) > 0 {
		e.name = l.Names[0]
	}
	t.name(l.Container, e)
	for _, n := range l.Names {
		t.name(strings.ToLower(n), e)
	}
	for _, a := range []netip.Addr{l.IPv4, l.IPv6} {
		if a.IsValid() {
			t.addresses[a] = e
		}
	}
}

func (t *table) name(name string, e *entry) {
	known := t.names[name]
	if len(known) == 0 || known[len(known)-1] != e { // a container may give one name twice
		t.names[name] = append(known, e)
	}
}

// holderDoubt is for how long a holder that was seen alive is asked for by pid alone,
// which costs a twentieth. Within it no pid comes round again.
const holderDoubt = time.Second

// live says whether a holder is there at the time now, which is that of the question.
func (e *entry) live(now time.Time) bool {
	if e.void || e.asked == now {
		return !e.void
	}
	e.asked = now
	switch {
	case unix.Kill(e.holder.Pid, 0) == unix.ESRCH:
		e.void = true
	case now.Sub(e.checked) > holderDoubt:
		e.checked = now
		e.void = !e.holder.Alive()
	}
	return !e.void
}

// addresses are those of a name, in dst; known is also true when the name has none
// of the wanted kind. Several containers come in another order each time.
func (r *Resolver) addresses(dst []netip.Addr, networks []Attached, name []byte, ipv6 bool) (found []netip.Addr, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for _, e := range r.find(networks, name, now) {
		if !e.live(now) {
			continue
		}
		known = true
		a := e.ipv4
		if ipv6 {
			a = e.ipv6
		}
		if a.IsValid() {
			dst = append(dst, a)
		}
	}
	r.turn++
	if n := len(dst); n > 1 {
		rotate(dst, r.turn%n)
	}
	return dst, known
}

func rotate(a []netip.Addr, n int) {
	reverseAll(a[:n])
	reverseAll(a[n:])
	reverseAll(a)
}

func reverseAll(a []netip.Addr) {
	for i, j := 0, len(a)-1; i < j; i, j = i+1, j-1 {
		a[i], a[j] = a[j], a[i]
	}
}

// find returns the entries of a name: in any network, or, when what follows one of
// its dots names a network, in that. Both may have dots in them.
func (r *Resolver) find(networks []Attached, name []byte, now time.Time) []*entry {
	if found := r.findIn(networks, name, nil, now); found != nil {
		return found
	}
	for i := len(name) - 1; i > 0; i-- {
		if name[i] != '.' {
			continue
		}
		if found := r.findIn(networks, name[:i], name[i+1:], now); found != nil {
			return found
		}
	}
	return nil
}

// findIn looks in all networks or in the one that is named.
func (r *Resolver) findIn(networks []Attached, name, network []byte, now time.Time) []*entry {
	for i := range networks {
		n := &networks[i]
		if !n.DNS || network != nil && !strings.EqualFold(n.Name, string(network)) {
			continue
		}
		t := r.table(n.NetworkID)
		for alias, target := range n.Links {
			if strings.EqualFold(alias, string(name)) {
				if found := t.names[strings.ToLower(target)]; anyLive(found, now) {
					return found
				}
			}
		}
		if found := t.names[string(name)]; anyLive(found, now) {
			return found
		}
	}
	return nil
}

func anyLive(entries []*entry, now time.Time) bool {
	for _, e := range entries {
		if e.live(now) {
			return true
		}
	}
	return false
}

// owner is the name of the container that has an address, with its network's: "web.mynet".
func (r *Resolver) owner(networks []Attached, a netip.Addr) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range networks {
		n := &networks[i]
		if !n.DNS {
			continue
		}
		if e := r.table(n.NetworkID).addresses[a]; e != nil && e.name != "" && e.live(time.Now()) {
			return e.name + "." + n.Name, true
		}
	}
	return "", false
}
