package link

import (
	"strings"
	"testing"
)

func TestSubnet(t *testing.T) {
	const headings = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
	const defaultRoute = "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
	route := func(dst, mask string) string {
		return "tun0\t" + dst + "\t00000000\t0001\t0\t0\t0\t" + mask + "\t0\t0\t0\n"
	}
	for name, c := range map[string]struct {
		routes, want string
		hasDefault   bool
	}{
		"usual":          {defaultRoute + route("000200C0", "00FFFFFF"), "10.0.2.0/24", true},
		"none":           {"", "10.0.2.0/24", false},
		"same":           {route("0002000A", "00FFFFFF"), "10.0.3.0/24", false},
		"one host of it": {route("6402000A", "FFFFFFFF"), "10.0.3.0/24", false},
		"all of 10":      {defaultRoute + route("0000000A", "000000FF"), "172.29.2.0/24", true},
		"VPN in halves":  {route("00000000", "00000080") + route("00000080", "00000080"), "10.0.2.0/24", false},
	} {
		t.Run(name, func(t *testing.T) {
			routes, hasDefault := parseRoutes([]byte(headings + c.routes))
			if got := freeSubnet(routes).String(); got != c.want || hasDefault != c.hasDefault {
				t.Errorf("got %s, default %v", got, hasDefault)
			}
		})
	}
}

func TestUnknownHelper(t *testing.T) {
	_, err := Connect(t.Context(), nil, Options{Helper: "vpnkit"})
	if err == nil || !strings.Contains(err.Error(), `"vpnkit"`) {
		t.Errorf("got %v", err)
	}
}

func TestMissingHelper(t *testing.T) {
	if checkTun() != nil {
		t.Skip("no /dev/net/tun")
	}
	t.Setenv("PATH", t.TempDir())
	for helper, hint := range map[string]string{Pasta: "apt install passt", Slirp4netns: "apt install slirp4netns", "": "--network bridge"} {
		_, err := Connect(t.Context(), nil, Options{Helper: helper})
		if err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("%q: got %v", helper, err)
		}
	}
}
