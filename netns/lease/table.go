package lease

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"ctr/pkg/process"
)

// header is the first line of a file; the number is that of the format.
const header = "ctr leases 1"

// Fields of a line, separated by tabs. A field that is not there is a dash; names
// are separated by spaces, and what would be mistaken for a separator is written as
// in a URL.
const (
	fieldContainer = iota
	fieldIPv4
	fieldIPv6
	fieldMAC
	fieldEndpoint
	fieldPid
	fieldStart
	fieldHubFD
	fieldNames
	fields
)

func encode(leases []Lease) []byte {
	var b bytes.Buffer
	b.Grow(64 + 256*len(leases))
	b.WriteString(header + "\n")
	for i := range leases {
		l := &leases[i]
		for _, s := range []string{l.Container, address(l.IPv4), address(l.IPv6), l.MAC, l.Endpoint} {
			if s == "" {
				s = "-"
			}
			b.WriteString(s)
			b.WriteByte('\t')
		}
		b.Write(strconv.AppendInt(b.AvailableBuffer(), int64(l.Holder.Pid), 10))
		b.WriteByte('\t')
		b.Write(strconv.AppendUint(b.AvailableBuffer(), l.Holder.Start, 10))
		b.WriteByte('\t')
		b.Write(strconv.AppendInt(b.AvailableBuffer(), int64(l.HubFD), 10))
		b.WriteByte('\t')
		for j, name := range l.Names {
			if j > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(escape(name))
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func address(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func decode(text []byte) ([]Lease, error) {
	first, rest, _ := strings.Cut(string(text), "\n")
	if first != header {
		return nil, fmt.Errorf("line 1: it is not %q", header)
	}
	leases := make([]Lease, 0, strings.Count(rest, "\n"))
	for number := 2; rest != ""; number++ {
		line, after, ended := strings.Cut(rest, "\n")
		if !ended {
			return nil, fmt.Errorf("line %d: it is cut off", number)
		}
		l, err := decodeLine(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		leases = append(leases, l)
		rest = after
	}
	return leases, nil
}

func decodeLine(line string) (l Lease, err error) {
	var f [fields]string
	for i := range f {
		var more bool
		f[i], line, more = strings.Cut(line, "\t")
		if more != (i < fields-1) {
			return Lease{}, fmt.Errorf("it has not %d fields", fields)
		}
		if f[i] == "-" {
			f[i] = ""
		}
	}
	var failed [5]error
	l = Lease{Container: f[fieldContainer], MAC: f[fieldMAC], Endpoint: f[fieldEndpoint]}
	l.IPv4, failed[0] = parseAddress(f[fieldIPv4])
	l.IPv6, failed[1] = parseAddress(f[fieldIPv6])
	var p process.Process
	p.Pid, failed[2] = strconv.Atoi(f[fieldPid])
	p.Start, failed[3] = strconv.ParseUint(f[fieldStart], 10, 64)
	l.Holder = p
	l.HubFD, failed[4] = strconv.Atoi(f[fieldHubFD])
	if err := errors.Join(failed[:]...); err != nil {
		return Lease{}, err
	}
	if l.Container == "" {
		return Lease{}, errors.New("it names no container")
	}
	if f[fieldNames] != "" {
		l.Names = strings.Split(f[fieldNames], " ")
		for i, name := range l.Names {
			l.Names[i] = unescape(name)
		}
	}
	return l, nil
}

func parseAddress(s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	return netip.ParseAddr(s)
}

// special is what cannot stand in a name as it is. A name that is just a dash, or
// empty, would be taken for none.
func special(c byte) bool { return c <= ' ' || c == '%' || c == 0x7f }

func escape(name string) string {
	const digits = "0123456789abcdef"
	switch name {
	case "":
		return "%"
	case "-":
		return "%2d"
	}
	plain := true
	for i := range len(name) {
		plain = plain && !special(name[i])
	}
	if plain {
		return name
	}
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; special(c) {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// unescape leaves alone what escape would not have written.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	if s == "%" {
		return ""
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
