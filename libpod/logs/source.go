package logs

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// source is one file of a log, read line by line.
type source struct {
	f       *os.File
	inode   uint64
	was     uint64 // compressed: the inode of the file that it was made from
	modTime time.Time

	// Plain files: only whole lines move pos on, so that the beginning of a line, or
	// what is cut off again, is read anew.
	pos        int64
	buf        []byte
	start, end int   // of what is buffered; it lies at pos in the file
	stop       int64 // where to take the file for ended; 0 is where it ends

	z *bufio.Reader // compressed files
}

const (
	readAhead = 64 << 10
	// longestLine is more than any driver writes: a piece of maxLine bytes, all
	// escaped, and the attributes, which an execve's arguments had to hold.
	longestLine = 8 << 20
)

func openSource(path string) (*source, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	s := &source{f: f, inode: inode(info), modTime: info.ModTime()}
	if strings.HasSuffix(path, compressed) {
		s.rewind()
	}
	return s, nil
}

func (s *source) close() {
	s.f.Close()
	s.buf, s.z = nil, nil
}

// skip makes the source empty, until more is written to it.
func (s *source) skip() {
	if s.z != nil {
		s.z.Reset(strings.NewReader(""))
		return
	}
	if info, err := s.f.Stat(); err == nil {
		s.seek(info.Size())
	}
}

func (s *source) seek(pos int64) { s.pos, s.start, s.end = pos, 0, 0 }

// limit makes the file end where it ends now.
func (s *source) limit() {
	if info, err := s.f.Stat(); err == nil {
		s.stop = info.Size()
	}
}

// rewind starts a compressed file over.
func (s *source) rewind() {
	var from io.Reader
	_, err := s.f.Seek(0, io.SeekStart)
	if err == nil {
		var z *gzip.Reader
		if z, err = gzip.NewReader(s.f); err == nil {
			s.was, _ = strconv.ParseUint(z.Comment, 10, 64)
			from = z
		}
	}
	if err != nil {
		from = failing{err}
	}
	s.z = bufio.NewReaderSize(from, readAhead)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// next returns the next line, good until the next call, with its line break; io.EOF
// when no further line is complete. No line and no error means that it read for a
// while and would like to be asked again.
func (s *source) next() ([]byte, error) {
	if s.z != nil {
		return s.nextCompressed()
	}
	if i := bytes.IndexByte(s.buf[s.start:s.end], '\n'); i >= 0 {
		line := s.buf[s.start : s.start+i+1]
		s.start += i + 1
		s.pos += int64(i + 1)
		return line, nil
	}
	if s.end-s.start >= longestLine {
		s.pos += int64(s.end - s.start) // no line of ours
		s.start, s.end = 0, 0
	}
	if s.start > 0 {
		s.end = copy(s.buf, s.buf[s.start:s.end])
		s.start = 0
	}
	if s.end == len(s.buf) {
		s.buf = append(s.buf, make([]byte, max(readAhead, len(s.buf)))...)
	}
	n, err := s.readMore()
	s.end += n
	if n > 0 {
		return nil, nil
	}
	if err != io.EOF {
		return nil, fmt.Errorf("reading the container's log: %w", err)
	}
	s.end = 0 // what was there of a line is read again
	if info, err := s.f.Stat(); err == nil && info.Size() < s.pos {
		s.seek(0) // somebody emptied the file
		if info.Size() > 0 {
			return nil, nil
		}
	}
	return nil, io.EOF
}

// readMore reads what lies behind the buffered bytes.
func (s *source) readMore() (int, error) {
	free, at := s.buf[s.end:], s.pos+int64(s.end)
	if s.stop > 0 {
		free = free[:max(min(int64(len(free)), s.stop-at), 0)]
		if len(free) == 0 {
			return 0, io.EOF
		}
	}
	return s.f.ReadAt(free, at)
}

func (s *source) nextCompressed() ([]byte, error) {
	line, err := s.z.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		line = bytes.Clone(line)
		for err == bufio.ErrBufferFull && len(line) < longestLine {
			var more []byte
			more, err = s.z.ReadSlice('\n')
			line = append(line, more...)
		}
	}
	switch {
	case err == nil, err == bufio.ErrBufferFull:
		return line, nil
	case err == io.EOF:
		return nil, io.EOF
	}
	return nil, fmt.Errorf("reading %s: %w", s.f.Name(), err)
}

// snapshot opens all files of the log at path as they were at one moment, oldest
// first. Rotation renames all of them: it did not happen meanwhile when afterwards
// every name still has the file that was opened.
func snapshot(path string) ([]*source, error) {
	const tries = 100 // each takes as long as few renames, rotations come with many lines between
	for try := 0; ; try++ {
		names, err := list(path)
		if err != nil {
			return nil, err
		}
		files, err := openAll(names)
		if err == nil && (unchanged(path, names, files) || try == tries) {
			return files, nil
		}
		for _, f := range files {
			f.close()
		}
		if err != nil && (!errors.Is(err, os.ErrNotExist) || try == tries) {
			return nil, fmt.Errorf("opening the container's log: %w", err)
		}
	}
}

func openAll(names []string) (files []*source, err error) {
	for _, name := range names {
		s, err := openSource(name)
		if err != nil {
			return files, err
		}
		files = append(files, s)
	}
	return files, nil
}

func unchanged(path string, names []string, files []*source) bool {
	for i, name := range names {
		if !files[i].isAt(name) {
			return false
		}
	}
	again, err := list(path)
	return err == nil && slices.Equal(names, again)
}

// list returns the names of a log's files, oldest first. Of a file that is there both
// plain and compressed it is the plain one.
func list(path string) ([]string, error) {
	dir, base := filepath.Split(path)
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the container's log: %w", err)
	}
	defer d.Close()
	found, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", dir, err)
	}
	numbers := map[int]string{}
	for _, name := range found {
		n, zipped, ok := parseName(name, base)
		if _, have := numbers[n]; ok && (!have || !zipped) {
			numbers[n] = dir + name
		}
	}
	var sorted []int
	for n := range numbers {
		sorted = append(sorted, n)
	}
	slices.Sort(sorted)
	slices.Reverse(sorted)
	names := make([]string, len(sorted))
	for i, n := range sorted {
		names[i] = numbers[n]
	}
	return names, nil
}

// parseName tells which of the files of the log called base name is.
func parseName(name, base string) (n int, zipped, ok bool) {
	rest, ok := strings.CutPrefix(name, base)
	if !ok || rest == "" {
		return 0, false, ok
	}
	rest, zipped = strings.CutSuffix(rest, compressed)
	digits, ok := strings.CutPrefix(rest, ".")
	if !ok || digits == "" || digits[0] < '1' || digits[0] > '9' {
		return 0, false, false
	}
	n, err := strconv.Atoi(digits)
	return n, zipped, err == nil
}
