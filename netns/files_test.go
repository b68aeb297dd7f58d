package netns

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ctr/libpod/config"
)

var testPlace = &Place{
	Address: netip.MustParseAddr("10.0.2.100"),
	DNS:     []netip.Addr{netip.MustParseAddr("10.0.2.3")}, HostGateway: netip.MustParseAddr("203.0.113.1"),
}

func TestResolvConf(t *testing.T) {
	const twoServers = "# made by hand\ndomain old.example\nsearch a.example b.example\nnameserver 192.0.2.1\nnameserver 2001:db8::1\noptions ndots:2 rotate\n"
	withIPv6 := *testPlace
	withIPv6.Address6 = netip.MustParseAddr("fd63:7472::100")
	for name, c := range map[string]struct {
		host  string
		dns   config.DNS
		place *Place
		want  string
	}{
		"no IPv6":           {twoServers, config.DNS{}, testPlace, "nameserver 192.0.2.1\nsearch a.example b.example\noptions ndots:2 rotate\n"},
		"IPv6":              {twoServers, config.DNS{}, &withIPv6, "nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch a.example b.example\noptions ndots:2 rotate\n"},
		"systemd-resolved":  {"nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n", config.DNS{}, testPlace, "nameserver 10.0.2.3\nsearch lan\noptions edns0 trust-ad\n"},
		"loopback and more": {"nameserver ::1\nnameserver 127.0.0.1\nnameserver 192.0.2.1\n", config.DNS{}, testPlace, "nameserver 192.0.2.1\n"},
		"link-local":        {"nameserver fe80::1%eth0\n", config.DNS{}, &withIPv6, "nameserver 10.0.2.3\n"},
		"mapped loopback":   {"nameserver ::ffff:127.0.0.1\n", config.DNS{}, &withIPv6, "nameserver 10.0.2.3\n"},
		"empty":             {"", config.DNS{}, testPlace, "nameserver 10.0.2.3\n"},
		"servers":           {twoServers, config.DNS{Servers: []string{"127.0.0.9", "::9"}}, testPlace, "nameserver 127.0.0.9\nnameserver ::9\nsearch a.example b.example\noptions ndots:2 rotate\n"},
		"search":            {twoServers, config.DNS{Search: []string{"c.example"}}, testPlace, "nameserver 192.0.2.1\nsearch c.example\noptions ndots:2 rotate\n"},
		"no search":         {twoServers, config.DNS{Search: []string{"."}, Options: []string{"ndots:5"}}, testPlace, "nameserver 192.0.2.1\noptions ndots:5\n"},
		"as it is":          {twoServers, config.DNS{}, nil, twoServers},
		"host with options": {"nameserver 127.0.0.53\n", config.DNS{Options: []string{"ndots:5"}}, nil, "nameserver 127.0.0.53\noptions ndots:5\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ResolvConf([]byte(c.host), c.dns, c.place)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
	for _, bad := range []config.DNS{
		{Servers: []string{"dns.example"}}, {Servers: []string{"192.0.2.1\nnameserver 192.0.2.2"}},
		{Search: []string{"a\nnameserver 192.0.2.2"}}, {Options: []string{"a b"}}, {Search: []string{""}},
	} {
		if got, err := ResolvConf(nil, bad, testPlace); err == nil {
			t.Errorf("%v was accepted: %q", bad, got)
		}
	}
}

func TestHosts(t *testing.T) {
	const host = "203.0.113.1 host.containers.internal host.docker.internal\n"
	unreachable := *testPlace
	unreachable.HostGateway = netip.Addr{}
	for name, c := range map[string]struct {
		in   HostsInput
		want string // after the standard lines
	}{
		"name":       {HostsInput{Hostname: "web", Place: testPlace}, host + "10.0.2.100 web\n"},
		"domain":     {HostsInput{Hostname: "web", Domain: "lan.example", Place: testPlace}, host + "10.0.2.100 web.lan.example web\n"},
		"full name":  {HostsInput{Hostname: "web.lan.example", Place: testPlace}, host + "10.0.2.100 web.lan.example web\n"},
		"no network": {HostsInput{Hostname: "web"}, "127.0.0.1 web\n"},
		"no host":    {HostsInput{Hostname: "web", Place: &unreachable}, "10.0.2.100 web\n"},
		"extra": {HostsInput{Hostname: "web", Place: testPlace, Extra: []string{"db:192.0.2.9", "six:2001:db8::9", "seven=[2001:db8::7]", "up:host-gateway"}},
			host + "192.0.2.9 db\n2001:db8::9 six\n2001:db8::7 seven\n203.0.113.1 up\n10.0.2.100 web\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Hosts(c.in)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != standardHosts+c.want {
				t.Errorf("got\n%swant\n%s", got, standardHosts+c.want)
			}
		})
	}
	for _, bad := range []string{"", "db", ":192.0.2.9", "db:", "db:elsewhere", "db:192.0.2.9\n1.2.3.4 evil", "a b:192.0.2.9"} {
		if got, err := Hosts(HostsInput{Place: testPlace, Extra: []string{bad}}); err == nil {
			t.Errorf("%q was accepted: %q", bad, got)
		}
	}
	if _, err := Hosts(HostsInput{Place: &unreachable, Extra: []string{"up:host-gateway"}}); err == nil {
		t.Error("host-gateway was accepted without a host")
	}
}

func TestHostsOfTheHostNetwork(t *testing.T) {
	host, err := os.ReadFile("/etc/hosts")
	if err != nil {
		t.Skip(err)
	}
	got, err := Hosts(HostsInput{Hostname: "web", HostNetwork: true, Extra: []string{"db:192.0.2.9"}})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.TrimSuffix(string(host), "\n") + "\n127.0.0.1 " + HostNames + "\n192.0.2.9 db\n"
	if string(got) != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// TestNew checks that no thread stays behind in a new namespace, the main one least of all.
func TestNew(t *testing.T) {
	own := namespaces(t)
	for range 50 {
		ns, err := New()
		if errors.Is(err, syscall.EPERM) {
			t.Skip("needs to be root, or root in a user namespace")
		}
		if err != nil {
			t.Fatal(err)
		}
		var up string
		if err := Do(ns, func() error {
			flags, err := os.ReadFile("/proc/thread-self/net/dev")
			up = string(flags)
			return err
		}); err != nil || !strings.Contains(up, "lo:") || strings.Contains(up, "eth0:") {
			t.Errorf("%v: %s", err, up)
		}
		ns.Close()
	}
	for got := namespaces(t); len(got) > 1 || got[0] != own[0]; got = namespaces(t) {
		time.Sleep(time.Millisecond) // the last threads may still be ending; go test's limit ends this
	}
}

// namespaces lists the network namespaces of this process's threads, without repetition.
func namespaces(t *testing.T) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, l := range links {
		if ns, err := os.Readlink(l); err == nil {
			found = append(found, ns)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}
