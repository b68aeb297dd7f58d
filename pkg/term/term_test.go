package term

import (
	"context"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// openPty returns both ends of a new terminal.
func openPty(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	var n uint32
	control(master, &err, func(fd int) {
		if err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err == nil {
			n, err = unix.IoctlGetUint32(fd, unix.TIOCGPTN)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

func TestIsTerminal(t *testing.T) {
	_, slave := openPty(t)
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, c := range []struct {
		name string
		f    *os.File
		want bool
	}{{"pty", slave, true}, {"null", null, false}, {"nil", nil, false}} {
		if got := IsTerminal(c.f); got != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
	}
}

func TestMakeRawPassesEveryByteAndRestores(t *testing.T) {
	master, slave := openPty(t)
	before, err := attributes(slave)
	if err != nil {
		t.Fatal(err)
	}
	restore, err := MakeRaw(slave)
	if err != nil {
		t.Fatal(err)
	}
	typed := []byte("\x03\x04\r\x11\x13\x16\x1a\x1c\x7fa")
	if _, err := master.Write(typed); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	var got []byte
	for len(got) < len(typed) {
		n, err := slave.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, buf[:n]...)
	}
	if string(got) != string(typed) {
		t.Errorf("typed %q, got %q", typed, got)
	}
	if _, err := slave.Write([]byte("a\nb")); err != nil {
		t.Fatal(err)
	}
	n, err := master.Read(buf)
	if err != nil || string(buf[:n]) != "a\nb" {
		t.Errorf("output was changed, or input echoed: %q %v", buf[:n], err)
	}
	restore()
	restore()
	after, err := attributes(slave)
	if err != nil {
		t.Fatal(err)
	}
	if *after != *before {
		t.Errorf("restored to %+v, was %+v", after, before)
	}
}

func TestMakeRawOfAFile(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := MakeRaw(f); err == nil {
		t.Error("a file became a raw terminal")
	}
}

func TestSizeReachesTheOtherEnd(t *testing.T) {
	master, slave := openPty(t)
	want := Winsize{Height: 33, Width: 121}
	if err := SetSize(master, want); err != nil {
		t.Fatal(err)
	}
	if got, err := Size(slave); err != nil || got != want {
		t.Errorf("got %v %v, want %v", got, err, want)
	}
	if got := Columns(slave.Fd()); got != 121 {
		t.Errorf("columns: %d", got)
	}
	if _, err := Size(nil); err == nil {
		t.Error("nil has a size")
	}
	if got := Columns(^uintptr(0)); got != 0 {
		t.Errorf("columns of nothing: %d", got)
	}
}

func TestNotifyResize(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	changes := NotifyResize(ctx)
	for range 3 {
		if err := unix.Kill(os.Getpid(), unix.SIGWINCH); err != nil {
			t.Fatal(err)
		}
		if _, open := <-changes; !open {
			t.Fatal("closed too early")
		}
	}
	cancel()
	for range changes { // ends only when it is closed
	}
}
