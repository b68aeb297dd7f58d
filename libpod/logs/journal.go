package logs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// journalSocket is where systemd-journald takes entries in its native protocol.
var journalSocket = "/run/systemd/journal/socket"

// idleBuffer is what may stay allocated while nothing comes.
const idleBuffer = 4 << 10

// journal sends each line as an entry with Docker's fields.
type journal struct {
	fields []byte // those that every entry has

	mu      sync.Mutex
	fd      int // -1 once closed
	buf     []byte
	failing bool
	dropped int64
}

func openJournal(o *options, meta Meta, attrs map[string]string) (*journal, error) {
	tag := o.tag
	if tag == "" {
		tag = "{{.ID}}"
	}
	tag, err := o.expandTag(meta, tag)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("making a socket: %w", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: journalSocket}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("connecting to %s: %w", journalSocket, err)
	}
	j := &journal{fd: fd}
	for _, f := range [][2]string{
		{"CONTAINER_ID", short(meta.ID)}, {"CONTAINER_ID_FULL", meta.ID}, {"CONTAINER_NAME", meta.Name},
		{"CONTAINER_TAG", tag}, {"SYSLOG_IDENTIFIER", tag}, {"IMAGE_NAME", meta.ImageName},
	} {
		j.fields = appendField(j.fields, f[0], []byte(f[1]))
	}
	for name, value := range attrs {
		if name = journalName(name); name != "" {
			j.fields = appendField(j.fields, name, []byte(value))
		}
	}
	return j, nil
}

// journalName makes a field's name of a label's or variable's: capitals, digits and
// underscores, not beginning with one of the latter two. Other characters become underscores.
func journalName(s string) string {
	name := strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(s))
	name = strings.TrimLeft(name, "_0123456789")
	return name[:min(len(name), 64)]
}

// appendField appends a field in the native protocol: NAME=value, or with its length
// when the value has line breaks.
func appendField(dst []byte, name string, value []byte) []byte {
	dst = append(dst, name...)
	if bytes.IndexByte(value, '\n') < 0 {
		dst = append(dst, '=')
	} else {
		dst = append(dst, '\n')
		dst = binary.LittleEndian.AppendUint64(dst, uint64(len(value)))
	}
	return append(append(dst, value...), '\n')
}

// Write implements [Driver]. It waits while journald does not take entries.
func (j *journal) Write(stream Stream, t time.Time, line []byte, partial bool) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.fd < 0 {
		return os.ErrClosed
	}
	priority := "6" // info
	if stream == Stderr {
		priority = "3" // error
	}
	j.buf = append(j.buf[:0], j.fields...)
	j.buf = appendField(j.buf, "PRIORITY", []byte(priority))
	j.buf = append(j.buf, "SYSLOG_TIMESTAMP="...)
	j.buf = append(t.UTC().AppendFormat(j.buf, time.RFC3339Nano), '\n')
	if partial {
		j.buf = append(j.buf, "CONTAINER_PARTIAL_MESSAGE=true\n"...)
	}
	j.buf = appendField(j.buf, "MESSAGE", line)
	err := j.send()
	if cap(j.buf) > idleBuffer {
		j.buf = nil
	}
	if err == nil {
		j.failing = false
		return nil
	}
	j.dropped++
	if j.failing {
		return nil
	}
	j.failing = true
	return fmt.Errorf("writing to the journal: %w", err)
}

// send sends buf as a datagram, or when it is too large for one in a sealed memory file.
func (j *journal) send() error {
	for {
		err := unix.Sendto(j.fd, j.buf, unix.MSG_NOSIGNAL, nil)
		switch err {
		case unix.EINTR:
			continue
		case unix.EMSGSIZE, unix.ENOBUFS:
			return j.sendFile()
		case unix.ECONNREFUSED, unix.ENOTCONN:
			// journald was restarted and has a new socket
			if unix.Connect(j.fd, &unix.SockaddrUnix{Name: journalSocket}) == nil {
				err = unix.Sendto(j.fd, j.buf, unix.MSG_NOSIGNAL, nil)
			}
		}
		return err
	}
}

func (j *journal) sendFile() error {
	fd, err := unix.MemfdCreate("journal-entry", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "journal-entry")
	defer f.Close()
	if _, err := f.Write(j.buf); err != nil {
		return err
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return err
	}
	return unix.Sendmsg(j.fd, nil, unix.UnixRights(fd), nil, unix.MSG_NOSIGNAL)
}

// Dropped implements [Driver].
func (j *journal) Dropped() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.dropped
}

// Close implements [Driver].
func (j *journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.fd < 0 {
		return nil
	}
	unix.Close(j.fd)
	j.fd = -1
	return nil
}
