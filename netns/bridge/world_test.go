package bridge

import (
	"os"
	"testing"

	"ctr/netns/internal/world"
	"ctr/pkg/userns"
)

const hostAddress, outsideAddress = "198.51.100.1", "198.51.100.2"

// All tests but TestWorlds run in worlds, whose uplink's other end, host1, is the
// outside until a test moves it away. Another role is:
//
//	holder  has a hub open until its stdin ends
func TestMain(m *testing.M) {
	world.Main(m, world.Program{
		Host:  func() error { return world.Uplink(map[string]string{outsideAddress: hostAddress + "/24"}) },
		Roles: map[string]func() error{"holder": hold},
	})
}

// inWorlds runs the tests that the arguments choose in each world.
func inWorlds(t *testing.T, args ...string) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to make the worlds")
	}
	world.Run(t, []world.User{{Name: "root", IDs: world.Root}, {Name: "user", IDs: world.Subordinate()}}, args...)
}

func TestWorlds(t *testing.T) { inWorlds(t, "-test.run=^TestHub", "-test.timeout=300s") }

// TestBench runs the benchmarks in the worlds: go test -run TestBench -v -args bench
func TestBench(t *testing.T) {
	if len(os.Args) == 0 || os.Args[len(os.Args)-1] != "bench" {
		t.Skip("run with -v -args bench")
	}
	inWorlds(t, "-test.run=^$", "-test.bench=.", "-test.benchtime=100x")
}

func isRoot() bool { return !userns.Inside() }
