package bridge

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ctr/netns"
	"ctr/netns/internal/world"
	"ctr/netns/lease"
	"ctr/netns/network"
)

// BenchmarkAttach attaches to a bridge that is there, with so many containers on it already.
func BenchmarkAttach(b *testing.B) {
	for _, others := range []int{0, 100} {
		b.Run(fmt.Sprintf("beside %d", others), func(b *testing.B) {
			s := newStage(b)
			n := s.network(network.Network{Name: "a", Subnets: subnets("172.30.0.0/16")})
			for range others + 1 {
				s.start(n)
			}
			var took []time.Duration
			for range b.N {
				c := &container{stage: s, ns: s.namespace(), n: n, lease: s.take(n, lease.Lease{})}
				c.o = Attachment{Interface: "eth0", Default4: true, Default6: true}
				s.Cleanup(c.stop)
				start := time.Now()
				if err := s.hub.Attach(c.ns, n, c.lease, c.o); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-median")
			b.ReportMetric(float64(took[0].Microseconds()), "µs-least")
		})
	}
}

// BenchmarkOpen finds a hub and closes it.
func BenchmarkOpen(b *testing.B) {
	s := newStage(b)
	for range b.N {
		s.open().Close()
	}
}

// BenchmarkFirst makes the hub, the bridge, and attaches the first container.
func BenchmarkFirst(b *testing.B) {
	if isRoot() {
		b.Skip("as root there is nothing to make")
	}
	var open, attach time.Duration
	for range b.N {
		start := time.Now()
		s := newStage(b)
		open += time.Since(start)
		n := s.network(network.Network{Name: "a", Subnets: subnets("172.30.0.0/16")})
		c := &container{stage: s, ns: s.namespace(), n: n, lease: s.take(n, lease.Lease{}), o: Attachment{Interface: "eth0", Default4: true}}
		start = time.Now()
		if err := s.hub.Attach(c.ns, n, c.lease, c.o); err != nil {
			b.Fatal(err)
		}
		attach += time.Since(start)
	}
	b.ReportMetric(float64(open.Microseconds())/float64(b.N), "µs/Open")
	b.ReportMetric(float64(attach.Microseconds())/float64(b.N), "µs/Attach")
}

// BenchmarkThroughput compares TCP through a bridge with TCP through a bare veth
// pair, in turns of a second so that the machine's other load meets both. It shows
// the medians.
func BenchmarkThroughput(b *testing.B) {
	s := newStage(b)
	if _, err := exec.LookPath("iperf3"); err != nil {
		b.Skip("iperf3 is not installed")
	}
	n := s.network(network.Network{Name: "a", Subnets: subnets("172.30.1.0/24"), Options: map[string]string{"mtu": "65520"}})
	one, two := s.start(n), s.start(n)
	bare1, bare2 := s.namespace(), s.namespace()
	pair := fmt.Sprintf("ip link add v0 mtu 65520 type veth peer name v1 mtu 65520 netns /proc/%d/fd/%d; ip addr add 10.9.9.1/24 dev v0; ip link set v0 up", unix.Getpid(), bare2.Fd())
	if out, err := world.Output(bare1, "sh", "-ec", pair); err != nil {
		b.Fatal(out)
	}
	if out, err := world.Output(bare2, "sh", "-ec", "ip addr add 10.9.9.2/24 dev v1; ip link set v1 up"); err != nil {
		b.Fatal(out)
	}
	for _, server := range []*os.File{bare2, two.ns} {
		c := exec.Command("iperf3", "-s")
		if err := netns.Do(server, c.Start); err != nil {
			b.Fatal(err)
		}
		defer func() { c.Process.Kill(); c.Wait() }()
	}
	time.Sleep(time.Second)
	measure := func(client *os.File, to string) float64 {
		for range 5 { // a busy machine interrupts iperf3
			out, _ := world.Output(client, "sh", "-c", "iperf3 -c "+to+" -t 1 -f m | awk '/receiver/ {print $7}'")
			var rate float64
			if _, err := fmt.Sscan(out, &rate); err == nil && rate > 0 {
				return rate
			}
			time.Sleep(time.Second)
		}
		b.Fatal("iperf3 does not work")
		return 0
	}
	var bare, bridged []float64
	for range 15 {
		bare = append(bare, measure(bare1, "10.9.9.2"))
		bridged = append(bridged, measure(one.ns, two.lease.IPv4.String()))
	}
	slices.Sort(bare)
	slices.Sort(bridged)
	b.ReportMetric(bare[7], "bare-Mbit/s")
	b.ReportMetric(bridged[7], "bridge-Mbit/s")
	b.ReportMetric(bridged[7]/bare[7], "ratio")
	b.ReportMetric(bridged[14]/bare[14], "ratio-of-best")
}
