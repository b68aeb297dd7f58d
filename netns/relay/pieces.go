package relay

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"time"
)

const (
	fragmentSize = 8 // of IPv6's fragment header
	pieceTime    = 10 * time.Second
	maxPartial   = 64 // datagrams being put together
	// A container with an ordinary link of 1500 bytes cuts the largest datagram into 45.
	maxPieces = 128
)

// pieces puts datagrams together that containers had to cut up: those larger than
// the MTU of their network. There are few, for a network's MTU is 65520 unless it was
// created with another.
type pieces struct {
	mu      sync.Mutex
	partial *crowd[*partial]
	known   map[pieceKey]*partial
}

type pieceKey struct {
	src, dst netip.Addr
	protocol uint8
	id       uint32
}

// partial is a datagram of which something is missing.
type partial struct {
	pieceKey
	place place
	until time.Time
	got   []span // in no order, never overlapping
	data  []byte // as long as the farthest piece
	total int    // 0 until the last piece is there
	sum   int
}

type span struct{ from, to int }

func newPieces() *pieces {
	return &pieces{partial: newCrowd[*partial](maxPartial), known: map[pieceKey]*partial{}}
}

// add keeps a piece; ok is true when it completes a datagram, which is returned. One
// whose pieces overlap is an attack and dropped (RFC 5722).
func (s *pieces) add(p packet, now time.Time) (whole packet, ok bool) {
	at := span{p.fragment.offset, p.fragment.offset + len(p.payload)}
	most := maxPacket - 1
	if p.src.Is4() {
		most -= headerSize4
	}
	if at.from == at.to || at.to > most || p.fragment.more && len(p.payload)%8 != 0 {
		return packet{}, false
	}
	key := pieceKey{p.src, p.dst, p.protocol, p.fragment.id}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.known[key]
	if d == nil {
		for victim, full := s.partial.room(p.src); full; victim, full = s.partial.room(p.src) {
			s.remove(victim)
		}
		d = &partial{pieceKey: key, until: now.Add(pieceTime)}
		d.place = s.partial.add(d, p.src)
		s.known[key] = d
	}
	if !d.put(at, p) {
		s.remove(d)
		return packet{}, false
	}
	if d.total == 0 || d.sum < d.total {
		return packet{}, false
	}
	s.remove(d)
	return d.packet()
}

// put reports false when the piece does not fit to the others.
func (d *partial) put(at span, p packet) bool {
	if len(d.got) == maxPieces || d.total > 0 && at.to > d.total {
		return false
	}
	for _, g := range d.got {
		if at.from < g.to && g.from < at.to {
			return false
		}
	}
	if !p.fragment.more {
		if d.total > 0 || len(d.data) > at.to {
			return false
		}
		d.total = at.to
	}
	if len(d.data) < at.to {
		d.data = append(d.data, make([]byte, at.to-len(d.data))...)
	}
	copy(d.data[at.from:], p.payload)
	d.got = append(d.got, at)
	d.sum += at.to - at.from
	return true
}

// packet is the datagram as if it had come in one packet.
func (d *partial) packet() (packet, bool) {
	buf := make([]byte, headerSize+len(d.data))
	copy(buf[headerSize:], d.data)
	return parse(wrap(buf, headerSize, len(buf), d.protocol, d.src, d.dst, 0))
}

func (s *pieces) remove(d *partial) {
	s.partial.remove(d.place)
	delete(s.known, d.pieceKey)
}

// sweep drops what has waited too long, and reports whether anything waits.
func (s *pieces) sweep(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.partial.each(func(d *partial) {
		if now.After(d.until) {
			s.remove(d)
		}
	})
	return s.partial.size() > 0
}

// deliver writes a flow's packet to its container. IPv4 packets are cut up by the hub
// where a link needs it; of IPv6 that is the sender's job, once it was told.
func (f *flows) deliver(w *flow, b []byte) {
	limit := int(w.limit.Load())
	if limit == 0 || len(b) <= limit || w.src.Addr().Is4() {
		f.write(b)
		return
	}
	for _, piece := range cut6(b, limit, f.ident.Add(1)) {
		f.write(piece)
	}
}

// cut6 cuts an IPv6 packet without extension headers into pieces (RFC 8200, 4.5).
func cut6(b []byte, limit int, id uint32) (cut [][]byte) {
	const headers = headerSize6 + fragmentSize
	room := (limit - headers) &^ 7
	for at, data := 0, b[headerSize6:]; at < len(data); at += room {
		part := data[at:min(at+room, len(data))]
		piece := make([]byte, headers, headers+len(part))
		copy(piece, b[:headerSize6])
		binary.BigEndian.PutUint16(piece[4:], uint16(fragmentSize+len(part)))
		const fragmentHeader = 44
		piece[6], piece[headerSize6] = fragmentHeader, b[6]
		where := uint16(at)
		if at+len(part) < len(data) {
			where |= 1
		}
		binary.BigEndian.PutUint16(piece[headerSize6+2:], where)
		binary.BigEndian.PutUint32(piece[headerSize6+4:], id)
		cut = append(cut, append(piece, part...))
	}
	return cut
}
