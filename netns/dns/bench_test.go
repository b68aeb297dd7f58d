package dns

import (
	"fmt"
	"os"
	"testing"

	"ctr/netns"
	"ctr/netns/lease"
)

// BenchmarkServe is what the start of a container pays.
func BenchmarkServe(b *testing.B) {
	container(b)
	for b.Loop() {
		b.StopTimer()
		ns, err := netns.New()
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		s, err := Serve(ns, Config{HostConfig: os.DevNull})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		s.Close()
		ns.Close()
		b.StartTimer()
	}
}

// BenchmarkSockets is the same without packet rules.
func BenchmarkSockets(b *testing.B) {
	container(b)
	for b.Loop() {
		b.StopTimer()
		ns, err := netns.New()
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		datagrams, streams, err := listen(ns, func(uint16) error { return nil })
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		datagrams.Close()
		streams.Close()
		ns.Close()
		b.StartTimer()
	}
}

// BenchmarkQueries asks for a thousand containers, with so many questions on the way at once.
func BenchmarkQueries(b *testing.B) {
	for _, flight := range []int{1, 20} {
		b.Run(fmt.Sprint(flight), func(b *testing.B) {
			ns := container(b)
			f := files{b.TempDir()}
			var leases []lease.Lease
			var queries [][]byte
			for i := range 1000 {
				name := fmt.Sprintf("container%d", i)
				leases = append(leases, leased(fmt.Sprintf("10.1.%d.%d", i/250, i%250), "", name, fmt.Sprintf("%012x", i)))
				queries = append(queries, question(name+".", typeA))
			}
			f.write(b, "one", leases...)
			start(b, ns, Config{Names: FromLeases(f, func() []Attached { return []Attached{{NetworkID: "one", Name: "n", DNS: true}} })})
			conn := client(b, ns, "udp")
			reply := make([]byte, 512)
			sent, received := 0, 0
			for range flight - 1 {
				conn.Write(queries[sent%1000])
				sent++
			}
			for b.Loop() {
				conn.Write(queries[sent%1000])
				sent++
				if n, err := conn.Read(reply); err != nil || n < 40 {
					b.Fatal(n, err)
				}
				received++
			}
			b.ReportMetric(float64(received)/b.Elapsed().Seconds(), "queries/s")
		})
	}
}
