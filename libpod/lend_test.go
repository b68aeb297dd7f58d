package libpod

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func openFile(t *testing.T, path string, flag int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// Pipes and /dev/null are handed out as they are, all else is copied, to the last
// byte although something keeps the pipe open.
func TestLend(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	text := bytes.Repeat([]byte("0123456789abcdef"), 4<<10) // as much as a pipe holds
	if err := os.WriteFile(in, text, 0o600); err != nil {
		t.Fatal(err)
	}
	stdout := openFile(t, out, os.O_CREATE|os.O_WRONLY)
	l, err := lend(openFile(t, in, os.O_RDONLY), stdout, stdout)
	if err != nil {
		t.Fatal(err)
	}
	if l.files[1] != l.files[2] {
		t.Error("one file for both outputs, but two pipes: the order is lost")
	}
	kept := openFile(t, again(l.files[1]), os.O_WRONLY) // a process in the background
	process := openFile(t, again(l.files[0]), os.O_RDONLY)
	l.begin()
	got, err := io.ReadAll(process)
	if err != nil || !bytes.Equal(got, text) {
		t.Errorf("the process read %d bytes of %d, %v", len(got), len(text), err)
	}
	if _, err := kept.Write(text); err != nil {
		t.Fatal(err)
	}
	l.end()
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, text) {
		t.Errorf("%d bytes of %d came, %v", len(got), len(text), err)
	}
}

// again is a path under which an open file can be opened once more.
func again(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

func TestLendPassesPipesOn(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	null := openFile(t, os.DevNull, os.O_RDWR)
	l, err := lend(r, w, null)
	if err != nil {
		t.Fatal(err)
	}
	if l.files[0] != r || l.files[1] != w || l.files[2] != null || l.input != nil || len(l.outputs) != 0 {
		t.Errorf("%+v", l)
	}
	l, err = lend(openFile(t, t.TempDir(), os.O_RDONLY), w, openFile(t, "/dev/zero", os.O_RDWR))
	if err != nil {
		t.Fatal(err)
	}
	if l.input == nil || l.files[1] != w || len(l.outputs) != 1 {
		t.Errorf("a directory or a device was handed out: %+v", l)
	}
	l.abandon()
}
