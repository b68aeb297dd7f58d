// Package toml reads the part of TOML that the configuration files of containers are
// written in: tables, strings, and arrays of strings. The general library costs more
// to load than everything else that a start of ctr does. See storage.conf(5) and
// containers.conf(5).
package toml

import (
	"fmt"
	"strconv"
	"strings"
)

// reader is the text that is still to be read.
type reader struct {
	text string
	line int
}

// Value is one setting: a scalar, whatever its kind, as text, or an array.
type Value struct {
	Scalar string
	List   []string
	Append bool // the array ends with {append=true}: add to what earlier files set
}

// Parse calls set with each key, its table's name and a dot in front, in the order
// of the text. Values of kinds that the package does not know are taken as text or
// passed over; an error names the line, and what stands before it has been set.
func Parse(text string, set func(key string, v Value)) error {
	r := reader{text: text, line: 1}
	table := ""
	for {
		r.space(true)
		if r.text == "" {
			return nil
		}
		if r.text[0] == '[' {
			name, rest, found := strings.Cut(r.text, "]")
			if !found {
				return r.broken()
			}
			table = strings.TrimSpace(strings.Trim(name, "[")) + "."
			r.text = strings.TrimPrefix(rest, "]")
			continue
		}
		key, rest, found := strings.Cut(r.text, "=")
		if !found || strings.ContainsRune(key, '\n') {
			return r.broken()
		}
		r.text = rest
		v, err := r.value()
		if err != nil {
			return err
		}
		set(table+strings.Trim(key, " \t\"'"), v)
	}
}

func (r *reader) broken() error { return fmt.Errorf("line %d is not valid TOML", r.line) }

// space passes over blanks and, with lines, over line ends and comments.
func (r *reader) space(lines bool) {
	for r.text != "" {
		switch b := r.text[0]; {
		case b == ' ' || b == '\t' || b == '\r':
			r.text = r.text[1:]
		case lines && b == '\n':
			r.line++
			r.text = r.text[1:]
		case lines && b == '#':
			end := strings.IndexByte(r.text, '\n')
			if end < 0 {
				end = len(r.text)
			}
			r.text = r.text[end:]
		default:
			return
		}
	}
}

func (r *reader) value() (v Value, err error) {
	r.space(false)
	switch {
	case r.text == "":
		return v, r.broken()
	case r.text[0] == '"' || r.text[0] == '\'':
		v.Scalar, err = r.quoted()
		return v, err
	case r.text[0] == '[':
		return r.array()
	}
	end := strings.IndexAny(r.text, "\n#")
	if end < 0 {
		end = len(r.text)
	}
	v.Scalar = strings.TrimSpace(r.text[:end])
	r.text = r.text[end:]
	return v, nil
}

func (r *reader) quoted() (string, error) {
	quote := r.text[0]
	for i := 1; i < len(r.text); i++ {
		switch b := r.text[i]; {
		case b == '\\' && quote == '"':
			i++
		case b == '\n':
			return "", r.broken()
		case b == quote:
			raw := r.text[:i+1]
			r.text = r.text[i+1:]
			if quote == '\'' {
				return raw[1:i], nil
			}
			s, err := strconv.Unquote(raw)
			if err != nil {
				return "", r.broken()
			}
			return s, nil
		}
	}
	return "", r.broken()
}

func (r *reader) array() (v Value, err error) {
	r.text = r.text[1:]
	for {
		r.space(true)
		switch {
		case r.text == "":
			return v, r.broken()
		case r.text[0] == ']':
			r.text = r.text[1:]
			return v, nil
		case r.text[0] == ',':
			r.text = r.text[1:]
		case r.text[0] == '{':
			attribute, rest, found := strings.Cut(r.text[1:], "}")
			if !found {
				return v, r.broken()
			}
			v.Append = strings.Join(strings.Fields(strings.ReplaceAll(attribute, "=", " ")), "=") == "append=true"
			r.text = rest
		case r.text[0] == '"' || r.text[0] == '\'':
			s, err := r.quoted()
			if err != nil {
				return v, err
			}
			v.List = append(v.List, s)
		default:
			end := strings.IndexAny(r.text, ",]\n#")
			if end < 1 {
				return v, r.broken()
			}
			v.List = append(v.List, strings.TrimSpace(r.text[:end]))
			r.text = r.text[end:]
		}
	}
}
