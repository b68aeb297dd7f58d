package world

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ctr/netns"
)

// Namespace makes a network namespace that the test keeps until its end.
func Namespace(t testing.TB) *os.File {
	t.Helper()
	return kept(t, netns.New)
}

// Own is this process's own network namespace: the host, in a world.
func Own(t testing.TB) *os.File {
	t.Helper()
	return kept(t, func() (*os.File, error) { return os.Open("/proc/self/ns/net") })
}

func kept(t testing.TB, open func() (*os.File, error)) *os.File {
	t.Helper()
	ns, err := open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	return ns
}

// Output runs a program in a namespace and returns all that it wrote.
func Output(ns *os.File, name string, args ...string) (string, error) {
	var out []byte
	err := netns.Do(ns, func() (err error) {
		out, err = exec.Command(name, args...).CombinedOutput()
		return err
	})
	return string(out), err
}

// Shell runs a script in a namespace, which must succeed.
func Shell(t testing.TB, ns *os.File, script string) {
	t.Helper()
	if out, err := Output(ns, "sh", "-ec", script); err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
}

// Give gives an interface of the calling thread's namespace addresses and sets it up.
func Give(device string, addresses ...string) error {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("interface %s: %w", device, err)
	}
	for _, text := range addresses {
		a, err := netlink.ParseAddr(text)
		if err != nil {
			return err
		}
		if a.IP.To4() == nil {
			a.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrAdd(link, a); err != nil {
			return fmt.Errorf("giving %s the address %s: %w", device, text, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("setting %s up: %w", device, err)
	}
	return nil
}

// Uplink gives this process's own network namespace an interface, host0, with an
// address (and its prefix) and a default route for each gateway. The cable's other
// end, host1, is here too, with nothing behind it. IPv6 is left out of a kernel without it.
func Uplink(gateways map[string]string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "host0"
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "host1", PeerTxQLen: -1}); err != nil {
		return fmt.Errorf("adding host0: %w", err)
	}
	for _, device := range []string{"lo", "host1", "host0"} {
		if err := Give(device); err != nil {
			return err
		}
	}
	host0, err := netlink.LinkByName("host0")
	if err != nil {
		return err
	}
	_, no6 := os.Stat("/proc/net/if_inet6")
	for gateway, address := range gateways {
		if no6 != nil && strings.Contains(gateway, ":") {
			continue
		}
		if err := Give("host0", address); err != nil {
			return err
		}
		if err := netlink.RouteAdd(&netlink.Route{LinkIndex: host0.Attrs().Index, Gw: net.ParseIP(gateway)}); err != nil {
			return fmt.Errorf("the default route to %s: %w", gateway, err)
		}
	}
	return nil
}
