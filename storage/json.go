package storage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// cursor walks over JSON text and decodes only what it is asked for; the store's
// lists of images and layers are large, and one lookup needs a few words of them.
type cursor struct {
	data []byte
	pos  int
}

// array calls element at each element, which must consume it. null is an empty array.
func (c *cursor) array(element func() error) error { return c.list('[', ']', element) }

// object calls member with each raw, quoted key; member must consume the value.
func (c *cursor) object(member func(key []byte) error) error {
	return c.list('{', '}', func() error {
		key, err := c.value()
		if err != nil {
			return err
		}
		if err := c.expect(':'); err != nil {
			return err
		}
		return member(key)
	})
}

func (c *cursor) list(open, end byte, element func() error) error {
	if c.peek() == 'n' {
		_, err := c.value()
		return err
	}
	if err := c.expect(open); err != nil {
		return err
	}
	if c.peek() == end {
		c.pos++
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if c.peek() == end {
			c.pos++
			return nil
		}
		if err := c.expect(','); err != nil {
			return err
		}
	}
}

// peek returns the next byte that is not white space, 0 at the end.
func (c *cursor) peek() byte {
	for ; c.pos < len(c.data); c.pos++ {
		switch b := c.data[c.pos]; b {
		case ' ', '\t', '\n', '\r':
		default:
			return b
		}
	}
	return 0
}

func (c *cursor) expect(want byte) error {
	if c.peek() != want {
		return c.broken()
	}
	c.pos++
	return nil
}

func (c *cursor) broken() error { return fmt.Errorf("broken JSON at byte %d", c.pos) }

// value consumes one value and returns its text.
func (c *cursor) value() ([]byte, error) {
	first := c.peek()
	start := c.pos
	switch first {
	case '"':
		if err := c.skipString(); err != nil {
			return nil, err
		}
	case '{', '[':
		if err := c.skipNested(); err != nil {
			return nil, err
		}
	default:
		for c.pos < len(c.data) && !bytes.ContainsRune([]byte(",]} \t\r\n:"), rune(c.data[c.pos])) {
			c.pos++
		}
		if c.pos == start {
			return nil, c.broken()
		}
	}
	return c.data[start:c.pos], nil
}

func (c *cursor) skipNested() error {
	depth := 0
	for c.pos < len(c.data) {
		switch c.data[c.pos] {
		case '"':
			if err := c.skipString(); err != nil {
				return err
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		c.pos++
		if depth == 0 {
			return nil
		}
	}
	return c.broken()
}

func (c *cursor) skipString() error {
	for i := c.pos + 1; ; i++ {
		n := bytes.IndexByte(c.data[i:], '"')
		if n < 0 {
			return c.broken()
		}
		i += n
		escapes := 0
		for c.data[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			c.pos = i + 1
			return nil
		}
	}
}

// text is the string that raw, a JSON value, stands for; "" when it is none.
func text(raw []byte) string {
	if len(raw) < 2 || raw[0] != '"' {
		return ""
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// texts is the list of strings that raw stands for.
func texts(raw []byte) []string {
	if len(raw) == 0 {
		return nil
	}
	var list []string
	c := cursor{data: raw}
	c.array(func() error {
		v, err := c.value()
		if err == nil {
			list = append(list, text(v))
		}
		return err
	})
	return list
}

// number is the integer that raw stands for; 0 when it is none.
func number(raw []byte) int64 {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
