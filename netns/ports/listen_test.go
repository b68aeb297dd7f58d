package ports

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/libpod/config"
)

// describe writes mappings as ADDRESS:PORT->PORT/PROTOCOL.
func describe(all []config.PortMapping) string {
	var words []string
	for _, m := range all {
		words = append(words, fmt.Sprintf("%s->%d/%s", net.JoinHostPort(m.HostIP, strconv.Itoa(int(m.HostPort))), m.Port, m.Protocol))
	}
	return strings.Join(words, " ")
}

func testForms(w *stage) {
	for _, one := range []struct {
		want []config.PortMapping
		got  string
	}{
		{nil, ""},
		{[]config.PortMapping{tcp(8080, 80)}, "0.0.0.0:8080->80/tcp [::]:8080->80/tcp"},
		{[]config.PortMapping{tcp(8080, 80), udp(8080, 80)}, "0.0.0.0:8080->80/tcp [::]:8080->80/tcp 0.0.0.0:8080->80/udp [::]:8080->80/udp"},
		{[]config.PortMapping{{HostIP: "0.0.0.0", HostPort: 8080, Port: 80, Protocol: "tcp"}}, "0.0.0.0:8080->80/tcp"},
		{[]config.PortMapping{{HostIP: "::", HostPort: 8080, Port: 80, Protocol: "udp"}}, "[::]:8080->80/udp"},
		{[]config.PortMapping{{HostIP: host6, HostPort: 8080, Port: 80, Protocol: "tcp"}}, "[" + host6 + "]:8080->80/tcp"},
		{[]config.PortMapping{{HostPort: 8000, HostLast: 8002, Port: 80, Protocol: "tcp"}, tcp(8000, 81), {HostPort: 8000, HostLast: 8002, Port: 82, Protocol: "tcp"}},
			"0.0.0.0:8001->80/tcp [::]:8001->80/tcp 0.0.0.0:8000->81/tcp [::]:8000->81/tcp 0.0.0.0:8002->82/tcp [::]:8002->82/tcp"},
	} {
		l, err := Listen(one.want, nil)
		if err != nil {
			w.t.Errorf("%v: %v", one.want, err)
			continue
		}
		if got := describe(l.Bound()); got != one.got {
			w.t.Errorf("%v: %s, want %s", one.want, got, one.got)
		}
		l.Close()
	}
	w.shell(w.host, "sysctl -qw net.ipv4.ip_local_port_range='40000 40009'")
	l, err := Listen([]config.PortMapping{tcp(0, 80), udp(0, 80), tcp(0, 81)}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	b := l.Bound()
	if len(b) != 6 || b[0].HostPort != b[1].HostPort || b[2].HostPort != b[3].HostPort || b[0].HostPort == b[4].HostPort || b[0].HostPort < 40000 || b[0].HostPort > 40009 {
		w.t.Errorf("free ports: %s", describe(b))
	}
	defer l.Close()
	var many []config.PortMapping
	for range 11 {
		many = append(many, tcp(0, 80))
	}
	wantError(w.t, many, nil, "failed to bind a free host port of 0.0.0.0/tcp: address already in use: all of net.ipv4.ip_local_port_range are taken")
	w.shell(w.host, "sysctl -qw net.ipv4.ip_local_port_range='32768 60999'")
}

func wantError(t *testing.T, want []config.PortMapping, owner func(config.PortMapping) string, text string) {
	t.Helper()
	l, err := Listen(want, owner)
	if err == nil {
		l.Close()
		t.Errorf("%v is bound, want error %s", want, text)
	} else if err.Error() != text && !strings.HasPrefix(err.Error(), strings.TrimSuffix(text, "*")) {
		t.Errorf("%v:\n\t%v, want\n\t%s", want, err, text)
	}
}

func testConflicts(w *stage) {
	at := func(ip string, port uint16) config.PortMapping {
		return config.PortMapping{HostIP: ip, HostPort: port, Port: 80, Protocol: "tcp"}
	}
	first, err := Listen([]config.PortMapping{tcp(8080, 80), at("127.0.0.1", 8090), udp(8070, 80)}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer first.Close()
	owner := func(m config.PortMapping) string {
		for _, b := range first.Bound() {
			if Conflict(b, m) {
				return "web"
			}
		}
		return ""
	}
	// 8085 is taken and given back with each of these
	with := func(m config.PortMapping) []config.PortMapping { return []config.PortMapping{tcp(8085, 80), m} }
	allocated := " failed: port is already allocated by container web"
	wantError(w.t, with(tcp(8080, 80)), owner, "Bind for 0.0.0.0:8080"+allocated)
	wantError(w.t, with(at("127.0.0.1", 8080)), owner, "Bind for 127.0.0.1:8080"+allocated)
	wantError(w.t, with(at("::", 8080)), owner, "Bind for [::]:8080"+allocated)
	wantError(w.t, with(tcp(8090, 80)), owner, "Bind for 0.0.0.0:8090"+allocated)
	wantError(w.t, with(udp(8070, 80)), owner, "Bind for 0.0.0.0:8070"+allocated)
	wantError(w.t, with(config.PortMapping{HostPort: 8080, HostLast: 8080, Port: 80, Protocol: "tcp"}), owner, "Bind for 0.0.0.0:8080"+allocated)
	wantError(w.t, with(tcp(8085, 81)), owner, "Bind for 0.0.0.0:8085 failed: port is already allocated by another --publish of this container")
	wantError(w.t, with(at("127.0.0.1", 8085)), owner, "Bind for 127.0.0.1:8085 failed: port is already allocated by another --publish of this container")
	wantError(w.t, with(at("203.0.113.77", 80)), owner, "failed to bind host port 203.0.113.77:80/tcp: cannot assign requested address: no interface of this host has the address 203.0.113.77")
	wantError(w.t, with(tcp(8080, 80)), nil, "failed to bind host port 0.0.0.0:8080/tcp: address already in use: it is ")

	w.listen(w.host, "[::1]:8060", func(c *net.TCPConn) { c.Close() })
	other := w.packets(w.host, host4+":8060")
	defer other.Close()
	// the name and pid of this test
	wantError(w.t, with(tcp(8060, 80)), owner, "failed to bind host port [::]:8060/tcp: address already in use: it is ")
	wantError(w.t, with(udp(8060, 80)), owner, "failed to bind host port 0.0.0.0:8060/udp: address already in use: it is ")
	wantError(w.t, with(config.PortMapping{HostPort: 8060, HostLast: 8060, Port: 80, Protocol: "tcp"}), owner, "failed to bind host port [::]:8060/tcp: ")
	wantError(w.t, with(config.PortMapping{HostPort: 8060, HostLast: 8061, Port: 80, Protocol: "sctp"}), owner, "port 80/sctp cannot be published")
	l, err := Listen([]config.PortMapping{tcp(8060, 80)}, nil)
	if err == nil {
		l.Close()
		w.t.Error("8060 is bound")
	} else if !errors.Is(err, unix.EADDRINUSE) {
		w.t.Errorf("%v is not EADDRINUSE", err)
	}
	l, err = Listen([]config.PortMapping{tcp(8085, 80)}, nil)
	if err != nil {
		w.t.Errorf("8085 was not given back: %v", err)
	} else {
		l.Close()
	}
}

// A port that is root's, for a thread without the capability to bind it.
func testPrivileged(w *stage) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends without its capability
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		err := unix.Capget(&header, &data[0])
		if err == nil {
			data[0].Effective &^= 1 << unix.CAP_NET_BIND_SERVICE
			err = unix.Capset(&header, &data[0])
		}
		if err != nil {
			w.t.Errorf("dropping the capability: %v", err)
			return
		}
		wantError(w.t, []config.PortMapping{tcp(8080, 80), tcp(80, 80)}, nil,
			"cannot publish privileged port 80: ports below 1024 are root's on this host; run as root: sysctl net.ipv4.ip_unprivileged_port_start=80")
		wantError(w.t, []config.PortMapping{udp(53, 53)}, nil,
			"cannot publish privileged port 53: ports below 1024 are root's on this host; run as root: sysctl net.ipv4.ip_unprivileged_port_start=53")
	}()
	<-done
}

func TestConflict(t *testing.T) {
	for _, one := range []struct {
		a, b string
		want bool
	}{
		{"", "127.0.0.1", true}, {"0.0.0.0", "127.0.0.1", true}, {"::", "127.0.0.1", false}, {"::", "::1", true},
		{"127.0.0.1", "127.0.0.2", false}, {"127.0.0.1", "127.0.0.1", true}, {"", "", true}, {"0.0.0.0", "::", false},
	} {
		a, b := tcp(80, 80), tcp(80, 81)
		a.HostIP, b.HostIP = one.a, one.b
		if Conflict(a, b) != one.want || Conflict(b, a) != one.want {
			t.Errorf("%q and %q: %v", one.a, one.b, !one.want)
		}
	}
	if Conflict(tcp(80, 80), udp(80, 80)) || Conflict(tcp(80, 80), tcp(81, 80)) || Conflict(tcp(0, 80), tcp(0, 80)) {
		t.Error("different ports conflict")
	}
}
