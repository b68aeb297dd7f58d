package logs

import (
	"maps"
	"slices"
	"time"
	"unicode/utf8"
)

// fileFormat is how a record is written as one line of a file, and read from it.
type fileFormat interface {
	// appendStamp appends t as the format writes it.
	appendStamp(dst []byte, t time.Time) []byte
	// appendRecord appends a whole line; stamp is what appendStamp made.
	appendRecord(dst []byte, stream Stream, stamp, line []byte, partial bool) []byte
	// decode reads a line, given with its line break, into r, whose Line is
	// overwritten in place. It is false when the line is not one of this format.
	decode(r *Record, line []byte) bool
}

// jsonFormat is Docker's json-file, byte for byte.
type jsonFormat struct {
	attrs []byte // a JSON object, or nothing
}

func (jsonFormat) appendStamp(dst []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(dst, time.RFC3339Nano)
}

func (f jsonFormat) appendRecord(dst []byte, stream Stream, stamp, line []byte, partial bool) []byte {
	dst = append(dst, `{"log":"`...)
	dst = appendEscaped(dst, line)
	if !partial {
		dst = append(dst, `\n`...)
	}
	dst = append(dst, `","stream":"`...)
	dst = append(dst, stream.String()...)
	if len(f.attrs) > 0 {
		dst = append(dst, `","attrs":`...)
		dst = append(dst, f.attrs...)
		dst = append(dst, `,"time":"`...)
	} else {
		dst = append(dst, `","time":"`...)
	}
	dst = append(dst, stamp...)
	return append(dst, "\"}\n"...)
}

// encodeAttrs is attrs as a JSON object with sorted keys, nothing when there are none.
func encodeAttrs(attrs map[string]string) []byte {
	if len(attrs) == 0 {
		return nil
	}
	out := []byte{'{'}
	for i, key := range slices.Sorted(maps.Keys(attrs)) {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendEscaped(append(out, '"'), []byte(key))
		out = appendEscaped(append(out, `":"`...), []byte(attrs[key]))
		out = append(out, '"')
	}
	return append(out, '}')
}

// plain has a bit for each ASCII character that stands for itself in a JSON string.
// Docker escapes < > & as well.
var plain = [2]uint64{
	0xffffffff_00000000 &^ (1<<'"' | 1<<'&' | 1<<'<' | 1<<'>'),
	0xffffffff_ffffffff &^ (1 << ('\\' - 64)),
}

const hexDigits = "0123456789abcdef"

// appendEscaped appends s as the inside of a JSON string. Bytes that are not UTF-8
// become U+FFFD, one each.
func appendEscaped(dst, s []byte) []byte {
	start := 0
	for i := 0; i < len(s); {
		b := s[i]
		if b < utf8.RuneSelf {
			if plain[b>>6]>>(b&63)&1 == 0 {
				dst = append(dst, s[start:i]...)
				dst = appendEscapedByte(dst, b)
				start = i + 1
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(append(dst, s[start:i]...), `\ufffd`...)
			start = i + size
		case r == '\u2028' || r == '\u2029':
			dst = append(append(dst, s[start:i]...), `\u202`...)
			dst = append(dst, hexDigits[r&15])
			start = i + size
		}
		i += size
	}
	return append(dst, s[start:]...)
}

func appendEscapedByte(dst []byte, b byte) []byte {
	switch b {
	case '"', '\\':
		return append(dst, '\\', b)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
}

// criFormat is the one of Kubernetes' container runtimes: time, stream, F or P, line.
type criFormat struct{}

func (criFormat) appendStamp(dst []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000000Z07:00")
}

func (criFormat) appendRecord(dst []byte, stream Stream, stamp, line []byte, partial bool) []byte {
	dst = append(append(dst, stamp...), ' ')
	dst = append(dst, stream.String()...)
	if partial {
		dst = append(dst, " P "...)
	} else {
		dst = append(dst, " F "...)
	}
	return append(append(dst, line...), '\n')
}
