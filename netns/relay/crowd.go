package relay

import (
	"container/list"
	"net/netip"
)

// A crowd is a bounded set, oldest first, whose members belong to sources: the
// containers' addresses. When it is full a newcomer takes the place of its own
// source's oldest member if that source has more than its part, so that a
// container can crowd out only itself; else the place of the oldest of all.
// The owner locks.
type crowd[T any] struct {
	limit, share int // members in all, and of one source
	all          list.List
	sources      map[netip.Addr]*list.List
}

// place is a member's.
type place struct {
	all, own *list.Element
	source   netip.Addr
}

func newCrowd[T any](limit int) *crowd[T] {
	return &crowd[T]{limit: limit, share: max(1, min(1024, limit/4)), sources: map[netip.Addr]*list.List{}}
}

func (c *crowd[T]) size() int { return c.all.Len() }

// room returns the member that has to go before source can have another; false
// when there is room.
func (c *crowd[T]) room(source netip.Addr) (victim T, full bool) {
	own := c.sources[source]
	switch {
	case own != nil && own.Len() >= c.share,
		own != nil && c.all.Len() >= c.limit && own.Len() > c.limit/len(c.sources):
		return own.Front().Value.(T), true
	case c.all.Len() >= c.limit:
		return c.all.Front().Value.(T), true
	}
	return victim, false
}

func (c *crowd[T]) add(m T, source netip.Addr) place {
	own := c.sources[source]
	if own == nil {
		own = list.New()
		c.sources[source] = own
	}
	return place{all: c.all.PushBack(m), own: own.PushBack(m), source: source}
}

// touch makes the member the youngest.
func (c *crowd[T]) touch(p place) {
	c.all.MoveToBack(p.all)
	c.sources[p.source].MoveToBack(p.own)
}

func (c *crowd[T]) remove(p place) {
	c.all.Remove(p.all)
	own := c.sources[p.source]
	own.Remove(p.own)
	if own.Len() == 0 {
		delete(c.sources, p.source)
	}
}

// each calls f for every member, which f may remove.
func (c *crowd[T]) each(f func(T)) {
	for e := c.all.Front(); e != nil; {
		next := e.Next()
		f(e.Value.(T))
		e = next
	}
}
