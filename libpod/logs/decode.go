package logs

import (
	"bytes"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Record is one line of a log, or a piece of a long one.
type Record struct {
	Stream  Stream
	Time    time.Time
	Line    []byte // with its line break unless Partial; good until emit returns
	Partial bool   // the line goes on in the next record of the stream
	Attrs   map[string]string

	rawAttrs  []byte // the last attributes that were read; they are the same in every line
	lastAttrs map[string]string
}

// decode implements fileFormat for what Docker writes: one object whose values are
// strings, but for attrs.
func (jsonFormat) decode(r *Record, line []byte) bool {
	p, ok := skip(line, '{')
	if !ok {
		return false
	}
	r.Attrs = nil
	rest, found := p, 0
	for {
		var name, value []byte
		if name, rest, ok = quoted(rest); !ok {
			return false
		}
		if rest, ok = skip(rest, ':'); !ok {
			return false
		}
		if string(name) == "attrs" {
			if rest, ok = r.decodeAttrs(rest); !ok {
				return false
			}
		} else {
			if value, rest, ok = quoted(rest); !ok || !r.set(string(name), value) {
				return false
			}
			found++
		}
		if after, more := skip(rest, ','); more {
			rest = after
			continue
		}
		rest, ok = skip(rest, '}')
		r.Partial = !bytes.HasSuffix(r.Line, []byte{'\n'})
		return ok && found == 3 && len(bytes.TrimSpace(rest)) == 0
	}
}

// set gives the field its value, which is still escaped.
func (r *Record) set(name string, value []byte) (ok bool) {
	switch name {
	case "log":
		r.Line, ok = unescape(r.Line[:0], value)
	case "stream":
		r.Stream, ok = parseStream(value)
	case "time":
		ok = r.Time.UnmarshalText(value) == nil
	}
	return ok
}

func parseStream(name []byte) (Stream, bool) {
	switch string(name) {
	case "stdout":
		return Stdout, true
	case "stderr":
		return Stderr, true
	}
	return 0, false
}

// decodeAttrs reads an object of strings.
func (r *Record) decodeAttrs(p []byte) (rest []byte, ok bool) {
	if len(r.rawAttrs) > 0 && bytes.HasPrefix(p, r.rawAttrs) {
		r.Attrs = r.lastAttrs
		return p[len(r.rawAttrs):], true
	}
	if rest, ok = skip(p, '{'); !ok {
		return nil, false
	}
	attrs := map[string]string{}
	for {
		var name, value []byte
		if after, end := skip(rest, '}'); end {
			r.Attrs, r.lastAttrs, r.rawAttrs = attrs, attrs, bytes.Clone(p[:len(p)-len(after)])
			return after, true
		}
		if len(attrs) > 0 {
			if rest, ok = skip(rest, ','); !ok {
				return nil, false
			}
		}
		if name, rest, ok = quoted(rest); !ok {
			return nil, false
		}
		if rest, ok = skip(rest, ':'); !ok {
			return nil, false
		}
		if value, rest, ok = quoted(rest); !ok {
			return nil, false
		}
		key, keyOK := unescape(nil, name)
		text, textOK := unescape(nil, value)
		if !keyOK || !textOK {
			return nil, false
		}
		attrs[string(key)] = string(text)
	}
}

// skip returns what follows b, which p must begin with.
func skip(p []byte, b byte) ([]byte, bool) {
	if len(p) == 0 || p[0] != b {
		return p, false
	}
	return p[1:], true
}

// quoted splits p after the string that it begins with; value is still escaped.
func quoted(p []byte) (value, rest []byte, ok bool) {
	if p, ok = skip(p, '"'); !ok {
		return nil, nil, false
	}
	from := 0
	for {
		end := bytes.IndexByte(p[from:], '"')
		if end < 0 {
			return nil, nil, false
		}
		end += from
		backslashes := 0
		for end-backslashes > 0 && p[end-backslashes-1] == '\\' {
			backslashes++
		}
		if backslashes%2 == 0 {
			return p[:end], p[end+1:], true
		}
		from = end + 1
	}
}

// unescape appends what the inside of a JSON string stands for.
func unescape(dst, s []byte) ([]byte, bool) {
	for {
		i := bytes.IndexByte(s, '\\')
		if i < 0 {
			return append(dst, s...), true
		}
		dst = append(dst, s[:i]...)
		if s = s[i+1:]; len(s) == 0 {
			return dst, false
		}
		kind := s[0]
		s = s[1:]
		switch kind {
		case '"', '\\', '/':
			dst = append(dst, kind)
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'u':
			r, size := unicodeEscape(s)
			if size == 0 {
				return dst, false
			}
			dst = utf8.AppendRune(dst, r)
			s = s[size:]
		default:
			return dst, false
		}
	}
}

// unicodeEscape reads the digits after \u, and the other half of a surrogate pair.
func unicodeEscape(s []byte) (r rune, size int) {
	r, ok := hex4(s)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 4
	}
	if len(s) >= 10 && s[4] == '\\' && s[5] == 'u' {
		if low, ok := hex4(s[6:]); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, 10
			}
		}
	}
	return utf8.RuneError, 4
}

func hex4(s []byte) (r rune, ok bool) {
	if len(s) < 4 {
		return 0, false
	}
	for _, c := range s[:4] {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// decode implements fileFormat.
func (criFormat) decode(r *Record, line []byte) bool {
	stamp, rest, ok := bytes.Cut(line, []byte{' '})
	if !ok || r.Time.UnmarshalText(stamp) != nil {
		return false
	}
	name, rest, ok := bytes.Cut(rest, []byte{' '})
	if !ok {
		return false
	}
	if r.Stream, ok = parseStream(name); !ok || len(rest) < 3 || rest[1] != ' ' {
		return false
	}
	switch rest[0] {
	case 'F':
		r.Partial = false
		r.Line = append(r.Line[:0], rest[2:]...)
	case 'P':
		r.Partial = true
		r.Line = append(r.Line[:0], bytes.TrimSuffix(rest[2:], []byte{'\n'})...)
	default:
		return false
	}
	return true
}
