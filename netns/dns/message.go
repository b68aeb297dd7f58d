package dns

import (
	"bytes"
	"encoding/binary"
	"net/netip"
)

// The types, class and codes of RFC 1035, RFC 3596 and RFC 6891 that are treated here.
const (
	typeA    = 1
	typePTR  = 12
	typeAAAA = 28
	typeOPT  = 41
	typeIXFR = 251
	typeAXFR = 252
	classIN  = 1

	noError        = 0
	formatError    = 1
	serverFailure  = 2
	notImplemented = 4
	refused        = 5
)

const (
	headerSize  = 12
	maxName     = 255
	minDatagram = 512  // what every client takes
	maxDatagram = 4096 // what is sent or taken over UDP at most
	maxStream   = 1<<16 - 1
)

// lifetime is how long an answer about a container may be kept, in seconds. Docker
// says 600, but a cache in the container would outlive the container that was asked for.
const lifetime = 5

// Bits of the header's second word.
const (
	flagAnswer    = 1 << 15
	flagTruncated = 1 << 9
	flagRecurse   = 1 << 8
	flagRecursion = 1 << 7
	flagUnchecked = 1 << 4 // CD, RFC 4035
	opcodeMask    = 15 << 11
	codeMask      = 15
)

// query is a question as it came from a client. It points into the client's message.
type query struct {
	raw      []byte // the message
	question int    // where the question ends in raw
	kind     uint16
	class    uint16
	edns     bool // the client speaks RFC 6891
	datagram int  // largest answer that the client takes over UDP
	name     []byte
	lower    [maxName]byte // backs name: in lower case without the last dot
	odd      bool          // a label holds a dot: name says something else than was asked
}

// parse reads a client's message. The code is noError when it is a question that
// can be answered or forwarded; with ok false it is nothing to reply to at all.
func (q *query) parse(raw []byte) (code int, ok bool) {
	*q = query{raw: raw, question: headerSize, datagram: minDatagram}
	if len(raw) < headerSize {
		return 0, false
	}
	flags := binary.BigEndian.Uint16(raw[2:])
	if flags&flagAnswer != 0 {
		return 0, false
	}
	if flags&opcodeMask != 0 {
		return notImplemented, true
	}
	counts := binary.BigEndian.Uint64(raw[4:])
	if counts>>16 != 1<<32 { // one question, no answers, no authorities
		return formatError, true
	}
	if !q.parseQuestion() {
		q.question = headerSize
		return formatError, true
	}
	if !q.parseAdditional(int(uint16(counts))) {
		return formatError, true
	}
	if q.kind == typeAXFR || q.kind == typeIXFR { // their answers are many messages
		return refused, true
	}
	return noError, true
}

func (q *query) parseQuestion() bool {
	name := q.lower[:0]
	at := headerSize
	for {
		if at >= len(q.raw) {
			return false
		}
		n := int(q.raw[at])
		at++
		if n == 0 {
			break
		}
		// one more for the length and one for the end of the name
		if n > 63 || at+n > len(q.raw) || at-headerSize+n+1 > maxName {
			return false
		}
		if len(name) > 0 {
			name = append(name, '.')
		}
		for _, c := range q.raw[at : at+n] {
			q.odd = q.odd || c == '.'
			name = append(name, lowered(c))
		}
		at += n
	}
	if at+4 > len(q.raw) {
		return false
	}
	q.kind = binary.BigEndian.Uint16(q.raw[at:])
	q.class = binary.BigEndian.Uint16(q.raw[at+2:])
	q.name, q.question = name, at+4
	return true
}

// parseAdditional looks for the options of RFC 6891 among n further records.
func (q *query) parseAdditional(n int) bool {
	at := q.question
	for range n {
		start := at
		if at = skipName(q.raw, at); at < 0 || at+10 > len(q.raw) {
			return false
		}
		if binary.BigEndian.Uint16(q.raw[at:]) == typeOPT {
			if q.edns || q.raw[start] != 0 {
				return false
			}
			q.edns = true
			q.datagram = min(max(int(binary.BigEndian.Uint16(q.raw[at+2:])), minDatagram), maxDatagram)
		}
		at += 10 + int(binary.BigEndian.Uint16(q.raw[at+8:]))
		if at > len(q.raw) {
			return false
		}
	}
	return true
}

// skipName is where the name at a place of the message ends, -1 when it has no end.
func skipName(raw []byte, at int) int {
	for at >= 0 && at < len(raw) {
		switch n := int(raw[at]); {
		case n == 0:
			return at + 1
		case n >= 0xc0: // a reference, which is the end
			if at+2 > len(raw) {
				return -1
			}
			return at + 2
		case n > 63:
			return -1
		default:
			at += 1 + n
		}
	}
	return -1
}

func lowered(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// reply begins an answer to q in b: header and question. More may be put behind
// by an answer's methods; finish ends it.
func (q *query) reply(b []byte, code int) answer {
	flags := uint16(flagAnswer | flagRecursion | code)
	flags |= binary.BigEndian.Uint16(q.raw[2:]) & (opcodeMask | flagRecurse | flagUnchecked)
	b = append(b[:0], q.raw[:2]...)
	b = binary.BigEndian.AppendUint16(b, flags)
	questions := uint16(0)
	if q.question > headerSize {
		questions = 1
	}
	b = binary.BigEndian.AppendUint16(b, questions)
	b = append(b, 0, 0, 0, 0, 0, 0)
	return answer{b: append(b, q.raw[headerSize:q.question]...), edns: q.edns}
}

// answer is a message in the making.
type answer struct {
	b     []byte
	edns  bool
	count uint16
}

const optSize = 11

// add puts a record of the asked name behind; false when it does not fit into limit bytes.
func (a *answer) add(kind uint16, data []byte, limit int) bool {
	if a.edns {
		limit -= optSize
	}
	if len(a.b)+12+len(data) > limit {
		flags := binary.BigEndian.Uint16(a.b[2:])
		binary.BigEndian.PutUint16(a.b[2:], flags|flagTruncated)
		return false
	}
	a.b = append(a.b, 0xc0, headerSize) // the name is that of the question
	a.b = binary.BigEndian.AppendUint16(a.b, kind)
	a.b = binary.BigEndian.AppendUint16(a.b, classIN)
	a.b = binary.BigEndian.AppendUint32(a.b, lifetime)
	a.b = binary.BigEndian.AppendUint16(a.b, uint16(len(data)))
	a.b = append(a.b, data...)
	a.count++
	return true
}

func (a *answer) addAddress(address netip.Addr, limit int) bool {
	if address.Is4() {
		data := address.As4()
		return a.add(typeA, data[:], limit)
	}
	data := address.As16()
	return a.add(typeAAAA, data[:], limit)
}

// addPointer adds the name that an address has, given with dots.
func (a *answer) addPointer(name string, limit int) bool {
	data := make([]byte, 0, maxName)
	start := 0
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '.' {
			continue
		}
		if n := i - start; n == 0 || n > 63 || len(data)+n+2 > maxName {
			return true // no name that could be written in an answer: there is none
		}
		data = append(data, byte(i-start))
		data = append(data, name[start:i]...)
		start = i + 1
	}
	return a.add(typePTR, append(data, 0), limit)
}

func (a *answer) finish() []byte {
	binary.BigEndian.PutUint16(a.b[6:], a.count)
	if a.edns {
		binary.BigEndian.PutUint16(a.b[10:], 1)
		a.b = append(a.b, 0, 0, typeOPT, maxDatagram>>8, maxDatagram&0xff, 0, 0, 0, 0, 0, 0)
	}
	return a.b
}

// reverse is the address that a name below in-addr.arpa or ip6.arpa stands for
// (RFC 1035 3.5, RFC 3596 2.5).
func reverse(name []byte) (netip.Addr, bool) {
	const four, six = ".in-addr.arpa", ".ip6.arpa"
	if n := len(name) - len(four); n > 0 && string(name[n:]) == four {
		return reverse4(name[:n])
	}
	n := len(name) - len(six)
	if n != 63 || string(name[n:]) != six {
		return netip.Addr{}, false
	}
	var a [16]byte
	for i := range 32 {
		digit := fromHex(name[2*i])
		if digit < 0 || i < 31 && name[2*i+1] != '.' {
			return netip.Addr{}, false
		}
		a[15-i/2] |= byte(digit) << (4 * (i % 2))
	}
	return netip.AddrFrom16(a), true
}

func reverse4(name []byte) (netip.Addr, bool) {
	a, err := netip.ParseAddr(string(name))
	if err != nil || !a.Is4() {
		return netip.Addr{}, false
	}
	b := a.As4()
	return netip.AddrFrom4([4]byte{b[3], b[2], b[1], b[0]}), true
}

func fromHex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

// answers says whether the message b from a name server answers the question that
// was sent as id.
func (q *query) answers(b []byte, id uint16) bool {
	if len(b) < headerSize || binary.BigEndian.Uint16(b) != id {
		return false
	}
	flags := binary.BigEndian.Uint16(b[2:])
	if flags&flagAnswer == 0 || flags&opcodeMask != 0 {
		return false
	}
	if binary.BigEndian.Uint16(b[4:]) == 0 { // some do not repeat what they refuse
		return flags&codeMask != noError
	}
	if len(b) < q.question || binary.BigEndian.Uint16(b[4:]) != 1 {
		return false
	}
	for i := headerSize; i < q.question; i++ {
		if lowered(b[i]) != lowered(q.raw[i]) {
			return false
		}
	}
	return true
}

// clone is a query that outlives the client's message. It is good for forwarding
// and for a reply that fails.
func (q *query) clone() *query {
	return &query{raw: append([]byte(nil), q.raw...), question: q.question, edns: q.edns}
}

// single says whether the name has but one label.
func (q *query) single() bool {
	return len(q.name) > 0 && bytes.IndexByte(q.name, '.') < 0
}

// truncated makes of a reply that was too large one that says so.
func truncated(b []byte, q *query) []byte {
	b = b[:q.question]
	flags := binary.BigEndian.Uint16(b[2:])
	binary.BigEndian.PutUint16(b[2:], flags|flagTruncated)
	clear(b[6:headerSize])
	return b
}
