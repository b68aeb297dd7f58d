package link

import (
	"slices"
	"testing"
	"time"

	"ctr/netns"
)

// BenchmarkNew and BenchmarkConnect are run in a network of their own:
//
//	unshare --user --map-root-user --net go test -run '^$' -bench . ./netns/link
func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		ns, err := netns.New()
		if err != nil {
			b.Fatal(err)
		}
		ns.Close()
	}
}

// BenchmarkConnect reports the median, since a busy machine makes the mean useless.
func BenchmarkConnect(b *testing.B) {
	for _, helper := range []string{Pasta, Slirp4netns} {
		b.Run(helper, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				took = append(took, connectOnce(b, helper))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-median")
		})
	}
}

func connectOnce(b *testing.B, helper string) time.Duration {
	ns, err := netns.New()
	if err != nil {
		b.Fatal(err)
	}
	defer ns.Close()
	begin := time.Now()
	l, err := Connect(b.Context(), ns, Options{Helper: helper})
	if err != nil {
		b.Skip(err)
	}
	took := time.Since(begin)
	l.Close()
	return took
}
