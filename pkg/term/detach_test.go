package term

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

func TestParseDetachKeys(t *testing.T) {
	for _, c := range []struct {
		in, want, err string
	}{
		{in: "", want: "\x10\x11"},
		{in: "ctrl-p,ctrl-q", want: "\x10\x11"},
		{in: "ctrl-@", want: "\x00"},
		{in: "ctrl-a,x,ctrl-z", want: "\x01x\x1a"},
		{in: `ctrl-[,ctrl-\,ctrl-],ctrl-^,ctrl-_,DEL`, want: "\x1b\x1c\x1d\x1e\x1f\x7f"},
		{in: "shift-a", err: "invalid detach keys (shift-a): Unknown character: 'shift-a'"},
		{in: "a,", err: "invalid detach keys (a,): Unknown character: ''"},
		{in: "ctrl-A", err: "invalid detach keys (ctrl-A): Unknown character: 'ctrl-A'"},
		{in: "ctrl-", err: "invalid detach keys (ctrl-): Unknown character: 'ctrl-'"},
		{in: "a,ctrl-1", err: "invalid detach keys (a,ctrl-1): Unknown character: 'ctrl-1'"},
	} {
		got, err := ParseDetachKeys(c.in)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if string(got) != c.want || text != c.err {
			t.Errorf("%q: got %q %q, want %q %q", c.in, got, text, c.want, c.err)
		}
	}
}

// pieces delivers data in reads of the given lengths, again and again.
type pieces struct {
	data, lengths []byte
	n             int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.data) == 0 {
		return 0, io.EOF
	}
	size := len(b)
	if len(p.lengths) > 0 {
		size = min(size, int(p.lengths[p.n%len(p.lengths)])+1)
		p.n++
	}
	n := copy(b[:size], p.data)
	p.data = p.data[n:]
	return n, nil
}

// checkDetach compares with the definition: everything up to the first occurrence.
func checkDetach(t *testing.T, data, keys, lengths []byte) {
	t.Helper()
	want, wantErr := data, error(nil)
	if i := bytes.Index(data, keys); len(keys) > 0 && i >= 0 {
		want, wantErr = data[:i], ErrDetach
	}
	r := NewDetachReader(&pieces{data: bytes.Clone(data), lengths: lengths}, keys)
	got, err := io.ReadAll(r)
	if !bytes.Equal(got, want) || !errors.Is(err, wantErr) {
		t.Errorf("%q with keys %q in reads of %v: got %q %v, want %q %v", data, keys, lengths, got, err, want, wantErr)
	}
	if wantErr != nil {
		if n, err := r.Read(make([]byte, 8)); n != 0 || err != ErrDetach {
			t.Errorf("after the keys: %d %v", n, err)
		}
	}
}

func TestDetachReader(t *testing.T) {
	for _, c := range []struct{ data, keys string }{
		{"plain", "\x10\x11"},
		{"a\x10xb", "\x10\x11"},
		{"\x10", "\x10\x11"},
		{"ab\x10\x11cd", "\x10\x11"},
		{"\x10\x10\x11", "\x10\x11"},
		{"ppq", "ppq"}, {"pppq", "ppq"}, {"ppxppq", "ppq"}, {"abababc", "ababc"},
		{"x", ""}, {"", "\x10"}, {"\x00", "\x00"},
	} {
		for _, lengths := range [][]byte{nil, {0}, {1}, {0, 2}} {
			checkDetach(t, []byte(c.data), []byte(c.keys), lengths)
		}
	}
}

func TestDetachReaderKeepsConvention(t *testing.T) {
	data := bytes.Repeat([]byte("ab\x10cd\x10\x10e"), 100)
	if err := iotest.TestReader(NewDetachReader(bytes.NewReader(data), []byte("\x10\x11")), data); err != nil {
		t.Error(err)
	}
}

func TestHeldKeyIsDeliveredBeforeAnError(t *testing.T) {
	broken := errors.New("broken")
	r := NewDetachReader(io.MultiReader(bytes.NewReader([]byte("a\x10")), iotest.ErrReader(broken)), []byte("\x10\x11"))
	if got, err := io.ReadAll(r); string(got) != "a\x10" || err != broken {
		t.Errorf("got %q %v", got, err)
	}
}

func FuzzDetachReader(f *testing.F) {
	f.Add([]byte("ab\x10\x11c"), []byte("\x10\x11"), []byte{0, 1})
	f.Add([]byte("aabaabaaab"), []byte("aaab"), []byte{2})
	f.Fuzz(func(t *testing.T, data, keys, lengths []byte) { checkDetach(t, data, keys, lengths) })
}
