package term

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// DefaultDetachKeys is what detaches unless the user chose other keys.
const DefaultDetachKeys = "ctrl-p,ctrl-q"

// ErrDetach is what a detach reader returns once the detach keys were typed. The
// text is Docker's.
var ErrDetach = errors.New("read escape sequence")

// ParseDetachKeys turns Docker's notation into the bytes that a terminal sends: keys
// separated by commas, each a single character, ctrl- with one of a-z @ [ \ ] ^ _,
// or DEL. "" is [DefaultDetachKeys].
func ParseDetachKeys(s string) ([]byte, error) {
	if s == "" {
		s = DefaultDetachKeys
	}
	var keys []byte
	for _, name := range strings.Split(s, ",") {
		key, ok := parseKey(name)
		if !ok {
			return nil, fmt.Errorf("invalid detach keys (%s): Unknown character: '%s'", s, name)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func parseKey(name string) (byte, bool) {
	if len(name) == 1 {
		return name[0], true
	}
	if name == "DEL" {
		return 0x7f, true
	}
	letter, isCtrl := strings.CutPrefix(name, "ctrl-")
	if !isCtrl || len(letter) != 1 {
		return 0, false
	}
	switch c := letter[0]; {
	case 'a' <= c && c <= 'z':
		return c - 'a' + 1, true
	case c == '@', '[' <= c && c <= '_':
		return c - '@', true
	}
	return 0, false
}

// NewDetachReader returns a reader of what r delivers, unchanged, up to the point
// where keys were typed in sequence: there it ends with [ErrDetach]. What could be
// the beginning of the sequence is held back until the next key decides. Without
// keys it is r itself.
func NewDetachReader(r io.Reader, keys []byte) io.Reader {
	if len(keys) == 0 {
		return r
	}
	return &detachReader{r: r, keys: keys}
}

type detachReader struct {
	r    io.Reader
	keys []byte
	held []byte // a beginning of keys, typed but not passed on
	out  []byte // to be passed on
	err  error  // comes after out
}

func (d *detachReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(d.out) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		n, err := d.r.Read(p)
		d.out = d.out[:0]
		d.take(p[:n])
		if err != nil && d.err == nil {
			d.out, d.held, d.err = append(d.out, d.held...), nil, err
		}
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

// take sorts input into what is passed on and what is held back.
func (d *detachReader) take(input []byte) {
	for len(input) > 0 {
		if len(d.held) == 0 {
			i := bytes.IndexByte(input, d.keys[0])
			if i < 0 {
				i = len(input)
			}
			d.out = append(d.out, input[:i]...)
			if input = input[i:]; len(input) == 0 {
				return
			}
		}
		d.held = append(d.held, input[0])
		input = input[1:]
		for !bytes.HasPrefix(d.keys, d.held) {
			d.out, d.held = append(d.out, d.held[0]), d.held[1:]
		}
		if len(d.held) == len(d.keys) {
			d.err = ErrDetach
			return
		}
	}
}
