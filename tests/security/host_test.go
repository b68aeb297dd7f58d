package security

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Sockets of the host's abstract name space belong to its network namespace
// (CVE-2020-15257).
func TestAbstractSockets(t *testing.T) {
	name := "ctr-security-" + strconv.Itoa(os.Getpid())
	l, err := net.Listen("unix", "@"+name)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if out := must(t, ctr("run", "--rm", "--network", "host", base, "probe", "abstract", name)); out != "connected\n" {
		t.Fatalf("with the host's network: %s: nothing can be tested", out)
	}
	id := start(t, base, "sleep", "1000")
	for _, r := range []result{run(base, "probe", "abstract", name), ctr("exec", id, "probe", "abstract", name)} {
		if out := must(t, r); out != "Connection refused\n" {
			t.Error(out)
		}
	}
}

// A container has no way to its monitor: not its socket, not its directories, not its
// process.
func TestMonitorIsOutOfReach(t *testing.T) {
	id := start(t, base, "sleep", "1000")
	out := must(t, ctr("exec", id, "sh", "-c", "find / -xdev -type s; find /run /dev /tmp /etc -type s 2>/dev/null; ls -d "+here.dir+" 2>/dev/null; grep -c . /proc/net/unix; grep PPid: /proc/1/status; ls -d /proc/[0-9]* | wc -l"))
	if want := "PPid:\t0\n"; !strings.Contains(out, want) || strings.Contains(out, "ctl.sock") || strings.Contains(out, here.dir) {
		t.Error(out)
	}
	for line := range strings.Lines(must(t, ctr("exec", id, "cat", "/proc/net/unix"))) {
		if strings.Contains(line, "ctl.sock") || strings.Contains(line, "@") {
			t.Error("a socket of the host's: ", line)
		}
	}
	monitor := monitorOf(t, id)
	for _, script := range []string{
		fmt.Sprintf("kill -9 %d", monitor), fmt.Sprintf("cat /proc/%d/environ", monitor), fmt.Sprintf("ls /proc/%d/root/", monitor), "kill -9 -1; kill -9 1; sleep 0; true",
	} {
		_ = ctr("exec", id, "sh", "-c", script)
	}
	if err := syscall.Kill(monitor, 0); err != nil {
		t.Error("the container has killed its monitor: ", err)
	}
	// sharing the host's processes is no power over ours: they have more capabilities
	out = must(t, ctr("run", "--rm", "--network", "none", "--pid", "host", base, "sh", "-c",
		fmt.Sprintf("ls /proc/%d/root/ /proc/%[1]d/cwd/ 2>/dev/null; for f in /proc/%[1]d/fd/*; do readlink $f; done; cat /proc/%[1]d/environ 2>/dev/null; busybox tr '\\0' ' ' </proc/%[1]d/cmdline", monitor)))
	if !strings.HasPrefix(out, "ctr-monitor "+id) {
		t.Error(out)
	}
}

func monitorOf(t *testing.T, id string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(here.dir, "run/ctr", id, "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range mustGlob("/proc/[0-9]*/cmdline") {
		line, _ := os.ReadFile(path)
		if strings.HasPrefix(string(line), "ctr-monitor\x00"+id) {
			pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
			return pid
		}
	}
	t.Fatalf("no monitor of %s", b)
	return 0
}

func mustGlob(pattern string) []string {
	found, err := filepath.Glob(pattern)
	if err != nil {
		panic(err)
	}
	return found
}

// Without -t a container gets no terminal of ours, as a descriptor or as its
// controlling one, so that it can neither read what is typed nor type itself (TIOCSTI).
func TestTerminalStaysOurs(t *testing.T) {
	id := start(t, base, "sleep", "1000")
	const want = "fd 0: none refused\nfd 1: none refused\nfd 2: none refused\n/dev/tty: none\n"
	for _, words := range []string{
		"run --rm --network none base probe tty", "run --rm --network none -i base probe tty", "run --rm --network none --init -i base probe tty",
		"exec " + id + " probe tty", "exec -i " + id + " probe tty", "exec -u 1 " + id + " probe tty",
	} {
		screen, tty := terminal(t)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		cmd := here.command(ctx, strings.Fields(words)...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		var seen strings.Builder
		read := make(chan struct{})
		go func() {
			defer close(read)
			b := make([]byte, 4096)
			for {
				n, err := screen.Read(b)
				seen.Write(b[:n])
				if err != nil {
					return
				}
			}
		}()
		err := cmd.Run()
		cancel()
		tty.Close()
		<-read
		if got := strings.ReplaceAll(seen.String(), "\r", ""); err != nil || got != want {
			t.Errorf("%s: %v\n%s", words, err, got)
		}
	}
	// with -t it is the container's own, whose name says nothing of ours
	if out := must(t, run("-t", base, "sh", "-c", "tty; readlink /proc/self/fd/0; stat -c %t:%T /dev/console")); strings.Count(out, "/dev/pts/0") != 2 {
		t.Error(out)
	}
}

func terminal(t *testing.T) (screen, tty *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	screen = os.NewFile(uintptr(fd), "screen")
	t.Cleanup(func() { screen.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	return screen, tty
}
