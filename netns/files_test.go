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

const standard = "127.0.0.1\tlocalhost\n" +
	"::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"

func addresses(texts ...string) (found []netip.Addr) {
	for _, t := range texts {
		found = append(found, netip.MustParseAddr(t))
	}
	return found
}

func TestResolvConf(t *testing.T) {
	const twoServers = "# made by hand\ndomain old.example\nsearch a.example b.example\nnameserver 192.0.2.1\nnameserver 2001:db8::1\noptions ndots:2 rotate\n"
	forwarders := addresses("10.0.2.3")
	embedded := netip.MustParseAddr("127.0.0.11")
	for name, c := range map[string]struct {
		host string
		in   ResolvInput
		want string
	}{
		"no IPv6":           {twoServers, ResolvInput{Forwarders: forwarders}, "nameserver 192.0.2.1\nsearch a.example b.example\noptions ndots:2 rotate\n"},
		"IPv6":              {twoServers, ResolvInput{Forwarders: forwarders, IPv6: true}, "nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch a.example b.example\noptions ndots:2 rotate\n"},
		"systemd-resolved":  {"nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n", ResolvInput{Forwarders: forwarders}, "nameserver 10.0.2.3\nsearch lan\noptions edns0 trust-ad\n"},
		"loopback and more": {"nameserver ::1\nnameserver 127.0.0.1\nnameserver 192.0.2.1\n", ResolvInput{Forwarders: forwarders}, "nameserver 192.0.2.1\n"},
		"link-local":        {"nameserver fe80::1%eth0\n", ResolvInput{Forwarders: forwarders, IPv6: true}, "nameserver 10.0.2.3\n"},
		"mapped loopback":   {"nameserver ::ffff:127.0.0.1\n", ResolvInput{Forwarders: forwarders, IPv6: true}, "nameserver 10.0.2.3\n"},
		"empty":             {"", ResolvInput{Forwarders: forwarders}, "nameserver 10.0.2.3\n"},
		"servers": {twoServers, ResolvInput{Forwarders: forwarders, DNS: config.DNS{Servers: []string{"127.0.0.9", "::9"}}},
			"nameserver 127.0.0.9\nnameserver ::9\nsearch a.example b.example\noptions ndots:2 rotate\n"},
		"search": {twoServers, ResolvInput{Forwarders: forwarders, DNS: config.DNS{Search: []string{"c.example"}}},
			"nameserver 192.0.2.1\nsearch c.example\noptions ndots:2 rotate\n"},
		"no search": {twoServers, ResolvInput{Forwarders: forwarders, DNS: config.DNS{Search: []string{"."}, Options: []string{"ndots:5"}}},
			"nameserver 192.0.2.1\noptions ndots:5\n"},
		"as it is":          {twoServers, ResolvInput{}, twoServers},
		"host with options": {"nameserver 127.0.0.53\n", ResolvInput{DNS: config.DNS{Options: []string{"ndots:5"}}}, "nameserver 127.0.0.53\noptions ndots:5\n"},
		"embedded": {twoServers, ResolvInput{Embedded: embedded},
			"nameserver 127.0.0.11\nsearch a.example b.example\noptions ndots:2 rotate\n"},
		"embedded with names": {"nameserver 192.0.2.1\nsearch lan\noptions edns0 trust-ad\n", ResolvInput{Embedded: embedded, Names: true},
			"nameserver 127.0.0.11\nsearch lan\noptions edns0 trust-ad ndots:0\n"},
		"embedded, everything asked for": {twoServers,
			ResolvInput{Embedded: embedded, Names: true, DNS: config.DNS{Servers: []string{"192.0.2.9"}, Search: []string{"c.example", "."}, Options: []string{"timeout:1"}}},
			"nameserver 127.0.0.11\nsearch c.example\noptions timeout:1 ndots:0\n"},
		"embedded, ndots of the host": {twoServers, ResolvInput{Embedded: embedded, Names: true},
			"nameserver 127.0.0.11\nsearch a.example b.example\noptions ndots:2 rotate\n"},
		"embedded, useless ndots": {"options ndots: ndots:x ndots", ResolvInput{Embedded: embedded, Names: true},
			"nameserver 127.0.0.11\noptions ndots:0\n"},
	} {
		t.Run(name, func(t *testing.T) {
			c.in.Host = []byte(c.host)
			got, err := ResolvConf(c.in)
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
		if got, err := ResolvConf(ResolvInput{Embedded: embedded, DNS: bad}); err == nil {
			t.Errorf("%v was accepted: %q", bad, got)
		}
	}
}

func TestNdots(t *testing.T) {
	for _, c := range []struct {
		host string
		user []string
		want bool
	}{
		{"options ndots:1\n", nil, true}, {"options rotate\n", nil, false}, {"", []string{"ndots:0"}, true},
		{"options ndots:1\n", []string{"rotate"}, false}, {"options ndots:many\n", nil, false},
	} {
		got, err := ResolvInput{Host: []byte(c.host), DNS: config.DNS{Options: c.user}}.Ndots()
		if got != c.want || err != nil {
			t.Errorf("%q with %q: %v, %v", c.host, c.user, got, err)
		}
	}
}

func TestNameServers(t *testing.T) {
	got := NameServers([]byte("nameserver 127.0.0.53\nnameserver fe80::1%eth0\nnameserver dns.example\n# nameserver 192.0.2.1\nnameserver\n"))
	if want := addresses("127.0.0.53", "fe80::1%eth0"); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestHosts(t *testing.T) {
	const host = "203.0.113.1\thost.containers.internal host.docker.internal\n"
	one, gateway := addresses("10.0.2.100"), netip.MustParseAddr("203.0.113.1")
	for name, c := range map[string]struct {
		in   HostsInput
		want string // after the standard lines
	}{
		"name":       {HostsInput{Hostname: "web", Addresses: one, HostGateway: gateway}, host + "10.0.2.100\tweb\n"},
		"domain":     {HostsInput{Hostname: "web", Domain: "lan.example", Addresses: one, HostGateway: gateway}, host + "10.0.2.100\tweb.lan.example web\n"},
		"full name":  {HostsInput{Hostname: "web.lan.example", Addresses: one, HostGateway: gateway}, host + "10.0.2.100\tweb.lan.example web\n"},
		"no network": {HostsInput{Hostname: "web"}, "127.0.0.1\tweb\n"},
		"no host":    {HostsInput{Hostname: "web", Addresses: one}, "10.0.2.100\tweb\n"},
		"networks":   {HostsInput{Hostname: "web", Addresses: addresses("10.0.2.100", "2001:db8::2", "10.0.3.2")}, "10.0.2.100\tweb\n2001:db8::2\tweb\n10.0.3.2\tweb\n"},
		"extra": {HostsInput{Hostname: "web", Addresses: one, HostGateway: gateway, Extra: []string{"db:192.0.2.9", "six:2001:db8::9", "seven=[2001:db8::7]", "up:host-gateway"}},
			host + "192.0.2.9\tdb\n2001:db8::9\tsix\n2001:db8::7\tseven\n203.0.113.1\tup\n10.0.2.100\tweb\n"},
		"links": {HostsInput{Hostname: "web", Addresses: one, Extra: []string{"x:192.0.2.9"}, Links: []Linked{
			{addresses("172.17.0.3", "2001:db8::3"), "dblink", "abc123", "db"}, {addresses("172.17.0.4"), "cache", "def456", "cache"}}},
			"192.0.2.9\tx\n172.17.0.3\tdblink abc123 db\n2001:db8::3\tdblink abc123 db\n172.17.0.4\tcache def456\n10.0.2.100\tweb\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Hosts(c.in)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != standard+c.want {
				t.Errorf("got\n%swant\n%s", got, standard+c.want)
			}
		})
	}
	for _, bad := range []string{"", "db", ":192.0.2.9", "db:", "db:elsewhere", "db:192.0.2.9\n1.2.3.4 evil", "a b:192.0.2.9"} {
		if got, err := Hosts(HostsInput{HostGateway: gateway, Extra: []string{bad}}); err == nil {
			t.Errorf("%q was accepted: %q", bad, got)
		}
	}
	if _, err := Hosts(HostsInput{Extra: []string{"up:host-gateway"}}); err == nil {
		t.Error("host-gateway was accepted without a host")
	}
}

func TestHostsWithoutIPv6(t *testing.T) {
	got, err := Hosts(HostsInput{Hostname: "web", NoIPv6: true, Addresses: addresses("10.0.2.100", "2001:db8::2"), Extra: []string{"six:2001:db8::9", "mapped:::ffff:192.0.2.1"}})
	if err != nil {
		t.Fatal(err)
	}
	if want := "127.0.0.1\tlocalhost\n::ffff:192.0.2.1\tmapped\n10.0.2.100\tweb\n"; string(got) != want {
		t.Errorf("got\n%swant\n%s", got, want)
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
	want := strings.TrimSuffix(string(host), "\n") + "\n127.0.0.1\t" + HostNames + "\n192.0.2.9\tdb\n"
	if string(got) != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestUpdateHosts(t *testing.T) {
	for name, c := range map[string]struct{ current, before, after, want string }{
		"untouched":            {"a\nb\n", "a\nb\n", "a\nc\n", "a\nc\n"},
		"appended to":          {"a\nb\nmine\n", "a\nb\n", "a\nc\n", "a\nc\nmine\n"},
		"appended in the line": {"a\nb\nmine", "a\nb\n", "a\n", "a\nmine"},
		"inserted":             {"mine\na\nb\n", "a\nb\n", "a\nc\n", "mine\na\nc\n"},
		"inserted, open end":   {"mine\na\nb", "a\nb\n", "a\nb\nc\n", "mine\na\nb\nc\n"},
		"taken out":            {"b\n", "a\nb\n", "a\nb\nc\n", "b\nc\n"},
		"own copy":             {"b\nx\nb\n", "x\nb\n", "x\n", "x\nb\n"},
		"emptied":              {"", "a\nb\n", "a\nc\n", "c\n"},
		"other order":          {"b\na\n", "a\nb\n", "b\n", "b\n"},
		"twice":                {"y\nb\nb\n", "b\nb\n", "b\n", "y\nb\n"},
	} {
		if got := UpdateHosts([]byte(c.current), []byte(c.before), []byte(c.after)); string(got) != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestRewriteHosts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	check := func(want string) {
		t.Helper()
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	if err := os.WriteFile(path, []byte("a\nlong line\nmine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := RewriteHosts(path, []byte("a\nlong line\n"), []byte("a\n")); err != nil {
		t.Fatal(err)
	}
	check("a\nmine\n")
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("the file was replaced, %v", err)
	}
	if err := os.Truncate(path, maxHosts+1); err != nil {
		t.Fatal(err)
	}
	if err := RewriteHosts(path, []byte("a\n"), []byte("b\n")); err == nil {
		t.Error("a huge file was rewritten")
	}
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := RewriteHosts(link, nil, []byte("b\n")); err == nil {
		t.Error("a symbolic link was followed")
	}
}

// TestLinkEnv has what Docker 28.5 gave to a container with these links.
func TestLinkEnv(t *testing.T) {
	got := LinkEnv("web", "my-db", netip.MustParseAddr("172.17.0.2"),
		[]string{"53/udp", "5434/tcp", "82/tcp", "5432/tcp", "5433/tcp", "80"}, []string{"PASSWORD=a=b", "HOME=/", "PATH=/bin", "ODD"})
	want := `MY_DB_PORT=tcp://172.17.0.2:80
MY_DB_PORT_80_TCP=tcp://172.17.0.2:80
MY_DB_PORT_80_TCP_ADDR=172.17.0.2
MY_DB_PORT_80_TCP_PORT=80
MY_DB_PORT_80_TCP_PROTO=tcp
MY_DB_PORT_82_TCP=tcp://172.17.0.2:82
MY_DB_PORT_82_TCP_ADDR=172.17.0.2
MY_DB_PORT_82_TCP_PORT=82
MY_DB_PORT_82_TCP_PROTO=tcp
MY_DB_PORT_5432_TCP=tcp://172.17.0.2:5432
MY_DB_PORT_5432_TCP_ADDR=172.17.0.2
MY_DB_PORT_5432_TCP_PORT=5432
MY_DB_PORT_5432_TCP_PROTO=tcp
MY_DB_PORT_5433_TCP=tcp://172.17.0.2:5433
MY_DB_PORT_5433_TCP_ADDR=172.17.0.2
MY_DB_PORT_5433_TCP_PORT=5433
MY_DB_PORT_5433_TCP_PROTO=tcp
MY_DB_PORT_5434_TCP=tcp://172.17.0.2:5434
MY_DB_PORT_5434_TCP_ADDR=172.17.0.2
MY_DB_PORT_5434_TCP_PORT=5434
MY_DB_PORT_5434_TCP_PROTO=tcp
MY_DB_PORT_5432_TCP_START=tcp://172.17.0.2:5432
MY_DB_PORT_5432_TCP_PORT_START=5432
MY_DB_PORT_5432_TCP_END=tcp://172.17.0.2:5434
MY_DB_PORT_5432_TCP_PORT_END=5434
MY_DB_PORT_53_UDP=udp://172.17.0.2:53
MY_DB_PORT_53_UDP_ADDR=172.17.0.2
MY_DB_PORT_53_UDP_PORT=53
MY_DB_PORT_53_UDP_PROTO=udp
MY_DB_NAME=/web/my-db
MY_DB_ENV_PASSWORD=a=b`
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
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
