package oci_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	rspec "github.com/opencontainers/runtime-spec/specs-go"

	"ctr/libpod/oci"
)

// BenchmarkStart starts, inside the namespaces that a monitor has as an ordinary
// user, containers that run true; see BenchmarkInside for the figures it prints.
func BenchmarkStart(b *testing.B) {
	runInside(b, ordinaryUser(b), "-test.run=^$", "-test.bench=^BenchmarkInside$", "-test.benchtime=50x")
}

// BenchmarkInside reports the medians of the steps, in milliseconds: create, start,
// from then to the exit, delete, and a process exec'd in a running container.
func BenchmarkInside(b *testing.B) {
	if os.Getenv(insideEnv) == "" {
		b.Skip("run by BenchmarkStart")
	}
	all := executors(b)
	for _, name := range []string{"builtin", "crun", "runc"} {
		if all[name] == nil {
			continue
		}
		b.Run(name, func(b *testing.B) { benchRun(b, all[name], func(*rspec.Spec) {}) })
		b.Run(name+"/no seccomp", func(b *testing.B) {
			benchRun(b, all[name], func(s *rspec.Spec) { s.Linux.Seccomp = nil })
		})
		b.Run(name+"/exec", func(b *testing.B) { benchExec(b, all[name]) })
	}
}

func benchRun(b *testing.B, x oci.Executor, edit func(*rspec.Spec)) {
	spec := newSpec(b, "true")
	edit(spec)
	var create, start, exit, remove, total []time.Duration
	for i := range b.N {
		dir := b.TempDir()
		t0 := time.Now()
		c, err := x.Create(context.Background(), fmt.Sprintf("bench-%d-%d", os.Getpid(), serial.Add(1)), dir, spec, oci.IO{})
		if err != nil {
			b.Fatalf("container %d: %v", i, err)
		}
		t1 := time.Now()
		if err := c.Start(context.Background()); err != nil {
			b.Fatal(err)
		}
		t2 := time.Now()
		wait(b, c)
		t3 := time.Now()
		if err := c.Delete(); err != nil {
			b.Fatal(err)
		}
		t4 := time.Now()
		create, start, exit = append(create, t1.Sub(t0)), append(start, t2.Sub(t1)), append(exit, t3.Sub(t2))
		remove, total = append(remove, t4.Sub(t3)), append(total, t3.Sub(t0))
	}
	report(b, "create-ms", create)
	report(b, "start-ms", start)
	report(b, "exit-ms", exit)
	report(b, "delete-ms", remove)
	report(b, "create-to-exit-ms", total)
}

func benchExec(b *testing.B, x oci.Executor) {
	c, err := x.Create(context.Background(), fmt.Sprintf("bench-%d-%d", os.Getpid(), serial.Add(1)), b.TempDir(), newSpec(b, "sleep", "1000"), oci.IO{})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Delete()
	if err := c.Start(context.Background()); err != nil {
		b.Fatal(err)
	}
	var took []time.Duration
	for range b.N {
		t0 := time.Now()
		p, err := c.Exec(context.Background(), process(b, "true"), oci.IO{})
		if err != nil {
			b.Fatal(err)
		}
		wait(b, p)
		took = append(took, time.Since(t0))
	}
	report(b, "exec-ms", took)
}

func report(b *testing.B, name string, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, name)
}
