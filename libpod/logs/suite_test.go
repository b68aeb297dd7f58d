package logs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ctr/libpod/config"
)

// eachFile runs a test for every driver that keeps files.
func eachFile(t *testing.T, o opts, test func(t *testing.T, l *testLog)) {
	for _, driver := range []string{JSONFile, K8sFile} {
		t.Run(driver, func(t *testing.T) { test(t, newTestLog(t, t.TempDir(), driver, o)) })
	}
}

// testLog is the log of a container that exists nowhere else.
type testLog struct {
	t   testing.TB
	cfg config.Log
	dir string
}

func newTestLog(t testing.TB, dir, driver string, o opts) *testLog {
	dir = filepath.Join(dir, strings.Repeat("ab", 32))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return &testLog{t, config.Log{Driver: driver, Opts: o}, dir}
}

func (l *testLog) open() Driver {
	l.t.Helper()
	d, err := Open(l.cfg, l.dir, Meta{ID: filepath.Base(l.dir), Name: "web"})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { d.Close() })
	return d
}

func (l *testLog) path() string { return Path(l.cfg, l.dir) }

// write writes lines from the one numbered from up to, without, the one numbered to;
// each a second after the other.
func (l *testLog) write(from, to int) {
	l.t.Helper()
	d := l.open()
	for i := from; i < to; i++ {
		if err := d.Write(Stdout, at(i), numbered(i), false); err != nil {
			l.t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		l.t.Fatal(err)
	}
}

func at(i int) time.Time { return noon.Add(time.Duration(i) * time.Second) }

func numbered(i int) []byte { return fmt.Appendf(nil, "line %d", i) }

// read returns the lines that o selects, one after the other.
func (l *testLog) read(o ReadOptions) string {
	l.t.Helper()
	var out strings.Builder
	err := Read(context.Background(), l.cfg, l.dir, o, func(r Record) error {
		out.Write(r.Line)
		return nil
	})
	if err != nil {
		l.t.Error(err)
	}
	return out.String()
}

// check reads and compares with the numbered lines.
func (l *testLog) check(o ReadOptions, from, to int) {
	l.t.Helper()
	got := l.read(o)
	var want strings.Builder
	for i := from; i < to; i++ {
		want.Write(append(numbered(i), '\n'))
	}
	if got != want.String() {
		l.t.Errorf("want lines %d to %d, got %d lines: %.200q", from, to-1, strings.Count(got, "\n"), got)
	}
}

func (l *testLog) files() []string {
	l.t.Helper()
	names, err := list(l.path())
	if err != nil {
		l.t.Fatal(err)
	}
	for i := range names {
		names[i] = strings.TrimPrefix(names[i], l.path())
	}
	return names
}

func ptr[T any](v T) *T { return &v }

func TestWhatWasWrittenIsRead(t *testing.T) {
	eachFile(t, nil, func(t *testing.T, l *testLog) {
		l.check(ReadOptions{}, 0, 0) // never started
		d := l.open()
		type line struct {
			stream  Stream
			text    string
			partial bool
		}
		lines := []line{{Stdout, "one", false}, {Stderr, "two", true}, {Stdout, "", false}, {Stderr, "!", false}, {Stdout, "no end", true}}
		for i, l := range lines {
			if err := d.Write(l.stream, at(i), []byte(l.text), l.partial); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Error("second close:", err)
		}
		if err := d.Write(Stdout, noon, nil, false); !errors.Is(err, os.ErrClosed) {
			t.Error("write after close:", err)
		}
		n := 0
		err := Read(context.Background(), l.cfg, l.dir, ReadOptions{}, func(r Record) error {
			want := lines[n]
			if !want.partial {
				want.text += "\n"
			}
			if got := (line{r.Stream, string(r.Line), r.Partial}); got != want || !r.Time.Equal(at(n)) {
				t.Errorf("got %v at %v, want %v at %v", got, r.Time, want, at(n))
			}
			n++
			return nil
		})
		if err != nil || n != len(lines) {
			t.Errorf("%d records, %v", n, err)
		}
	})
}

func TestDriversThatKeepNothing(t *testing.T) {
	for _, driver := range []string{None, Passthrough} {
		l := newTestLog(t, t.TempDir(), driver, nil)
		d := l.open()
		if err := d.Write(Stdout, noon, []byte("x"), false); err != nil {
			t.Error(err)
		}
		err := Read(context.Background(), l.cfg, l.dir, ReadOptions{}, nil)
		if !errors.Is(err, ErrNotReadable) || err.Error() != "configured logging driver does not support reading" {
			t.Error(err)
		}
		if found, _ := os.ReadDir(l.dir); len(found) > 0 {
			t.Errorf("%s wrote %v", driver, found)
		}
	}
}

func TestNextStartGoesOn(t *testing.T) {
	eachFile(t, nil, func(t *testing.T, l *testLog) {
		l.write(0, 3)
		l.write(3, 5)
		l.check(ReadOptions{}, 0, 5)
		info, err := os.Stat(l.path())
		if err != nil || info.Mode().Perm()&0o027 != 0 {
			t.Errorf("mode %v %v", info.Mode(), err)
		}
	})
}

func TestTornLineIsLeftOut(t *testing.T) {
	eachFile(t, nil, func(t *testing.T, l *testLog) {
		l.write(0, 3)
		text, err := os.ReadFile(l.path())
		if err != nil {
			t.Fatal(err)
		}
		for cut := 1; cut < len(text)/3; cut++ {
			if err := os.WriteFile(l.path(), text[:len(text)-cut], 0o600); err != nil {
				t.Fatal(err)
			}
			l.check(ReadOptions{}, 0, 2)
			l.check(ReadOptions{Tail: ptr(1)}, 1, 2)
		}
		l.write(2, 4) // does not go on within the torn line
		l.check(ReadOptions{}, 0, 4)
	})
}

func TestLogThatIsNoFile(t *testing.T) {
	eachFile(t, nil, func(t *testing.T, l *testLog) {
		if err := os.Mkdir(l.path(), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(l.cfg, l.dir, Meta{}); err == nil {
			t.Error("a directory became a log")
		}
	})
	eachFile(t, nil, func(t *testing.T, l *testLog) {
		mkfifo(t, l.path())
		if _, err := Open(l.cfg, l.dir, Meta{}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Error("writing a FIFO:", err)
		}
		err := Read(context.Background(), l.cfg, l.dir, ReadOptions{}, nil)
		if err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Error("reading a FIFO:", err)
		}
	})
}

func TestSinceAndUntil(t *testing.T) {
	for _, o := range []opts{nil, {"max-size": "200", "max-file": "50"}, {"max-size": "200", "max-file": "50", "compress": "true"}} {
		eachFile(t, o, func(t *testing.T, l *testLog) {
			l.write(0, 20)
			l.check(ReadOptions{Since: at(15)}, 15, 20)
			l.check(ReadOptions{Until: at(4)}, 0, 5)
			l.check(ReadOptions{Since: at(7), Until: at(9)}, 7, 10)
			l.check(ReadOptions{Tail: ptr(5), Until: at(17)}, 15, 18)
			l.check(ReadOptions{Since: at(30)}, 0, 0)
		})
	}
}

func TestEmitAndContextEndIt(t *testing.T) {
	eachFile(t, nil, func(t *testing.T, l *testLog) {
		l.write(0, 20)
		enough := errors.New("enough")
		n := 0
		err := Read(context.Background(), l.cfg, l.dir, ReadOptions{Follow: true}, func(Record) error {
			if n++; n == 3 {
				return enough
			}
			return nil
		})
		if !errors.Is(err, enough) || n != 3 {
			t.Error(n, err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		err = Read(ctx, l.cfg, l.dir, ReadOptions{Follow: true}, func(r Record) error {
			if string(r.Line) == "line 19\n" {
				cancel()
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
