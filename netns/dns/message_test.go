package dns

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

func TestMalformedQueries(t *testing.T) {
	header := question("x.", typeA)[:headerSize]
	with := func(at int, value byte) []byte {
		q := question("www.example.org.", typeA)
		q[at] = value
		return q
	}
	for name, c := range map[string]struct {
		query []byte
		want  string // "" is no reply
	}{
		"empty":                {nil, ""},
		"half a header":        {header[:11], ""},
		"an answer":            {with(2, 0x81), ""},
		"header alone":         {header, "FormatError"},
		"an update":            {with(2, 5<<3), "NotImplemented"},
		"no question":          {with(5, 0), "FormatError"},
		"two questions":        {with(5, 2), "FormatError"},
		"with answers":         {with(7, 1), "FormatError"},
		"with authorities":     {with(9, 1), "FormatError"},
		"additional, missing":  {with(11, 1), "FormatError"},
		"a reference":          {append(bytes.Clone(header), 0xc0, 12, 0, 1, 0, 1), "FormatError"},
		"a label too long":     {append(append(bytes.Clone(header), 64), make([]byte, 80)...), "FormatError"},
		"a name too long":      {append(append(bytes.Clone(header), bytes.Repeat([]byte("\x01a"), 128)...), 0, 0, 1, 0, 1), "FormatError"},
		"no end":               {append(bytes.Clone(header), 3, 'w'), "FormatError"},
		"no type":              {append(bytes.Clone(header), 0, 0, 1, 0), "FormatError"},
		"options twice":        {append(with(11, 2), 0, 0, 41, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 41, 0, 0, 0, 0, 0, 0, 0, 0), "FormatError"},
		"options of a name":    {append(with(11, 1), 1, 'a', 0, 0, 41, 0, 0, 0, 0, 0, 0, 0, 0), "FormatError"},
		"options beyond":       {append(with(11, 1), 0, 0, 41, 0, 0, 0, 0, 0, 0, 0, 9), "FormatError"},
		"a zone":               {question("example.org.", typeAXFR), "Refused"},
		"the longest":          {append(append(bytes.Clone(header), bytes.Repeat([]byte("\x01a"), 127)...), 0, 0, 1, 0, 1), "forward"},
		"something additional": {append(with(11, 1), 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4), "forward"},
		"small with options":   {append(with(11, 1), 0, 0, 41, 0, 0, 0, 0, 0, 0, 0, 0), "forward"},
		"another class":        {append(bytes.Clone(header), 0, 0, 16, 0, 3), "forward"},
		"additional, a circle": {append(with(11, 1), 0xc0, 33, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0), "forward"},
	} {
		s, turn := &Server{}, &turn{}
		reply, forward := s.answer(turn, nil, c.query, false)
		got := ""
		if forward {
			got = "forward"
		} else if reply != nil {
			var m dnsmessage.Message
			if err := m.Unpack(reply); err != nil {
				t.Errorf("%s: %v in %x", name, err, reply)
			}
			got = records(m)
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
		if len(reply) > len(c.query)+optSize {
			t.Errorf("%s: %d bytes became %d", name, len(c.query), len(reply))
		}
	}
}

func TestReverse(t *testing.T) {
	for name, want := range map[string]string{
		"4.3.2.1.in-addr.arpa": "1.2.3.4", "3.2.1.in-addr.arpa": "", "256.0.0.1.in-addr.arpa": "", "x.3.2.1.in-addr.arpa": "", ".in-addr.arpa": "",
		"04.3.2.1.in-addr.arpa": "", "5.4.3.2.1.in-addr.arpa": "", "in-addr.arpa": "", "4.3.2.1.in-addr.arpa.org": "",
		"1." + strings.Repeat("0.", 30) + "f.ip6.arpa": "f000::1",
		"1." + strings.Repeat("0.", 29) + "f.ip6.arpa": "",
		"1." + strings.Repeat("0.", 30) + "g.ip6.arpa": "",
		"1." + strings.Repeat("00", 30) + "f.ip6.arpa": "",
		"10" + strings.Repeat("0.", 30) + "f.ip6.arpa": "",
		"a." + strings.Repeat("0.", 30) + "fxip6.arpa": "",
	} {
		got, ok := reverse([]byte(name))
		if ok != (want != "") || ok && got != netip.MustParseAddr(want) {
			t.Errorf("%s: got %v, want %q", name, got, want)
		}
	}
}

// FuzzQuery gives a server any message: it replies to its question in a message that others can
// read and that is no larger than it, or forwards, which is when other readers see a question too.
func FuzzQuery(f *testing.F) {
	f.Add(question("web.", typeA))
	f.Add(question("web.net1.", 255))
	f.Add(question("2.0.1.10.in-addr.arpa.", typePTR))
	f.Add(append(question("www.example.org.", typeAAAA), 0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0))
	f.Add([]byte{})
	dir := files{f.TempDir()}
	dir.write(f, "one", leased("10.1.0.2", "fd00::2", "web"))
	s := &Server{config: Config{Ndots: true, Names: FromLeases(dir, func() []Attached {
		return []Attached{{NetworkID: "one", Name: "net1", DNS: true}}
	})}}
	var turn turn
	f.Fuzz(func(t *testing.T, message []byte) {
		given := bytes.Clone(message)
		reply, forward := s.answer(&turn, s.networks(), message, false)
		if !bytes.Equal(given, message) {
			t.Fatal("the message was changed")
		}
		if forward {
			var p dnsmessage.Parser
			if _, err := p.Start(message); err != nil {
				t.Fatal(err)
			}
			if _, err := p.AllQuestions(); err != nil && !strings.Contains(err.Error(), "invalid dns name") {
				t.Fatal(err)
			}
			return
		}
		if reply == nil {
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(reply); err != nil && !strings.Contains(err.Error(), "invalid dns name") {
			t.Fatalf("%v in %x", err, reply)
		}
		if !bytes.Equal(reply[:2], message[:2]) || len(reply) > max(minDatagram, len(message)+optSize) {
			t.Fatalf("%x to %x", reply, message)
		}
	})
}

// FuzzUpstream takes any message for an answer.
func FuzzUpstream(f *testing.F) {
	q := parsed(question("www.example.org.", typeA))
	f.Add(resolved(q.raw, "10.1.0.1"))
	f.Add(q.raw)
	failure := q.reply(nil, serverFailure)
	f.Add(failure.finish()[:headerSize])
	f.Fuzz(func(t *testing.T, b []byte) {
		if !q.answers(b, 7) {
			return
		}
		if len(b) >= q.question {
			if small := truncated(bytes.Clone(b), q); len(small) != q.question {
				t.Fatal(fmt.Sprint(len(small)))
			}
		}
	})
}
