package parse

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
)

// keyValueFile reads a file of KEY=VALUE lines: leading white space, empty lines,
// lines that begin with # and a byte order mark are skipped; a value is everything
// after the first =, as it stands. lookup gives the value of a KEY alone; without a
// value the line is left out.
func keyValueFile(name string, lookup func(string) (string, bool)) ([]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines, err := keyValues(f, lookup)
	if err != nil {
		return nil, fmt.Errorf("invalid env file (%s): %w", name, err)
	}
	return lines, nil
}

func keyValues(r io.Reader, lookup func(string) (string, bool)) ([]string, error) {
	var lines []string
	scanner := bufio.NewScanner(r)
	for n := 1; scanner.Scan(); n++ {
		raw := scanner.Bytes()
		if n == 1 {
			raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
		}
		if !utf8.Valid(raw) {
			return nil, fmt.Errorf("invalid utf8 bytes at line %d: %v", n, raw)
		}
		line := strings.TrimLeftFunc(string(raw), unicode.IsSpace)
		if line == "" || line[0] == '#' {
			continue
		}
		key, _, hasValue := strings.Cut(line, "=")
		switch {
		case key == "":
			return nil, fmt.Errorf("no variable name on line '%s'", line)
		case strings.ContainsAny(key, " \t"):
			return nil, fmt.Errorf("variable '%s' contains whitespaces", key)
		case strings.Contains(line, "\x00"):
			return nil, fmt.Errorf("line %d contains NUL", n)
		}
		if !hasValue {
			value, ok := lookup(key)
			if !ok {
				continue
			}
			line += "=" + value
		}
		lines = append(lines, line)
	}
	return lines, scanner.Err()
}
