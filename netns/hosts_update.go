package netns

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// maxHosts is the largest file that a container may have made of its hosts.
const maxHosts = 1 << 20

// UpdateHosts is what a container's hosts file becomes when what ctr wrote changes from
// before to after while the container runs. current is the file as it is: lines of
// the container's own stay where they are, and lines of ctr's that it took out stay out.
func UpdateHosts(current, before, after []byte) []byte {
	if rest, ok := bytes.CutPrefix(current, before); ok { // the container has added lines at most
		return append(bytes.Clone(after), rest...)
	}
	gone, fresh := count(before), count(after)
	for line, n := range gone {
		kept := min(n, fresh[line])
		gone[line] -= kept
		fresh[line] -= kept
	}
	var b bytes.Buffer
	for line := range bytes.Lines(current) {
		if key := string(bytes.TrimSuffix(line, []byte("\n"))); gone[key] > 0 {
			gone[key]--
			continue
		}
		b.Write(line)
	}
	if n := b.Len(); n > 0 && b.Bytes()[n-1] != '\n' {
		b.WriteByte('\n')
	}
	for line := range bytes.Lines(after) {
		if key := string(bytes.TrimSuffix(line, []byte("\n"))); fresh[key] > 0 {
			fresh[key]--
			b.Write(line)
		}
	}
	return b.Bytes()
}

func count(text []byte) map[string]int {
	lines := map[string]int{}
	for line := range bytes.Lines(text) {
		lines[string(bytes.TrimSuffix(line, []byte("\n")))]++
	}
	return lines
}

// RewriteHosts does as [UpdateHosts] says to the file at path, in place: it is mounted
// in the container. A reader sees no empty file meanwhile. The container may write
// at the same time; what it has made larger than 1 MiB is an error and left alone.
func RewriteHosts(path string, before, after []byte) error {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("opening the container's /etc/hosts: %w", err)
	}
	defer f.Close()
	current, err := io.ReadAll(io.LimitReader(f, maxHosts+1))
	if err == nil && len(current) > maxHosts {
		err = errors.New("the container has made it larger than 1 MiB")
	}
	if err != nil {
		return fmt.Errorf("reading the container's /etc/hosts: %w", err)
	}
	updated := UpdateHosts(current, before, after)
	if bytes.Equal(updated, current) {
		return nil
	}
	if _, err = f.WriteAt(updated, 0); err == nil {
		err = f.Truncate(int64(len(updated)))
	}
	if err != nil {
		return fmt.Errorf("writing the container's /etc/hosts: %w", err)
	}
	return nil
}
