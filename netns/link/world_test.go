package link

import (
	"cmp"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/netns/internal/world"
)

const (
	hostAddress  = "203.0.113.1"
	hostAddress6 = "2001:db8::1"
	resolvFile   = "NETNS_TEST_RESOLV"
	runEnv       = "NETNS_TEST_RUN" // of the suite, instead of all
)

// The suite runs in worlds: the host has the address 203.0.113.1 with nothing behind
// it, and a resolv.conf and a /dev/net/tun of its own. Other roles are:
//
//	hub     on a host of its own: runs TestUplink, see hub_test.go
//	probe   in the container's network namespace: see probe_test.go
//	victim  a monitor that is going to be killed
func TestMain(m *testing.M) {
	if os.Args[0] == Name {
		os.Exit(Main())
	}
	world.Main(m, world.Program{TUN: true, Host: makeHost, Roles: map[string]func() error{
		"hub":    func() error { os.Exit(m.Run()); return nil },
		"probe":  func() error { return probe(os.Args[1:]) },
		"victim": victim,
	}})
}

func makeHost() error {
	err := world.Uplink(map[string]string{"203.0.113.254": hostAddress + "/24", "2001:db8::fe": hostAddress6 + "/64"})
	if err != nil {
		return err
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 0"), 0); err != nil {
		return err
	}
	if err := world.Scratch(); err != nil {
		return err
	}
	os.Setenv(resolvFile, "/mnt/resolv.conf")
	if err := os.WriteFile("/mnt/resolv.conf", nil, 0o644); err != nil {
		return err
	}
	if err := unix.Mount("/mnt/resolv.conf", "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting a resolv.conf: %w", err)
	}
	return nil
}

// TestWorlds runs TestSuite in each world that this machine can make.
func TestWorlds(t *testing.T) {
	users := []world.User{
		{Name: "root", IDs: world.Root}, {Name: "one id", IDs: world.OneID}, {Name: "subordinate ids", IDs: world.Subordinate()},
	}
	world.Run(t, users, "-test.run="+cmp.Or(os.Getenv(runEnv), "^(TestSuite|TestHub)$"))
}
