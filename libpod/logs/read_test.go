package logs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

func TestTail(t *testing.T) {
	for name, o := range map[string]opts{
		"one file":   nil,
		"rotated":    {"max-size": "300", "max-file": "50"},
		"compressed": {"max-size": "300", "max-file": "50", "compress": "true"},
	} {
		t.Run(name, func(t *testing.T) {
			eachFile(t, o, func(t *testing.T, l *testLog) {
				l.check(ReadOptions{Tail: ptr(3)}, 0, 0)
				l.write(0, 40)
				for n := range 45 {
					l.check(ReadOptions{Tail: &n}, max(40-n, 0), 40)
				}
			})
		})
	}
}

// TestTailCountsLinesNotPieces compares with the lines that all pieces make together.
func TestTailCountsLinesNotPieces(t *testing.T) {
	for name, o := range map[string]opts{
		"one file":   nil,
		"rotated":    {"max-size": "30000", "max-file": "50"},
		"compressed": {"max-size": "30000", "max-file": "50", "compress": "true"},
	} {
		t.Run(name, func(t *testing.T) {
			eachFile(t, o, func(t *testing.T, l *testLog) {
				var lines []string
				for i := range 12 {
					lines = append(lines, strings.Repeat(fmt.Sprint(i%10), 1+i%4*maxLine)+"\n")
				}
				lines = append(lines, "no end")
				d := l.open()
				if err := Copy(strings.NewReader(strings.Join(lines, "")), Stdout, d, nil); err != nil {
					t.Fatal(err)
				}
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				for n := range len(lines) + 2 {
					got := l.read(ReadOptions{Tail: &n})
					if want := strings.Join(lines[max(len(lines)-n, 0):], ""); got != want {
						t.Errorf("tail %d: %d bytes, want %d", n, len(got), len(want))
					}
				}
			})
		})
	}
}

func TestTailReadsOnlyTheEnd(t *testing.T) {
	eachFile(t, nil, func(t *testing.T, l *testLog) {
		l.write(0, 1000)
		// a hole of 1 TB before it; a file system that cannot have that proves nothing
		text, err := os.ReadFile(l.path())
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(l.path())
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt(append([]byte{'\n'}, text...), 1<<40); err != nil {
			t.Skip("no large files here:", err)
		}
		l.check(ReadOptions{Tail: ptr(900)}, 100, 1000)
	})
}

// following starts a reader that follows; what it emits arrives in the channel, which
// is closed at its end. end says that the container has ended.
func (l *testLog) following(o ReadOptions) (lines <-chan string, end func()) {
	out, done := make(chan string, 1000), make(chan struct{})
	o.Follow, o.Done = true, done
	go func() {
		defer close(out)
		err := Read(l.t.Context(), l.cfg, l.dir, o, func(r Record) error {
			out <- string(r.Line)
			return nil
		})
		if err != nil {
			l.t.Error(err)
		}
	}()
	return out, func() { close(done) }
}

func TestFollow(t *testing.T) {
	eachFile(t, nil, func(t *testing.T, l *testLog) {
		lines, end := l.following(ReadOptions{}) // before there is a file
		d := l.open()
		for i := range 50 {
			if err := d.Write(Stdout, at(i), numbered(i), false); err != nil {
				t.Fatal(err)
			}
			if got := <-lines; got != string(numbered(i))+"\n" { // without closing the driver
				t.Fatalf("got %q", got)
			}
		}
		if err := d.Write(Stdout, noon, []byte("last"), false); err != nil {
			t.Fatal(err)
		}
		d.Close()
		end()
		var rest []string
		for line := range lines {
			rest = append(rest, line)
		}
		if len(rest) != 1 || rest[0] != "last\n" {
			t.Errorf("after the end: %q", rest)
		}
	})
}

func TestFollowTheTail(t *testing.T) {
	for _, n := range []int{0, 2} {
		eachFile(t, opts{"max-size": "500", "max-file": "2"}, func(t *testing.T, l *testLog) {
			l.write(0, 10)
			lines, end := l.following(ReadOptions{Tail: &n})
			for i := 10 - n; i < 10; i++ {
				if got := <-lines; got != string(numbered(i))+"\n" {
					t.Errorf("got %q for line %d", got, i)
				}
			}
			if n > 0 { // else it cannot be known whether it has begun
				l.write(10, 11)
				if got := <-lines; got != "line 10\n" {
					t.Errorf("got %q", got)
				}
			}
			end()
			for line := range lines {
				t.Errorf("also %q", line)
			}
		})
	}
}

func TestFollowUntil(t *testing.T) {
	eachFile(t, nil, func(t *testing.T, l *testLog) {
		l.write(0, 10)
		lines, _ := l.following(ReadOptions{Until: at(4)})
		n := 0
		for range lines {
			n++
		}
		if n != 5 {
			t.Errorf("%d lines", n)
		}
		lines, _ = l.following(ReadOptions{Until: time.Now().Add(20 * time.Millisecond)})
		for n = 0; ; n++ {
			if _, more := <-lines; !more { // ends though nothing comes
				break
			}
		}
		if want := strings.Count(l.read(ReadOptions{Until: time.Now()}), "\n"); n != want {
			t.Errorf("%d lines, want %d", n, want)
		}
	})
}

// TestFollowAcrossRotation has readers of different speeds follow a writer that
// rotates often: each must see every line once.
func TestFollowAcrossRotation(t *testing.T) {
	const lines = 20_000
	for name, o := range map[string]opts{
		"plain":      {"max-size": "20000", "max-file": "1000"},
		"compressed": {"max-size": "200000", "max-file": "1000", "compress": "true"},
	} {
		t.Run(name, func(t *testing.T) {
			eachFile(t, o, func(t *testing.T, l *testLog) {
				d := l.open()
				var readers []<-chan string
				var ends []func()
				for range 3 {
					r, end := l.following(ReadOptions{})
					readers, ends = append(readers, r), append(ends, end)
				}
				checked := make(chan error)
				for i, r := range readers {
					go func() { checked <- checkSequence(r, lines, i == 2) }()
				}
				for i := range lines {
					if err := d.Write(Stream(i%2), at(i), numbered(i), false); err != nil {
						t.Fatal(err)
					}
					if i%1000 == 0 {
						time.Sleep(time.Millisecond) // so that readers get to wait
					}
				}
				d.Close()
				for _, end := range ends {
					end()
				}
				for range readers {
					if err := <-checked; err != nil {
						t.Error(err)
					}
				}
				if len(l.files()) < 5 {
					t.Errorf("there was no rotation: %v", l.files())
				}
			})
		})
	}
}

func checkSequence(lines <-chan string, want int, slow bool) (err error) {
	n := 0
	for line := range lines {
		if expected := string(numbered(n)) + "\n"; line != expected && err == nil {
			err = fmt.Errorf("got %q, want %q", line, expected)
		}
		if n++; slow && rand.IntN(500) == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	if err == nil && n != want {
		err = fmt.Errorf("%d lines, want %d", n, want)
	}
	return err
}

func TestFollowWhatOnlyTheReaderStillHas(t *testing.T) {
	eachFile(t, opts{"max-size": "1000"}, func(t *testing.T, l *testLog) {
		lines, end := l.following(ReadOptions{})
		l.write(0, 3)
		for range 3 {
			<-lines
		}
		l.write(3, 100) // the file that is being read is gone
		end()
		last := ""
		for line := range lines {
			last = line
		}
		if last != "line 99\n" {
			t.Errorf("the last line was %q", last)
		}
	})
}

func TestFollowAnEmptiedFile(t *testing.T) {
	eachFile(t, nil, func(t *testing.T, l *testLog) {
		l.write(0, 10)
		lines, end := l.following(ReadOptions{})
		for range 10 {
			<-lines
		}
		if err := os.Truncate(l.path(), 0); err != nil {
			t.Fatal(err)
		}
		l.write(20, 21)
		end()
		var got []string
		for line := range lines {
			got = append(got, line)
		}
		if len(got) != 1 || got[0] != "line 20\n" {
			t.Errorf("got %q", got)
		}
	})
}

func TestFollowSeesNoHalfLine(t *testing.T) {
	eachFile(t, nil, func(t *testing.T, l *testLog) {
		l.write(0, 2)
		text, err := os.ReadFile(l.path())
		if err != nil {
			t.Fatal(err)
		}
		first := bytes.IndexByte(text, '\n') + 1
		if err := os.WriteFile(l.path(), text[:first], 0o600); err != nil {
			t.Fatal(err)
		}
		lines, end := l.following(ReadOptions{})
		if got := <-lines; got != "line 0\n" {
			t.Errorf("got %q", got)
		}
		f, err := os.OpenFile(l.path(), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, b := range text[first:] { // a byte at a time
			f.Write([]byte{b})
		}
		if got := <-lines; got != "line 1\n" {
			t.Errorf("got %q", got)
		}
		end()
		for line := range lines {
			t.Errorf("also %q", line)
		}
	})
}
