package bridge

import (
	"fmt"
	"testing"
	"time"

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
			for range b.N {
				b.StopTimer()
				c := &container{stage: s, ns: s.namespace(), n: n, lease: s.take(n, lease.Lease{})}
				c.o = Attachment{Interface: "eth0", Default4: true, Default6: true}
				s.Cleanup(c.stop)
				b.StartTimer()
				if err := s.hub.Attach(c.ns, n, c.lease, c.o); err != nil {
					b.Fatal(err)
				}
			}
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
