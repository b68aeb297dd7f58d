package builtin

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestOutside(t *testing.T) {
	n, err := parse([]string{"--subnet", "10.0.2.0/24", "--gateway", "10.0.2.2", "--dns", "10.0.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"203.0.113.1": true, "10.0.3.1": true, "169.254.169.254": true,
		"127.0.0.1": false, "127.9.9.9": false, "0.0.0.0": false, "0.1.2.3": false,
		"10.0.2.2": false, "10.0.2.3": false, "10.0.2.50": false, "224.0.0.1": false, "255.255.255.255": false,
	} {
		if n.outside(netip.MustParseAddr(address)) != want {
			t.Errorf("%s: want %v", address, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, args := range [][]string{
		nil,
		{"--subnet", "fd00::/64", "--gateway", "fd00::2", "--dns", "fd00::3"},
		{"--subnet", "10.0.2.0/24", "--gateway", "10.0.3.2", "--dns", "10.0.2.3"},
		{"--subnet", "10.0.2.0/24", "--gateway", "10.0.2.2", "--dns", "10.0.2.3", "--mtu", "70000"},
	} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
}

func TestNameServers(t *testing.T) {
	for text, want := range map[string][]string{
		"": {"127.0.0.1:53"},
		"# x\nnameserver 192.0.2.1\nnameserver nonsense\nnameserver 2001:db8::1\nsearch a\n": {"192.0.2.1:53", "[2001:db8::1]:53"},
	} {
		if got := parseNameServers(strings.NewReader(text)); !slices.Equal(got, want) {
			t.Errorf("%q: got %v", text, got)
		}
	}
}
