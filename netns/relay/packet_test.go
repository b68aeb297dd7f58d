package relay

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var (
	in4  = netip.MustParseAddrPort("10.88.0.2:4000")
	out4 = netip.MustParseAddrPort("192.0.2.7:53")
	in6  = netip.MustParseAddrPort("[fd00:88::2]:4000")
	out6 = netip.MustParseAddrPort("[2001:db8:7::7]:53")
)

// datagram is a UDP packet.
func datagram(src, dst netip.AddrPort, data []byte) []byte {
	const at = headerSize + udpSize
	buf := make([]byte, at+len(data))
	copy(buf[at:], data)
	return wrapUDP(buf, at, len(buf), src, dst, 7)
}

// slowSum is RFC 1071's own words.
func slowSum(b []byte) uint16 {
	acc := uint32(0)
	for i := 0; i+1 < len(b); i += 2 {
		acc += uint32(b[i])<<8 | uint32(b[i+1])
	}
	if len(b)%2 == 1 {
		acc += uint32(b[len(b)-1]) << 8
	}
	for acc > 0xffff {
		acc = acc>>16 + acc&0xffff
	}
	return uint16(acc)
}

func TestSum(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for size := range 200 {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		if got, want := fold(sum(b, 0)), slowSum(b); got != want && (got != 0 && got != 0xffff || want != 0 && want != 0xffff) {
			t.Fatalf("sum of %x is %x, want %x", b, got, want)
		}
		all := bytes.Repeat([]byte{0xff}, size)
		if got, want := fold(sum(all, 0)), slowSum(all); got != want {
			t.Fatalf("sum of %d times 0xff is %x, want %x", size, got, want)
		}
	}
}

func TestChecksumsVerify(t *testing.T) {
	for _, ends := range [][2]netip.AddrPort{{in4, out4}, {in6, out6}} {
		src, dst := ends[0], ends[1]
		for _, size := range []int{0, 1, 33, 1400, 65000} {
			p, ok := parse(datagram(src, dst, bytes.Repeat([]byte{0xa5}, size)))
			if !ok || p.src != src.Addr() || p.dst != dst.Addr() || p.protocol != unix.IPPROTO_UDP {
				t.Fatalf("%v: parsed %v %+v", src, ok, p)
			}
			if c := checksum(p.payload, unix.IPPROTO_UDP, p.src, p.dst); c != 0 && c != 0xffff {
				t.Errorf("%v, %d bytes: UDP checksum is off by %x", src, size, c)
			}
			if p.src.Is4() && ^fold(sum(p.raw[:headerSize4], 0)) != 0 {
				t.Errorf("IPv4 header's checksum is wrong")
			}
			from, to, data, ok := parseUDP(p.payload)
			if !ok || from != src.Port() || to != dst.Port() || len(data) != size {
				t.Errorf("parseUDP says %d %d %d %v", from, to, len(data), ok)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good4, good6 := datagram(in4, out4, []byte("x")), datagram(in6, out6, []byte("x"))
	change := func(b []byte, at int, v byte) []byte {
		b = bytes.Clone(b)
		b[at] = v
		return b
	}
	hops := func(next byte, b ...byte) []byte {
		h := bytes.Clone(good6[:headerSize6])
		h[6] = next
		binary.BigEndian.PutUint16(h[4:], uint16(len(b)))
		return append(h, b...)
	}
	for name, b := range map[string][]byte{
		"nothing":                   nil,
		"version 5":                 change(good4, 0, 0x55),
		"short header":              change(good4, 0, 0x44),
		"header beyond the end":     change(good4, 0, 0x4f),
		"longer than it is":         change(good4, 3, 200),
		"shorter than its header":   change(good4, 3, 19),
		"truncated":                 good4[:19],
		"IPv6 truncated":            good6[:39],
		"IPv6 longer than it is":    change(good6, 5, 200),
		"IPv6 header beyond end":    hops(unix.IPPROTO_HOPOPTS, 17, 9, 0, 0, 0, 0, 0, 0),
		"IPv6 header cut":           hops(unix.IPPROTO_DSTOPTS, 17),
		"IPv6 fragment cut":         hops(unix.IPPROTO_FRAGMENT, 17, 0, 0),
		"IPv6 source route":         hops(unix.IPPROTO_ROUTING, 17, 0, 0, 0, 0, 0, 0, 0),
		"IPv6 fragment of fragment": hops(unix.IPPROTO_FRAGMENT, 44, 0, 0, 1, 0, 0, 0, 1, 44, 0, 0, 1, 0, 0, 0, 1),
	} {
		if p, ok := parse(b); ok {
			t.Errorf("%s: parsed as %+v", name, p)
		}
	}
	padded := append(bytes.Clone(good4), 0, 0, 0)
	if p, ok := parse(padded); !ok || len(p.raw) != len(good4) {
		t.Errorf("padding was not cut off")
	}
	options := append(append(change(good4, 0, 0x46)[:headerSize4], 1, 1, 1, 1), good4[headerSize4:]...)
	options[3] += 4
	if p, ok := parse(options); !ok || !bytes.Equal(p.payload, good4[headerSize4:]) {
		t.Errorf("options were not stepped over: %v %x", ok, p.payload)
	}
}

func TestForbidden(t *testing.T) {
	for _, a := range []string{
		"127.0.0.1", "127.255.1.2", "0.0.0.0", "0.1.2.3", "255.255.255.255", "224.0.0.251", "::", "::1", "ff02::1",
		"::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "::ffff:0.0.0.0", "::7f00:1",
	} {
		if !forbidden(netip.MustParseAddr(a)) {
			t.Errorf("%s is allowed", a)
		}
	}
	for _, a := range []string{"8.8.8.8", "169.254.169.254", "10.0.0.1", "2001:db8::1", "fd00::1", "1.0.0.0", "128.0.0.1"} {
		if forbidden(netip.MustParseAddr(a)) {
			t.Errorf("%s is forbidden", a)
		}
	}
}

func TestReset(t *testing.T) {
	syn := segment{src: 4000, dst: 53, seq: 100, flags: flagSYN}
	p, _ := parse(reset(tuple{in4, out4}, syn))
	got, ok := parseTCP(p.payload)
	if want := (segment{src: 53, dst: 4000, ack: 101, flags: flagRST | flagACK}); !ok || got != want {
		t.Errorf("answer to a SYN is %+v, want %+v", got, want)
	}
	p, _ = parse(reset(tuple{in6, out6}, segment{src: 4000, dst: 53, seq: 100, ack: 77, flags: flagACK, data: 9}))
	got, ok = parseTCP(p.payload)
	if want := (segment{src: 53, dst: 4000, seq: 77, flags: flagRST}); !ok || got != want {
		t.Errorf("answer to data is %+v, want %+v", got, want)
	}
	if c := checksum(p.payload, unix.IPPROTO_TCP, p.src, p.dst); c != 0 {
		t.Errorf("checksum is off by %x", c)
	}
}

func TestQuoted(t *testing.T) {
	for _, ends := range [][2]netip.AddrPort{{out4, in4}, {out6, in6}} {
		b := datagram(ends[0], ends[1], make([]byte, 3000))
		src, dst, ok := quotedUDP(b[:len(b)-2900])
		if !ok || src != ends[0] || dst != ends[1] {
			t.Errorf("read %v %v %v, want %v", src, dst, ok, ends)
		}
	}
	b := datagram(out6, in6, make([]byte, 3000))
	if src, _, ok := quotedUDP(cut6(b, 1280, 5)[0]); !ok || src != out6 {
		t.Errorf("of a first piece: %v %v", src, ok)
	}
	if _, _, ok := quotedUDP(cut6(b, 1280, 5)[1]); ok {
		t.Errorf("the middle of a datagram was taken for its head")
	}
}

func TestPieces(t *testing.T) {
	data := make([]byte, 5000)
	for i := range data {
		data[i] = byte(i * 7)
	}
	whole := datagram(in6, out6, data)
	cut := cut6(whole, 1300, 9)
	now := time.Now()
	add := func(s *pieces, b []byte) (packet, bool) {
		p, ok := parse(b)
		if !ok {
			t.Fatalf("cannot parse %x", b)
		}
		return s.add(p, now)
	}
	s := newPieces()
	for i := range cut {
		p, ok := add(s, cut[(i+2)%len(cut)])
		if last := i == len(cut)-1; ok != last {
			t.Fatalf("piece %d of %d: complete is %v", i, len(cut), ok)
		} else if last && !bytes.Equal(p.raw[headerSize6:], whole[headerSize6:]) {
			t.Fatal("the datagram has changed")
		}
	}
	if s.sweep(now) {
		t.Error("something is left")
	}

	add(s, cut[0])
	add(s, cut[0]) // overlaps, so both are gone
	if s.sweep(now) {
		t.Error("an overlap was kept")
	}
	add(s, cut[0])
	if !s.sweep(now) || s.sweep(now.Add(pieceTime+time.Second)) {
		t.Error("a piece is not kept as long as it should be")
	}
	for i := range uint32(10 * maxPartial) {
		binary.BigEndian.PutUint32(cut[0][headerSize6+4:], i)
		add(s, cut[0])
	}
	if n := s.partial.size(); n > s.partial.share {
		t.Errorf("one source has %d incomplete datagrams", n)
	}
}

func TestCrowd(t *testing.T) {
	c := newCrowd[string](8) // of which one source has 2
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	places := map[string]place{}
	add := func(name string, source netip.Addr) (gone string) {
		for v, full := c.room(source); full; v, full = c.room(source) {
			c.remove(places[v])
			gone += v
		}
		places[name] = c.add(name, source)
		return gone
	}
	add("b1", b)
	add("a1", a)
	add("a2", a)
	if gone := add("a3", a); gone != "a1" {
		t.Errorf("%q went, want a1", gone)
	}
	c.touch(places["a2"])
	if gone := add("a4", a); gone != "a3" {
		t.Errorf("%q went, want a3", gone)
	}
	for i := range 5 {
		add(string(rune('c'+i)), netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}))
	}
	if gone := add("z", netip.MustParseAddr("10.2.0.0")); gone != "b1" {
		t.Errorf("%q went, want the oldest of all", gone)
	}
	if c.size() != 8 {
		t.Errorf("%d members", c.size())
	}
}

// FuzzParse tries what a container may send on everything that looks at packets.
func FuzzParse(f *testing.F) {
	f.Add(datagram(in4, out4, []byte("hello")))
	f.Add(datagram(in6, out6, []byte("hello")))
	f.Add(reset(tuple{in6, out6}, segment{flags: flagSYN}))
	for _, piece := range cut6(datagram(in6, out6, make([]byte, 2500)), 1280, 3) {
		f.Add(piece)
	}
	f.Add(unreachable(datagram(out4, in4, []byte("hello")), in4.Addr(), out4.Addr(), refused))
	f.Fuzz(func(t *testing.T, b []byte) {
		quotedUDP(b)
		complaint(b)
		p, ok := parse(b)
		if !ok {
			return
		}
		if len(p.raw) > len(b) || len(p.payload) > len(p.raw) || p.src.Is4() != p.dst.Is4() {
			t.Fatalf("impossible: %+v", p)
		}
		if !p.fragment.whole() {
			if p, ok = newPieces().add(p, time.Now()); !ok {
				return
			}
		}
		parseUDP(p.payload)
		if seg, ok := parseTCP(p.payload); ok {
			reset(tuple{netip.AddrPortFrom(p.src, seg.src), netip.AddrPortFrom(p.dst, seg.dst)}, seg)
		}
		unreachable(p.raw, p.src, p.dst, noHost)
	})
}
