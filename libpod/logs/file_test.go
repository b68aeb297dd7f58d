package logs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// smallDisk mounts a file system of the given size.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("a small disk needs root: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func TestFullDisk(t *testing.T) {
	for _, driver := range []string{JSONFile, K8sFile} {
		for name, o := range map[string]opts{"one file": nil, "rotated": {"max-size": "20000", "max-file": "100"}} {
			t.Run(driver+", "+name, func(t *testing.T) { fillDisk(t, driver, o) })
		}
	}
}

func fillDisk(t *testing.T, driver string, o opts) {
	dir := smallDisk(t, 256<<10)
	l := newTestLog(t, dir, driver, o)
	ballast := dir + "/ballast"
	if err := os.WriteFile(ballast, make([]byte, 128<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	d := l.open()
	faults := 0
	n := 0
	write := func(lines int) {
		for range lines {
			if err := d.Write(Stdout, at(n), numbered(n), false); err != nil {
				faults++
				if !errors.Is(err, unix.ENOSPC) {
					t.Fatal(err)
				}
			}
			n++
		}
	}
	write(20_000)
	if faults != 1 || d.Dropped() == 0 {
		t.Errorf("%d errors, %d lines dropped", faults, d.Dropped())
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	dropped := d.Dropped()
	write(100)
	if err := d.Close(); err != nil || faults != 1 {
		t.Errorf("with room again: %v, %d errors", err, faults)
	}
	after := d.Dropped() - dropped // what was still buffered is dropped before there is room
	read := strings.SplitAfter(strings.TrimSuffix(l.read(ReadOptions{}), "\n"), "\n")
	if got := int64(len(read)); got != int64(n)-d.Dropped() {
		t.Errorf("%d lines are there, %d of %d were dropped", got, d.Dropped(), n)
	}
	if last := read[len(read)-1]; last != string(numbered(n-1)) || after != 0 {
		t.Errorf("the last line is %q; %d dropped with room", last, after)
	}
	for _, suffix := range l.files() {
		text, err := os.ReadFile(l.path() + suffix)
		if err != nil || len(text) > 0 && text[len(text)-1] != '\n' || bytes.Contains(text, []byte("\n\n")) {
			t.Errorf("%s is torn (%v)", suffix, err)
		}
	}
}

func TestBothStreamsAtOnce(t *testing.T) {
	eachFile(t, opts{"max-size": "50k", "max-file": "100", "mode": "blocking"}, func(t *testing.T, l *testLog) {
		d := l.open()
		const lines = 5000
		var writers sync.WaitGroup
		for _, s := range []Stream{Stdout, Stderr} {
			writers.Go(func() {
				for i := range lines {
					if err := d.Write(s, time.Now(), numbered(i), false); err != nil {
						t.Error(err)
					}
				}
			})
		}
		writers.Wait()
		d.Close()
		var next [streams]int
		err := Read(t.Context(), l.cfg, l.dir, ReadOptions{}, func(r Record) error {
			if want := string(numbered(next[r.Stream])) + "\n"; string(r.Line) != want {
				return fmt.Errorf("%v: got %q, want %q", r.Stream, r.Line, want)
			}
			next[r.Stream]++
			return nil
		})
		if err != nil || next[Stdout] != lines || next[Stderr] != lines {
			t.Error(next, err)
		}
	})
}

// stalled is a driver that takes a line each time that it is let.
type stalled struct {
	memory
	let chan bool
}

func (s *stalled) Write(stream Stream, t time.Time, line []byte, partial bool) error {
	<-s.let
	return s.memory.Write(stream, t, line, partial)
}

func TestNonBlockingDropsInsteadOfWaiting(t *testing.T) {
	s := &stalled{let: make(chan bool)}
	d := newRing(s, 10_000)
	line := bytes.Repeat([]byte("x"), 100)
	for range 1000 { // would hang if it waited
		if err := d.Write(Stderr, noon, line, true); err != nil {
			t.Fatal(err)
		}
	}
	close(s.let)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	kept := len(s.records)
	if kept < 10_000/200 || kept > 2*10_000/100 || int(d.Dropped())+kept != 1000 {
		t.Errorf("%d kept, %d dropped", kept, d.Dropped())
	}
	for _, r := range s.records {
		if !bytes.Equal(r.Line, line) || r.Stream != Stderr || !r.Partial || !r.Time.Equal(noon) {
			t.Fatalf("kept %+v", r)
		}
	}
	if err := d.Write(Stdout, noon, line, false); !errors.Is(err, os.ErrClosed) {
		t.Error("write after close:", err)
	}
}

func TestNonBlockingFile(t *testing.T) {
	eachFile(t, opts{"mode": "non-blocking", "max-buffer-size": "64m"}, func(t *testing.T, l *testLog) {
		l.write(0, 5000)
		l.check(ReadOptions{}, 0, 5000)
	})
}

func TestNonBlockingReportsFaults(t *testing.T) {
	full := errors.New("full")
	s := &stalled{let: make(chan bool), memory: memory{fault: full}}
	d := newRing(s, 10_000)
	if err := d.Write(Stdout, noon, nil, false); err != nil {
		t.Fatal(err)
	}
	s.let <- true
	// the second line is only taken after the first one's fault is noted
	if err := d.Write(Stdout, noon, nil, false); err != nil && !errors.Is(err, full) {
		t.Fatal(err)
	} else if err == nil {
		s.let <- true
		if err := d.Write(Stdout, noon, nil, false); !errors.Is(err, full) {
			t.Error("not reported:", err)
		}
	}
	close(s.let)
	d.Close()
}

func BenchmarkWrite(b *testing.B) {
	for _, driver := range []string{JSONFile, K8sFile} {
		for _, size := range []int{20, 100, 1000} {
			b.Run(fmt.Sprintf("%s/%d", driver, size), func(b *testing.B) {
				l := newTestLog(b, b.TempDir(), driver, opts{"max-size": "100m"})
				d := l.open()
				line := bytes.Repeat([]byte("abc \"x\" "), size/8+1)[:size]
				b.SetBytes(int64(size))
				b.ReportAllocs()
				now := time.Now()
				for i := range b.N {
					if i%16 == 0 {
						now = time.Now()
					}
					if err := d.Write(Stdout, now, line, false); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for _, driver := range []string{JSONFile, K8sFile} {
		b.Run(driver, func(b *testing.B) {
			l := newTestLog(b, b.TempDir(), driver, nil)
			l.write(0, b.N)
			b.ReportAllocs()
			b.ResetTimer()
			if err := Read(b.Context(), l.cfg, l.dir, ReadOptions{}, func(Record) error { return nil }); err != nil {
				b.Fatal(err)
			}
		})
	}
}
