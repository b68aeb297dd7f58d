package link

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ctr/netns/bridge"
	"ctr/netns/internal/world"
	"ctr/netns/lease"
	"ctr/netns/network"
	"ctr/pkg/process"
	"ctr/pkg/userns"
)

// The world of the hub: the test's process is on a host that begins without any
// network, and gets a cable to a machine outside.
const (
	linkEnv      = "NETNS_TEST_LINK"
	noTunEnv     = "NETNS_TEST_NO_TUN"
	uplinkHost   = "198.51.100.1"
	uplinkHost6  = "2001:db8:1::1"
	outside      = "192.0.2.9" // behind the cable's other end
	outside6     = "2001:db8:9::9"
	cableEnd     = "198.51.100.2"
	cableEnd6    = "2001:db8:1::2"
	asSeenInside = "169.254.1.2" // the host
)

// TestHub runs TestUplink for each link, on a host of its own.
func TestHub(t *testing.T) {
	world.Need(t, world.Tests)
	if !userns.Inside() {
		t.Skip("root's hub is the host's own namespace")
	}
	for _, link := range order {
		t.Run(link, func(t *testing.T) { testHub(t, "TestUplink", link, os.Getenv("PATH")) })
	}
	t.Run("builtin without a TUN device", func(t *testing.T) {
		t.Setenv(noTunEnv, "1")
		testHub(t, "TestUplink", Builtin, os.Getenv("PATH"))
	})
	t.Run("fall back", func(t *testing.T) { testHub(t, "TestFallBack", "", os.Getenv("PATH")) })
	t.Run("other pasta", func(t *testing.T) {
		dir := os.Getenv(otherPasta)
		if dir == "" {
			t.Skip(otherPasta + " is not set")
		}
		testHub(t, "TestUplink", Pasta, dir+":"+os.Getenv("PATH"))
	})
}

func testHub(t *testing.T, test, link, path string) {
	c := world.Command("hub", "-test.run=^"+test+"$", "-test.v="+strconv.FormatBool(testing.Verbose()))
	c.Env = append(c.Env, linkEnv+"="+link, "PATH="+path)
	c.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET | syscall.CLONE_NEWNS
	c.Stdout, c.Stderr = nil, nil
	out, err := c.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

// hubWorld is what the steps of TestUplink share.
type hubWorld struct {
	link      string
	run       string
	hub       *bridge.Hub
	leases    *lease.Leases
	network   *network.Network
	container *os.File
	outside   *os.File
	gateway   string
}

// TestUplink is what every link promises the hub, in the order of a hub's life.
func TestUplink(t *testing.T) {
	world.Need(t, "hub")
	w := &hubWorld{link: os.Getenv(linkEnv), run: t.TempDir()}
	if err := unavailable(w.link); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		text, _ := os.ReadFile(filepath.Join(w.run, "net/link.log"))
		t.Logf("link.log:\n%s", text)
	})
	if os.Getenv(noTunEnv) != "" {
		must(t, unix.Mount("tmpfs", "/dev/net", "tmpfs", 0, ""))
	}
	w.build(t)
	w.baggage(t)
	w.ensure(t)
	t.Cleanup(func() { w.kill() })
	if _, err := inContainer(w.container, "dial", outside+":7"); err == nil {
		t.Fatal("the outside is reached without a network")
	}
	w.plugIn(t)
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"a route that came later", w.online},
		{"traffic", w.traffic},
		{"the host", w.host},
		{"the host's loopback", w.loopback},
		{"what it holds", w.holds},
		{"memory", w.memory},
		{"killed", w.killed},
		{"its program killed", w.programKilled},
		{"ends after the last lease", w.ends},
		{"again", w.again},
		{"another hub", w.anotherHub},
	} {
		if !t.Run(step.name, step.run) {
			return
		}
	}
}

// build makes a hub with one network and one container in it.
func (w *hubWorld) build(t *testing.T) {
	lo := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: 1}}
	must(t, netlink.LinkSetUp(lo))
	must(t, os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 0"), 0)) // as distributions have it for all groups
	networks := network.Open(t.TempDir())
	w.leases = lease.Open(w.run)
	var err error
	w.network, err = networks.Create(network.Network{Name: "net", Driver: network.Bridge, IPv6: true})
	must(t, err)
	w.hub, err = bridge.Open(w.run, w.leases, networks)
	must(t, err)
	t.Cleanup(func() { w.hub.Close() })
	w.container = world.Namespace(t)
	w.attach(t)
}

func (w *hubWorld) attach(t *testing.T) {
	l, err := w.leases.Take(w.network, lease.Lease{
		Container: strings.Repeat("c", 64), Names: []string{"c"}, Holder: process.This(), HubFD: w.hub.FD(),
	})
	must(t, err)
	must(t, w.hub.Attach(w.container, w.network, l, bridge.Attachment{Interface: Interface, Default4: true, Default6: true}))
	w.gateway = w.network.Subnets[0].Gateway.String()
}

func (w *hubWorld) ensure(t *testing.T) {
	t.Helper()
	began := time.Now()
	must(t, Ensure(w.hub.NS(), w.run, Options{Helper: w.link}))
	t.Logf("Ensure took %v", time.Since(began))
	began = time.Now()
	must(t, Ensure(w.hub.NS(), w.run, Options{Helper: w.link}))
	t.Logf("Ensure again took %v", time.Since(began))
	i, err := Read(w.run)
	if err != nil || !i.Process.Alive() || i.Link != w.link {
		t.Fatalf("after Ensure: %+v, %v", i, err)
	}
}

func (w *hubWorld) kill() {
	if i, err := Read(w.run); err == nil && i.Process.Alive() {
		unix.Kill(i.Process.Pid, unix.SIGKILL)
		reap(i.Process.Pid)
	}
}

// online waits for the traffic to flow; go test's own limit ends the wait.
func (w *hubWorld) online(t *testing.T) {
	began := time.Now()
	for _, to := range []string{outside, outside6} {
		for {
			if _, err := inContainer(w.container, "dial", net.JoinHostPort(to, "7")); err == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	t.Logf("after %v", time.Since(began))
}

func (w *hubWorld) traffic(t *testing.T) {
	for _, ip := range []string{outside, outside6} {
		for _, network := range []string{"tcp", "udp"} {
			if got := mustInContainer(t, w.container, "echo", network, net.JoinHostPort(ip, "7")); got != "hello" {
				t.Errorf("%s to %s: got %q", network, ip, got)
			}
		}
		mustInContainer(t, w.container, "push", net.JoinHostPort(ip, "9"), strconv.Itoa(64<<20))
		if _, err := inContainer(w.container, "dial", net.JoinHostPort(ip, "81")); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("a closed port of %s: got %v", ip, err)
		}
	}
	mustInContainer(t, w.container, "ping", outside)
}

func (w *hubWorld) host(t *testing.T) {
	for _, ip := range []string{asSeenInside, uplinkHost} {
		if got := mustInContainer(t, w.container, "echo", "tcp", ip+":7"); got != "hello" {
			t.Errorf("the host at %s: got %q", ip, got)
		}
	}
}

// loopback tries the ways to the host's loopback, with crafted packets too.
func (w *hubWorld) loopback(t *testing.T) {
	for _, to := range []string{w.gateway, asSeenInside, "127.0.0.1", hubGateway, hubAddress, "169.254.77.3", "::1", "::ffff:127.0.0.1", "fd00::2", "fd00::3", pastaRange6 + "2"} {
		if _, err := inContainer(w.container, "dial", net.JoinHostPort(to, "80")); err == nil {
			t.Errorf("port 80 of the host's loopback is reached through %s", to)
		}
	}
	p, err := net.ListenPacket("udp4", "127.0.0.1:0")
	must(t, err)
	defer p.Close()
	_, port, _ := net.SplitHostPort(p.LocalAddr().String())
	for _, to := range []string{"127.0.0.1", "127.0.0.53", "0.0.0.0", "255.255.255.255", w.gateway, hubGateway, "169.254.77.3", asSeenInside} {
		mustInContainer(t, w.container, "forge", w.gateway, to, port)
	}
	mustInContainer(t, w.container, "echo", "udp", outside+":7")
	p.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if n, from, err := p.ReadFrom(make([]byte, 100)); err == nil {
		t.Errorf("%d forged bytes reached the host's loopback from %s", n, from)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
