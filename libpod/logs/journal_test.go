package logs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/libpod/config"
)

// fakeJournal takes entries as systemd-journald does.
func fakeJournal(t *testing.T) *net.UnixConn {
	t.Helper()
	before := journalSocket
	journalSocket = filepath.Join(t.TempDir(), "socket")
	t.Cleanup(func() { journalSocket = before })
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: journalSocket})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func receiveEntry(t *testing.T, conn *net.UnixConn) map[string]string {
	t.Helper()
	buf, oob := make([]byte, 1<<20), make([]byte, 128)
	n, oobn, _, _, err := conn.ReadMsgUnix(buf, oob)
	if err != nil {
		t.Fatal(err)
	}
	if oobn > 0 {
		return parseEntry(t, passedFile(t, oob[:oobn]))
	}
	return parseEntry(t, buf[:n])
}

func passedFile(t *testing.T, oob []byte) []byte {
	t.Helper()
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		t.Fatal(err)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[0]), "entry")
	defer f.Close()
	seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
	if err != nil || seals&unix.F_SEAL_WRITE == 0 {
		t.Errorf("seals %x %v", seals, err)
	}
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<30))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func parseEntry(t *testing.T, text []byte) map[string]string {
	t.Helper()
	fields := map[string]string{}
	for len(text) > 0 {
		line, rest, ok := bytes.Cut(text, []byte{'\n'})
		if !ok {
			t.Fatalf("unterminated: %q", line)
		}
		name, value, plain := bytes.Cut(line, []byte{'='})
		if !plain {
			size := binary.LittleEndian.Uint64(rest)
			value, rest = rest[8:8+size], rest[8+size+1:]
		}
		fields[string(name)] = string(value)
		text = rest
	}
	return fields
}

func TestJournalEntries(t *testing.T) {
	conn := fakeJournal(t)
	cfg := config.Log{Driver: Journald, Opts: opts{"labels": "com.x,_y", "tag": "{{.Name}}!"}}
	if err := Validate(cfg); err != nil {
		t.Fatal(err)
	}
	id := strings.Repeat("0a", 32)
	d, err := Open(cfg, t.TempDir(), Meta{ID: id, Name: "web", ImageName: "busybox", Labels: opts{"com.x": "1\n2", "_y": "z"}})
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 512<<10) // more than a datagram takes
	for i, c := range []struct {
		stream  Stream
		line    string
		partial bool
	}{{Stdout, "hello=\xff", false}, {Stderr, "", true}, {Stderr, long, false}} {
		if err := d.Write(c.stream, noon, []byte(c.line), c.partial); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{
			"CONTAINER_ID": id[:12], "CONTAINER_ID_FULL": id, "CONTAINER_NAME": "web", "CONTAINER_TAG": "web!",
			"SYSLOG_IDENTIFIER": "web!", "IMAGE_NAME": "busybox", "COM_X": "1\n2", "Y": "z",
			"PRIORITY": "6", "SYSLOG_TIMESTAMP": "2026-03-04T12:00:00.12Z", "MESSAGE": c.line,
		}
		if c.stream == Stderr {
			want["PRIORITY"] = "3"
		}
		if c.partial {
			want["CONTAINER_PARTIAL_MESSAGE"] = "true"
		}
		if got := receiveEntry(t, conn); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("entry %d: got %.400v, want %.400v", i, got, want)
		}
	}
	conn.Close()
	os.Remove(journalSocket)
	faults := 0
	for range 3 {
		if d.Write(Stdout, noon, []byte("x"), false) != nil {
			faults++
		}
	}
	if faults != 1 || d.Dropped() != 3 {
		t.Errorf("without a journal: %d errors, %d dropped", faults, d.Dropped())
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// fakeJournalctl prints the given entries and notes its arguments.
func fakeJournalctl(t *testing.T, script string) (args func() string) {
	t.Helper()
	dir := t.TempDir()
	text := "#!/bin/sh\necho \"$@\" >>" + dir + "/args\n" + script
	if err := os.WriteFile(dir+"/journalctl", []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() string {
		noted, err := os.ReadFile(dir + "/args")
		if err != nil {
			t.Fatal(err)
		}
		return string(noted)
	}
}

const entry = `{"__CURSOR":"s=%d","__REALTIME_TIMESTAMP":"1700000000000001","PRIORITY":"%d","MESSAGE":%s,"LABEL":"v","_PID":"1"}`

func TestReadJournal(t *testing.T) {
	args := fakeJournalctl(t, "echo '"+fmt.Sprintf(entry, 1, 6, `"one"`)+"'\necho '"+fmt.Sprintf(entry, 2, 3, `[116,255]`)+"'\necho '{\"torn'\n")
	var got []string
	err := Read(t.Context(), config.Log{Driver: Journald}, "/x/0123", ReadOptions{Tail: ptr(7), Since: noon}, func(r Record) error {
		got = append(got, fmt.Sprintf("%v %d %q %v", r.Stream, r.Time.UnixMicro(), r.Line, r.Attrs))
		return nil
	})
	want := []string{`stdout 1700000000000001 "one\n" map[LABEL:v]`, `stderr 1700000000000001 "t\xff\n" map[LABEL:v]`}
	if err != nil || !equal(got, want) {
		t.Errorf("got %q %v, want %q", got, err, want)
	}
	if want := "--lines=7 --since=@1772625600.120000 --quiet --no-pager --all --output=json CONTAINER_ID_FULL=0123\n"; args() != want {
		t.Errorf("arguments %q, want %q", args(), want)
	}
}

func TestFollowJournal(t *testing.T) {
	args := fakeJournalctl(t, `case "$*" in
*--follow*) echo '`+fmt.Sprintf(entry, 1, 6, `"one"`)+`'; exec sleep 1000;;
*--after-cursor=s=1*) echo '`+fmt.Sprintf(entry, 2, 6, `"two"`)+`';;
esac`)
	done := make(chan struct{})
	var got []string
	err := Read(t.Context(), config.Log{Driver: Journald}, "/x/0123", ReadOptions{Follow: true, Done: done}, func(r Record) error {
		if got = append(got, string(r.Line)); len(got) == 1 {
			close(done)
		}
		return nil
	})
	if err != nil || !equal(got, []string{"one\n", "two\n"}) {
		t.Errorf("got %q %v after %s", got, err, args())
	}
}

func TestJournalctlFails(t *testing.T) {
	fakeJournalctl(t, "echo no access >&2; exit 1")
	err := Read(t.Context(), config.Log{Driver: Journald}, "/x/0123", ReadOptions{}, nil)
	if err == nil || !strings.Contains(err.Error(), "no access") {
		t.Error(err)
	}
	t.Setenv("PATH", t.TempDir())
	err = Read(t.Context(), config.Log{Driver: Journald}, "/x/0123", ReadOptions{}, nil)
	if err == nil || !strings.Contains(err.Error(), "not installed") {
		t.Error(err)
	}
}
