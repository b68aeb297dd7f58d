package logs

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func mkfifo(t *testing.T, path string) {
	t.Helper()
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRotationLosesOnlyTheOldest(t *testing.T) {
	for _, compress := range []string{"false", "true"} {
		eachFile(t, opts{"max-size": "1000", "max-file": "4", "compress": compress}, func(t *testing.T, l *testLog) {
			l.write(0, 200)
			got := strings.SplitAfter(l.read(ReadOptions{}), "\n")
			got = got[:len(got)-1]
			if len(got) < 30 || len(got) > 150 {
				t.Fatalf("%d lines in 4 files of 1000 bytes", len(got))
			}
			l.check(ReadOptions{}, 200-len(got), 200)
			names := l.files()
			want := []string{".3", ".2", ".1", ""}
			if compress == "true" {
				want = []string{".3.gz", ".2.gz", ".1.gz", ""}
				if names[2] == ".1" { // Close does not wait for it
					want[2] = ".1"
				}
			}
			if !slices.Equal(names, want) {
				t.Errorf("files %v", names)
			}
		})
	}
}

func TestFileSizesAreDockers(t *testing.T) {
	eachFile(t, opts{"max-size": "1000", "max-file": "100"}, func(t *testing.T, l *testLog) {
		l.write(0, 100)
		for _, suffix := range l.files()[:2] {
			text, err := os.ReadFile(l.path() + suffix)
			if err != nil {
				t.Fatal(err)
			}
			last := len(text) - 1 - bytes.LastIndexByte(text[:len(text)-1], '\n')
			if len(text) < 1000 || len(text)-last >= 1000 {
				t.Errorf("%s has %d bytes, its last line %d", suffix, len(text), last)
			}
		}
	})
}

func TestOneFileStartsOver(t *testing.T) {
	eachFile(t, opts{"max-size": "1000"}, func(t *testing.T, l *testLog) {
		l.write(0, 100)
		if names := l.files(); !slices.Equal(names, []string{""}) {
			t.Errorf("files %v", names)
		}
		n := strings.Count(l.read(ReadOptions{}), "\n")
		if n == 0 || n > 30 {
			t.Fatalf("%d lines", n)
		}
		l.check(ReadOptions{}, 100-n, 100)
	})
}

func TestRotationAfterACrash(t *testing.T) {
	eachFile(t, opts{"max-size": "300", "max-file": "100", "compress": "true"}, func(t *testing.T, l *testLog) {
		l.write(0, 20)
		// between the renames: the log has no file, and leftovers lie about
		next, err := os.OpenFile(l.path()+making, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		next.WriteString("rubbish")
		next.Close()
		if err := shift(l.path(), 100); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(rotated(l.path(), 1)+compressed+making, []byte("rubbish"), 0o600); err != nil {
			t.Fatal(err)
		}
		l.check(ReadOptions{}, 0, 20)
		l.check(ReadOptions{Tail: ptr(7)}, 13, 20)
		l.write(20, 40)
		l.check(ReadOptions{}, 0, 40)
		// between compressing and removing: both are there
		if err := os.WriteFile(rotated(l.path(), 2), gunzip(t, rotated(l.path(), 2)+compressed), 0o600); err != nil {
			t.Fatal(err)
		}
		l.check(ReadOptions{}, 0, 40)
		l.write(40, 60)
		l.check(ReadOptions{}, 0, 60)
	})
}

func gunzip(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestDamagedFileCostsOnlyItself(t *testing.T) {
	eachFile(t, opts{"max-size": "300", "max-file": "100", "compress": "true"}, func(t *testing.T, l *testLog) {
		l.write(0, 40)
		name := rotated(l.path(), 3) + compressed
		if err := os.Truncate(name, 30); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		err := Read(t.Context(), l.cfg, l.dir, ReadOptions{}, func(r Record) error { out.Write(r.Line); return nil })
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Error(err)
		}
		if !strings.HasPrefix(out.String(), "line 0\n") || !strings.HasSuffix(out.String(), "line 39\n") {
			t.Errorf("got %q", out.String())
		}
	})
}

// TestMillionLines writes a million lines through a pipe and rotation and reads them.
func TestMillionLines(t *testing.T) {
	const lines = 1_000_000
	eachFile(t, opts{"max-size": "2m", "max-file": "1000"}, func(t *testing.T, l *testLog) {
		d := l.open()
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		go func() {
			defer w.Close()
			var buf []byte
			for i := range lines {
				buf = fmt.Appendf(buf, "line %d\n", i)
				if len(buf) > 4000 {
					w.Write(buf)
					buf = buf[:0]
				}
			}
			w.Write(buf)
		}()
		if err := Copy(r, Stdout, d, nil); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		written := time.Since(began)
		began = time.Now()
		n := 0
		var want []byte
		err = Read(t.Context(), l.cfg, l.dir, ReadOptions{}, func(r Record) error {
			if want = append(fmt.Appendf(want[:0], "line %d", n), '\n'); !bytes.Equal(r.Line, want) {
				return fmt.Errorf("got %q, want %q", r.Line, want)
			}
			n++
			return nil
		})
		if err != nil || n != lines {
			t.Fatal(n, err)
		}
		t.Logf("%d files; written in %v, read in %v", len(l.files()), written, time.Since(began))
	})
}
