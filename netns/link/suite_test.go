package link

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/netns"
	"ctr/netns/internal/world"
)

// otherPasta names a directory with a second version of pasta to test.
const otherPasta = "CTR_TEST_PASTA_DIR"

// TestSuite is what every helper promises. TestWorlds runs it.
func TestSuite(t *testing.T) {
	world.Need(t, world.Tests)
	serve(t)
	for _, helper := range []string{Pasta, Slirp4netns} {
		t.Run(helper, func(t *testing.T) { suite(t, helper) })
	}
	t.Run("other pasta", func(t *testing.T) {
		dir := os.Getenv(otherPasta)
		if dir == "" {
			t.Skip(otherPasta + " is not set")
		}
		t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
		suite(t, Pasta)
	})
	t.Run("best", testBest)
	t.Run("no device", testNoDevice)
}

func suite(t *testing.T, helper string) {
	if _, err := exec.LookPath(helper); err != nil {
		t.Skipf("%s is not installed", helper)
	}
	skipOldPasta(t, helper)
	ns, l := connect(t, helper)
	host := l.HostGateway.String()
	t.Run("interface", func(t *testing.T) { testInterface(t, ns, l) })
	t.Run("dns", func(t *testing.T) {
		for _, network := range []string{"udp", "tcp"} {
			if got := mustInContainer(t, ns, "dns", network, hostAddress, "web.example"); got != "192.0.2.7" {
				t.Errorf("%s: got %q", network, got)
			}
		}
		testForwarder(t, helper)
	})
	t.Run("tcp", func(t *testing.T) {
		if got := mustInContainer(t, ns, "echo", "tcp", net.JoinHostPort(host, "7")); got != "hello" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("ipv6", func(t *testing.T) { testIPv6(t, ns, l) })
	t.Run("udp", func(t *testing.T) {
		if got := mustInContainer(t, ns, "echo", "udp", net.JoinHostPort(host, "7")); got != "hello" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("refused", func(t *testing.T) {
		_, err := inContainer(ns, "dial", net.JoinHostPort(host, "81"))
		if err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("host loopback", func(t *testing.T) { testLoopback(t, ns, l) })
	t.Run("transfer", func(t *testing.T) {
		mustInContainer(t, ns, "push", net.JoinHostPort(host, "9"), strconv.Itoa(64<<20))
	})
	t.Run("ping", func(t *testing.T) {
		mustInContainer(t, ns, "ping", host)
		// nobody answers for an address behind which there is nobody
		if _, err := inContainer(ns, "ping", "203.0.113.77"); err == nil {
			t.Error("a host that does not exist answers")
		}
	})
	t.Run("published ports", func(t *testing.T) { testPorts(t, helper) })
	t.Run("close", func(t *testing.T) { testClose(t, ns, l) })
	t.Run("death of the helper", func(t *testing.T) { testHelperDies(t, helper) })
	t.Run("death of the monitor", func(t *testing.T) { testMonitorDies(t, helper) })
	t.Run("cancelled", func(t *testing.T) { testCancelled(t, helper) })
}

func testIPv6(t *testing.T, ns *os.File, l *Link) {
	if !l.Address6.IsValid() {
		t.Skip("this helper, or this machine, has no IPv6")
	}
	if got := mustInContainer(t, ns, "echo", "tcp", net.JoinHostPort(hostAddress6, "7")); got != "hello" {
		t.Errorf("got %q", got)
	}
	for _, to := range []string{l.Gateway6.String(), "::ffff:127.0.0.1", "::1"} {
		if _, err := inContainer(ns, "dial", net.JoinHostPort(to, "80")); err == nil {
			t.Errorf("the host's loopback is reached through %s", to)
		}
	}
}

// skipOldPasta skips where the installed pasta is one that is passed over.
func skipOldPasta(t *testing.T, helper string) {
	ns := world.Namespace(t)
	l, err := Connect(t.Context(), ns, options(t, helper))
	if errors.As(err, new(missingError)) {
		t.Skip(err)
	}
	if err == nil {
		l.Close()
	}
}

func options(t *testing.T, helper string) Options {
	return Options{Helper: helper, RunDir: t.TempDir()}
}

// connect makes a network; what the test does not close is closed after it.
func connect(t *testing.T, helper string) (*os.File, *Link) {
	t.Helper()
	ns := world.Namespace(t)
	l, err := Connect(t.Context(), ns, options(t, helper))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return ns, l
}

func testInterface(t *testing.T, ns *os.File, l *Link) {
	got := strings.Split(mustInContainer(t, ns, "interface"), "\n")
	for _, want := range []string{
		"mac " + l.MAC, "mtu " + strconv.Itoa(l.MTU), "gateway " + l.Gateway.String(),
		fmt.Sprintf("address %s/%d", l.Address, l.Prefix.Bits()),
	} {
		if !slices.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	if l.HostGateway != netip.MustParseAddr(hostAddress) {
		t.Errorf("HostGateway is %s", l.HostGateway)
	}
}

// testForwarder has a host whose resolver listens on loopback only.
func testForwarder(t *testing.T, helper string) {
	setResolvConf(t, "nameserver 127.0.0.1\n")
	defer setResolvConf(t, "nameserver "+hostAddress+"\n")
	ns, l := connect(t, helper)
	server := l.DNS[0].String()
	if got := mustInContainer(t, ns, "dns", "udp", server, "web.example"); got != "192.0.2.7" {
		t.Errorf("got %q", got)
	}
	if _, err := inContainer(ns, "dial", server+":80"); err == nil {
		t.Error("the DNS forwarder's address leads to another port of the host's loopback")
	}
}

// testLoopback tries the ways to the host's loopback, also with packets that no
// honest program sends: a container may have CAP_NET_RAW.
func testLoopback(t *testing.T, ns *os.File, l *Link) {
	for _, to := range []string{l.Gateway.String(), l.DNS[0].String(), "127.0.0.1"} {
		if _, err := inContainer(ns, "dial", net.JoinHostPort(to, "80")); err == nil {
			t.Errorf("port 80 of the host's loopback is reached through %s", to)
		}
	}
	p, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	_, port, _ := net.SplitHostPort(p.LocalAddr().String())
	for _, to := range []string{"127.0.0.1", "127.0.0.53", "0.0.0.0", "255.255.255.255", l.Gateway.String(), l.DNS[0].String()} {
		mustInContainer(t, ns, "forge", l.Gateway.String(), to, port)
	}
	// The helper handles packets in order: what was forged has been handled when this is answered.
	mustInContainer(t, ns, "echo", "udp", hostAddress+":7")
	p.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if n, from, err := p.ReadFrom(make([]byte, 100)); err == nil {
		t.Errorf("%d forged bytes reached the host's loopback from %s", n, from)
	}
}

func testClose(t *testing.T, ns *os.File, l *Link) {
	pid := l.Pid()
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	<-l.Done()
	if err := l.Err(); err != nil {
		t.Errorf("a closed link says %v", err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("helper %d is still there: %v", pid, err)
	}
	if out, err := inContainer(ns, "interface"); err == nil {
		t.Errorf("the interface is still there: %s", out)
	}
}

func testHelperDies(t *testing.T, helper string) {
	_, l := connect(t, helper)
	if err := l.Err(); err != nil {
		t.Errorf("a living helper says %v", err)
	}
	if err := syscall.Kill(l.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-l.Done()
	if err := l.Err(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("got %v", err)
	}
}

// victim connects a network, tells the helper's pid and waits to be killed. The
// threads that ran New and Connect's other work have ended by then.
func victim() error {
	ns, err := netns.New()
	if err != nil {
		return err
	}
	l, err := Connect(context.Background(), ns, Options{Helper: os.Args[1]})
	if err != nil {
		return err
	}
	for range 20 {
		other, err := netns.New()
		if err != nil {
			return err
		}
		other.Close()
	}
	if err := l.Err(); err != nil {
		return err
	}
	fmt.Println(l.Pid())
	select {}
}

func testMonitorDies(t *testing.T, helper string) {
	c := world.Command("victim", helper)
	c.Stdout = nil
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if gone(pid) {
		t.Fatalf("helper %d is gone before its monitor", pid)
	}
	c.Process.Kill()
	c.Wait()
	for !gone(pid) { // go test's own time limit ends a helper that stays
		time.Sleep(5 * time.Millisecond)
	}
}

// gone reports whether a process has ended, reaped or not.
func gone(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, after, _ := strings.Cut(string(text), ") ")
	return strings.HasPrefix(after, "Z") || strings.HasPrefix(after, "X")
}

func testCancelled(t *testing.T, helper string) {
	ns := world.Namespace(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l, err := Connect(ctx, ns, options(t, helper))
	if err == nil {
		l.Close()
		t.Fatal("connected")
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func testBest(t *testing.T) {
	// A pasta that does not work is passed over, and said so.
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pasta"), []byte("#!/bin/sh\necho broken >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	_, l := connect(t, "")
	if l.Helper != Slirp4netns || !strings.Contains(l.Note, "broken") {
		t.Errorf("helper %s, note %q", l.Helper, l.Note)
	}
}

func testNoDevice(t *testing.T) {
	if err := unix.Mount("tmpfs", "/dev/net", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount("/dev/net", 0)
	ns := world.Namespace(t)
	_, err := Connect(t.Context(), ns, options(t, ""))
	if err == nil || !strings.Contains(err.Error(), "/dev/net/tun") || !strings.Contains(err.Error(), "modprobe tun") {
		t.Errorf("got %v", err)
	}
}
