package logs

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

// memory is a driver that keeps records, and fails when told so.
type memory struct {
	mu      sync.Mutex
	records []Record
	fault   error
}

func (m *memory) Write(s Stream, t time.Time, line []byte, partial bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records = append(m.records, Record{Stream: s, Time: t, Line: bytes.Clone(line), Partial: partial})
	return m.fault
}
func (m *memory) Dropped() int64 { return 0 }
func (m *memory) Close() error   { return nil }

// pieces are what Docker makes of data, whatever the reads were.
func pieces(data []byte) (lines []Record) {
	for len(data) > 0 {
		end := bytes.IndexByte(data[:min(len(data), maxLine)], '\n')
		if end >= 0 {
			lines = append(lines, Record{Line: data[:end]})
			data = data[end+1:]
			continue
		}
		end = min(len(data), maxLine)
		lines = append(lines, Record{Line: data[:end], Partial: true})
		data = data[end:]
	}
	return lines
}

// sized delivers its reader's bytes in reads of the given sizes, again and again.
type sized struct {
	r     io.Reader
	sizes []byte
	n     int
}

func (s *sized) Read(p []byte) (int, error) {
	if len(s.sizes) > 0 {
		size := 1 + int(s.sizes[s.n%len(s.sizes)])*97
		s.n++
		p = p[:min(len(p), size)]
	}
	return s.r.Read(p)
}

func checkCopy(t *testing.T, data []byte, sizes []byte) {
	t.Helper()
	var m memory
	var tee bytes.Buffer
	err := Copy(&sized{r: bytes.NewReader(data), sizes: sizes}, Stderr, &m, func(p []byte) { tee.Write(p) })
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(tee.Bytes(), data) {
		t.Fatalf("tee got %d bytes of %d", tee.Len(), len(data))
	}
	want := pieces(data)
	if len(m.records) != len(want) {
		t.Fatalf("%d records, want %d", len(m.records), len(want))
	}
	for i, r := range m.records {
		if !bytes.Equal(r.Line, want[i].Line) || r.Partial != want[i].Partial || r.Stream != Stderr {
			t.Fatalf("record %d: %.40q… (%d, %v), want %.40q… (%d, %v)",
				i, r.Line, len(r.Line), r.Partial, want[i].Line, len(want[i].Line), want[i].Partial)
		}
		if i > 0 && m.records[i-1].Partial && !r.Time.Equal(m.records[i-1].Time) {
			t.Fatalf("record %d goes on at another time", i)
		}
	}
}

func TestCopySplitsAsDocker(t *testing.T) {
	long := bytes.Repeat([]byte("0123456789abcdef"), 5*maxLine/16)
	for name, data := range map[string][]byte{
		"empty": nil, "one": []byte("a\n"), "blank": []byte("\n\n"), "no end": []byte("a\nb"), "tty": []byte("a\r\nb\r\n"),
		"limit-1": append(long[:maxLine-1:maxLine-1], '\n'), "limit": append(long[:maxLine:maxLine], '\n'),
		"limit+1": append(long[:maxLine+1:maxLine+1], '\n'), "long": append(long, "\nx\n"...), "long, no end": long,
	} {
		t.Run(name, func(t *testing.T) {
			for _, sizes := range [][]byte{nil, {0}, {0, 1, 2}, {255}, {168, 169}} {
				checkCopy(t, data, sizes)
			}
		})
	}
}

func FuzzCopy(f *testing.F) {
	f.Add([]byte("a\nbc"), []byte{0, 3}, uint16(3))
	f.Add([]byte("a\n"), []byte{100}, uint16(9000))
	f.Fuzz(func(t *testing.T, seed, sizes []byte, repeat uint16) {
		data := bytes.Repeat(seed, 1+int(repeat)%(1+(100<<10)/(len(seed)+1)))
		checkCopy(t, data, sizes)
	})
}

func TestCopyReadsAPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var m memory
	teed := make(chan string)
	result := make(chan error)
	go func() { result <- Copy(r, Stdout, &m, func(p []byte) { teed <- string(p) }) }()
	for _, text := range []string{"$ ", "ls", "\n", "a\nb\n", "$ "} {
		if _, err := w.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if got := <-teed; got != text {
			t.Errorf("tee got %q for %q", got, text)
		}
	}
	w.Close()
	if err := <-result; err != nil {
		t.Error(err)
	}
	var got []string
	for _, r := range m.records {
		got = append(got, string(r.Line))
	}
	if want := []string{"$ ls", "a", "b", "$ "}; !equal(got, want) || !m.records[3].Partial {
		t.Errorf("got %q, want %q", got, want)
	}
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestCopyEndsWhenThePipeIsClosedHere(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var m memory
	teed := make(chan bool, 1)
	result := make(chan error)
	go func() { result <- Copy(r, Stdout, &m, func([]byte) { teed <- true }) }()
	w.WriteString("half")
	<-teed
	r.Close()
	if err := <-result; err == nil {
		t.Error("that was not the end of the output")
	}
	if len(m.records) != 1 || string(m.records[0].Line) != "half" {
		t.Errorf("kept %v", m.records)
	}
}

func TestCopyGoesOnWithoutALog(t *testing.T) {
	full := errors.New("full")
	m := memory{fault: full}
	var tee bytes.Buffer
	err := Copy(bytes.NewReader([]byte("a\nb\n")), Stdout, &m, func(p []byte) { tee.Write(p) })
	if !errors.Is(err, full) || tee.String() != "a\nb\n" || len(m.records) != 2 {
		t.Errorf("%v, tee %q, %d records", err, tee.String(), len(m.records))
	}
	for _, d := range []Driver{nil, discard{}} {
		tee.Reset()
		if err := Copy(bytes.NewReader([]byte("a\nb")), Stdout, d, func(p []byte) { tee.Write(p) }); err != nil || tee.String() != "a\nb" {
			t.Errorf("%T: %v, tee %q", d, err, tee.String())
		}
	}
	broken := errors.New("broken")
	if err := Copy(iotest.ErrReader(broken), Stdout, &m, nil); !errors.Is(err, broken) {
		t.Error(err)
	}
}
