package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ctr/netns"
	"ctr/netns/bridge"
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
	if os.Getenv(roleEnv) != "suite" {
		t.Skip("run by TestWorlds in a network of its own")
	}
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
	c := as("hub", "-test.run=^"+test+"$", "-test.v="+strconv.FormatBool(testing.Verbose()))
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
	if os.Getenv(roleEnv) != "hub" {
		t.Skip("run by TestHub on a host of its own")
	}
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
	w.container, err = netns.New()
	must(t, err)
	t.Cleanup(func() { w.container.Close() })
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

// plugIn connects the host to the machine outside, and that to an address behind it.
func (w *hubWorld) plugIn(t *testing.T) {
	var err error
	w.outside, err = netns.New()
	must(t, err)
	t.Cleanup(func() { w.outside.Close() })
	must(t, netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: "cable"}, PeerName: "cable", PeerNamespace: netlink.NsFd(w.outside.Fd()),
	}))
	must(t, netns.Do(w.outside, func() error {
		if err := address("lo", outside+"/32", outside6+"/128"); err != nil {
			return err
		}
		return address("cable", cableEnd+"/24", cableEnd6+"/64")
	}))
	must(t, netns.Do(w.outside, func() error { return serveOutside(t) }))
	must(t, address("cable", uplinkHost+"/24", uplinkHost6+"/64"))
	cable, err := netlink.LinkByName("cable")
	must(t, err)
	for _, gateway := range []string{cableEnd, cableEnd6} {
		ip := net.ParseIP(gateway)
		must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: cable.Attrs().Index, Gw: ip, Dst: everything(ip)}))
	}
	accept(t, uplinkHost+":7", func(c net.Conn) { io.Copy(c, c) })
	accept(t, "127.0.0.1:80", func(net.Conn) {})
	accept(t, "[::1]:80", func(net.Conn) {})
}

// address gives an interface of the calling thread's namespace addresses.
func address(device string, addresses ...string) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.LinkByName(device)
	if err != nil {
		return err
	}
	for _, text := range addresses {
		a, err := netlink.ParseAddr(text)
		if err != nil {
			return err
		}
		if a.IP.To4() == nil {
			a.Flags = unix.IFA_F_NODAD
		}
		if err := h.AddrAdd(link, a); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return h.LinkSetUp(link)
}

// serveOutside starts what the machine outside serves, in the calling thread's namespace.
func serveOutside(t *testing.T) error {
	for _, ip := range []string{outside, outside6} {
		accept(t, net.JoinHostPort(ip, "7"), func(c net.Conn) { io.Copy(c, c) })
		accept(t, net.JoinHostPort(ip, "9"), takeAndGive)
		p, err := net.ListenPacket("udp", net.JoinHostPort(ip, "7"))
		if err != nil {
			return err
		}
		t.Cleanup(func() { p.Close() })
		go func() {
			buf := make([]byte, 1<<16)
			for {
				n, from, err := p.ReadFrom(buf)
				if err != nil {
					return
				}
				p.WriteTo(buf[:n], from)
			}
		}()
	}
	return nil
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

// baggage is what a monitor has that the helper must not keep: a container's mounts,
// and a descriptor that is inherited by mistake.
func (w *hubWorld) baggage(t *testing.T) {
	rootfs := filepath.Join(w.run, "container", "root fs")
	must(t, os.MkdirAll(rootfs, 0o700))
	must(t, unix.Mount("tmpfs", rootfs, "tmpfs", 0, ""))
	t.Cleanup(func() { unix.Unmount(rootfs, unix.MNT_DETACH) })
	terminal, err := unix.Open(filepath.Join(w.run, "terminal"), unix.O_CREAT|unix.O_RDWR, 0o600)
	must(t, err)
	t.Cleanup(func() { unix.Close(terminal) })
}

// holds looks at the helper from outside, as others find the hub through it.
func (w *hubWorld) holds(t *testing.T) {
	i, err := Read(w.run)
	must(t, err)
	proc := fmt.Sprintf("/proc/%d/", i.Process.Pid)
	mounts, err := os.ReadFile(proc + "mountinfo")
	must(t, err)
	if strings.Contains(string(mounts), w.run+"/") {
		t.Errorf("the helper holds a container's mounts:\n%s", mounts)
	}
	if own, err := os.ReadFile("/proc/self/mountinfo"); err != nil || !strings.Contains(string(own), w.run+"/") {
		t.Errorf("the monitor has lost its mounts: %v", err)
	}
	files, err := filepath.Glob(proc + "fd/*")
	must(t, err)
	for _, f := range files {
		if to, _ := os.Readlink(f); strings.HasSuffix(to, "/terminal") {
			t.Errorf("the helper holds %s", to)
		}
	}
	if !sameFile(w.hub.NS(), i.Process.Pid, i.Hub) {
		t.Errorf("descriptor %d of the helper is not the hub", i.Hub)
	}
	status, err := os.ReadFile(proc + "status")
	must(t, err)
	if !strings.Contains(string(status), "\nNoNewPrivs:\t1\n") {
		t.Errorf("the helper may gain privileges:\n%s", status)
	}
	_, after, _ := strings.Cut(string(status), "\nCapEff:\t")
	caps, err := strconv.ParseUint(strings.TrimSpace(after[:16]), 16, 64)
	must(t, err)
	for _, c := range []int{unix.CAP_SYS_PTRACE, unix.CAP_DAC_OVERRIDE, unix.CAP_MKNOD, unix.CAP_SYS_MODULE} {
		if caps&(1<<c) != 0 {
			t.Errorf("the helper has capability %d", c)
		}
	}
	if comm, _ := os.ReadFile(proc + "comm"); string(comm) != Name+"\n" {
		t.Errorf("the helper is called %q", comm)
	}
}

// anotherHub takes the place of one whose containers have ended while its helper lingers.
func (w *hubWorld) anotherHub(t *testing.T) {
	old, err := Read(w.run)
	must(t, err)
	hub, err := netns.New()
	must(t, err)
	defer hub.Close()
	if err := Ensure(hub, w.run, Options{Helper: w.link}); err == nil || !strings.Contains(err.Error(), strconv.Itoa(old.Process.Pid)) {
		t.Errorf("a helper with containers was replaced: %v", err)
	}
	must(t, w.leases.Release(w.network.ID, strings.Repeat("d", 64)))
	must(t, Ensure(hub, w.run, Options{Helper: w.link}))
	now, err := Read(w.run)
	must(t, err)
	if old.Process.Alive() || !sameFile(hub, now.Process.Pid, now.Hub) {
		t.Errorf("the old helper is alive: %v; the new one is %+v", old.Process.Alive(), now)
	}
}

// memory tells what the helper takes, in proportional set size.
func (w *hubWorld) memory(t *testing.T) {
	i, err := Read(w.run)
	must(t, err)
	pids := []int{i.Process.Pid}
	pids = append(pids, children(i.Process.Pid)...)
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		must(t, err)
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "Pss:") || strings.HasPrefix(line, "Private_Dirty:") {
				t.Logf("%d: %s", pid, line)
			}
		}
	}
}

func children(pid int) (found []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		for _, word := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				found = append(found, child)
			}
		}
	}
	return found
}

// killed kills the helper twice in a row while monitors watch.
func (w *hubWorld) killed(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var watched sync.WaitGroup
	for range 5 {
		watched.Go(func() {
			Watch(ctx, w.run, func() error { return Ensure(w.hub.NS(), w.run, Options{Helper: w.link}) })
		})
	}
	for range 2 {
		old, err := Read(w.run)
		must(t, err)
		programs := children(old.Process.Pid)
		began := time.Now()
		must(t, unix.Kill(old.Process.Pid, unix.SIGKILL))
		for i := old; i.Process == old.Process || !i.Process.Alive(); {
			time.Sleep(time.Millisecond)
			if now, err := Read(w.run); err == nil {
				i = now
			}
		}
		t.Logf("another helper after %v", time.Since(began))
		for _, pid := range programs {
			for !gone(pid) {
				time.Sleep(time.Millisecond)
			}
		}
		w.online(t)
	}
	w.traffic(t)
	stop()
	watched.Wait()
	helpers := 0
	for _, pid := range children(os.Getpid()) {
		if comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); string(comm) == Name+"\n" && !gone(pid) {
			helpers++
		}
	}
	if helpers != 1 {
		t.Errorf("%d helpers run", helpers)
	}
}

func (w *hubWorld) ends(t *testing.T) {
	i, err := Read(w.run)
	must(t, err)
	programs := children(i.Process.Pid)
	must(t, w.leases.Release(w.network.ID, strings.Repeat("c", 64)))
	began := time.Now()
	for i.Process.Alive() {
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("after %v", time.Since(began))
	if _, err := Read(w.run); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the record is still there: %v", err)
	}
	for _, pid := range programs {
		if !gone(pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
	reap(i.Process.Pid)
}

// again uses the device that the helper has left behind.
func (w *hubWorld) again(t *testing.T) {
	l, err := w.leases.Take(w.network, lease.Lease{Container: strings.Repeat("d", 64), Names: []string{"d"}, Holder: process.This(), HubFD: w.hub.FD()})
	must(t, err)
	second, err := netns.New()
	must(t, err)
	t.Cleanup(func() { second.Close() })
	must(t, w.hub.Attach(second, w.network, l, bridge.Attachment{Interface: Interface, Default4: true, Default6: true}))
	w.container = second
	w.ensure(t)
	w.online(t)
	w.traffic(t)
}

// TestFallBack has a pasta that dies at once.
func TestFallBack(t *testing.T) {
	if os.Getenv(roleEnv) != "hub" {
		t.Skip("run by TestHub on a host of its own")
	}
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, Pasta), []byte("#!/bin/sh\necho broken >&2\nexit 1\n"), 0o755))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	w := &hubWorld{link: Pasta, run: t.TempDir()}
	w.build(t)
	must(t, Ensure(w.hub.NS(), w.run, Options{}))
	t.Cleanup(func() { w.kill() })
	for {
		i, err := Read(w.run)
		if err == nil && i.Link != Pasta {
			if !strings.Contains(i.Note, "broken") {
				t.Errorf("note %q", i.Note)
			}
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.plugIn(t)
	w.online(t)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
