package lease

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"ctr/pkg/process"
)

// TestMain lets the test program be one of many processes that take leases.
func TestMain(m *testing.M) {
	if run := os.Getenv("LEASE_TEST_RUN"); run != "" {
		n := testNetwork("10.9.0.0/24")
		for i := range 4 {
			l, err := Open(run).Take(n, Lease{Container: fmt.Sprintf("c%d-%d", os.Getpid(), i), Holder: process.Of(os.Getppid())})
			if err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			if i == 3 {
				if err := Open(run).Release(n.ID, l.Container); err != nil {
					fmt.Println(err)
					os.Exit(1)
				}
				break
			}
			fmt.Println(l.IPv4, l.MAC)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestManyProcessesNeverShareAnAddress(t *testing.T) {
	run := t.TempDir()
	var wait sync.WaitGroup
	var mu sync.Mutex
	owners := map[string]int{}
	for range 50 {
		wait.Go(func() {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "LEASE_TEST_RUN="+run)
			out, err := cmd.CombinedOutput()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
			for line := range strings.Lines(string(out)) {
				owners[line]++
			}
		})
	}
	wait.Wait()
	if len(owners) != 150 {
		t.Errorf("%d different addresses for 150 leases", len(owners))
	}
	for a, times := range owners {
		if times != 1 {
			t.Errorf("%d containers have %s", times, a)
		}
	}
	on, err := Open(run).Of(testNetwork("10.9.0.0/24").ID)
	if err != nil || len(on) != 150 {
		t.Errorf("%d leases on disk, %v", len(on), err)
	}
}

func TestLastLeaveAndFirstEntryAtOnce(t *testing.T) {
	run := t.TempDir()
	n := testNetwork("10.9.0.0/24")
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			l := Open(run)
			for j := range 50 {
				c := fmt.Sprintf("c%d-%d", i, j)
				if _, err := l.Take(n, Lease{Container: c, Holder: process.This()}); err != nil {
					t.Error(err)
					return
				}
				on, err := l.Of(n.ID)
				found := false
				for _, other := range on {
					found = found || other.Container == c
				}
				if err != nil || !found {
					t.Errorf("%s lost its lease: %v, %v", c, on, err)
				}
				if err := l.Release(n.ID, c); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if left, _ := filepath.Glob(filepath.Join(run, "net", "*")); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func BenchmarkTake(b *testing.B) {
	for _, others := range []int{0, 10, 1000} {
		b.Run(fmt.Sprint(others), func(b *testing.B) {
			l := Open("/dev/shm/" + filepath.Base(b.TempDir()) + fmt.Sprint(os.Getpid()))
			defer os.RemoveAll(filepath.Dir(l.Dir()))
			n := testNetwork("10.9.0.0/16")
			var leases []Lease
			for i := range others {
				leases = append(leases, Lease{
					Container: fmt.Sprintf("%064x", i), Names: []string{fmt.Sprint("name", i), "012345678901"}, Endpoint: strings.Repeat("e", 64),
					IPv4: addr(fmt.Sprintf("10.9.%d.%d", (i+2)>>8, (i+2)&255)), MAC: fmt.Sprintf("02:42:0a:09:%02x:%02x", (i+2)>>8, (i+2)&255), Holder: process.This(),
				})
			}
			if err := os.MkdirAll(l.Dir(), 0o700); err != nil {
				b.Fatal(err)
			}
			if err := l.write(n.ID, leases); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := l.Take(n, Lease{Container: "new", Names: []string{"new"}, Holder: process.This()}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
