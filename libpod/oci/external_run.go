package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// command is the runtime under the options that go before every verb.
func (c *externalContainer) command(ctx context.Context, logFile string, args ...string) *exec.Cmd {
	options := []string{"--root", filepath.Join(c.dir, "state"), "--log", logFile, "--log-format", "json"}
	if c.runtime.crun {
		manager := "cgroupfs"
		if !c.cgroup {
			manager = "disabled"
		}
		options = append(options, "--cgroup-manager", manager)
	}
	cmd := exec.CommandContext(ctx, c.runtime.path, append(options, args...)...)
	cmd.Dir = c.dir
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "XDG_RUNTIME_DIR"} {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	// A runtime whose caller is gone must not finish what it began.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	return cmd
}

// run runs a verb that starts no process.
func (c *externalContainer) run(args ...string) error {
	logFile, err := c.newLog()
	if err != nil {
		return err
	}
	defer os.Remove(logFile)
	var stderr bytes.Buffer
	cmd := c.command(context.Background(), logFile, args...)
	cmd.Stderr = &stderr
	if err := inNursery(cmd.Start); err != nil {
		return fmt.Errorf("%s: %w", c.runtime.path, err)
	}
	return c.explain(cmd.Wait(), logFile, stderr.String())
}

func (c *externalContainer) newLog() (string, error) {
	f, err := os.CreateTemp(c.dir, "log-")
	if err != nil {
		return "", fmt.Errorf("making the runtime's log: %w", err)
	}
	return f.Name(), f.Close()
}

// explain turns a runtime's failure into one line: the last error in its log, else
// the last line of its standard error.
func (c *externalContainer) explain(err error, logFile, stderr string) error {
	if err == nil {
		return nil
	}
	name := filepath.Base(c.runtime.path)
	log, _ := os.ReadFile(logFile)
	message := ""
	for _, line := range strings.Split(string(log), "\n") {
		var entry struct{ Level, Msg string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg != "" && (entry.Level == "error" || entry.Level == "fatal") {
			message = entry.Msg
		}
	}
	if message == "" {
		lines := strings.Split(strings.TrimSpace(stderr), "\n")
		message = lines[len(lines)-1]
	}
	if message == "" {
		return fmt.Errorf("%s: %w", name, err)
	}
	return fmt.Errorf("%s: %s", name, message)
}

// spawn is a verb that starts a process of the container: create or exec.
type spawn struct {
	args    []string // verb and options; the common ones and the container's id are added
	pidFile string
	program string
	stdio   IO
}

// spawn runs s and adopts the process that it leaves behind.
func (c *externalContainer) spawn(ctx context.Context, s spawn) (*child, error) {
	family.births.RLock()
	started, err := c.runAndAdopt(ctx, s)
	family.births.RUnlock()
	if err != nil {
		reapStrays()
	}
	return started, err
}

func (c *externalContainer) runAndAdopt(ctx context.Context, s spawn) (*child, error) {
	logFile, err := c.newLog()
	if err != nil {
		return nil, err
	}
	defer os.Remove(logFile)
	args := append(s.args, "--pid-file", s.pidFile)
	if n := len(s.stdio.Extra); n > 0 {
		args = append(args, "--preserve-fds", strconv.Itoa(n))
	}
	var console *consoleListener
	if s.stdio.Console != nil {
		if console, err = listenConsole(c.dir); err != nil {
			return nil, err
		}
		defer console.close()
		args = append(args, "--console-socket", console.name)
	}
	cmd := c.command(ctx, logFile, append(args, c.id)...)
	cmd.ExtraFiles = s.stdio.Extra
	if console == nil {
		connectCommand(cmd, s.stdio)
	}
	err = inNursery(cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	if err = c.explain(err, logFile, ""); err != nil {
		if refused := asExecError(err.Error(), s.program); refused != nil {
			return nil, refused
		}
		return nil, err
	}
	return c.adopt(s, console)
}

func (c *externalContainer) adopt(s spawn, console *consoleListener) (*child, error) {
	text, err := os.ReadFile(s.pidFile)
	if err != nil {
		return nil, fmt.Errorf("reading the process id that %s wrote: %w", c.runtime.path, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("reading the process id that %s wrote: %w", c.runtime.path, err)
	}
	started := adopt(pid, c.child)
	if console != nil {
		master, err := console.receive()
		if err != nil {
			_ = started.Signal(unix.SIGKILL)
			_, _ = started.Wait()
			return nil, err
		}
		s.stdio.Console(master)
	}
	return started, nil
}

func connectCommand(cmd *exec.Cmd, stdio IO) {
	if stdio.Stdin != nil {
		cmd.Stdin = stdio.Stdin
	}
	if stdio.Stdout != nil {
		cmd.Stdout = stdio.Stdout
	}
	if stdio.Stderr != nil {
		cmd.Stderr = stdio.Stderr
	}
}

// consoleListener is the named socket over which a runtime hands out a terminal.
type consoleListener struct {
	name string // relative to the directory that runtimes are run in
	path string
	l    *net.UnixListener
}

func listenConsole(dir string) (*consoleListener, error) {
	f, err := os.CreateTemp(dir, "tty-")
	if err != nil {
		return nil, fmt.Errorf("making the console socket: %w", err)
	}
	f.Close()
	os.Remove(f.Name())
	// A socket's address holds 107 bytes; through the directory's descriptor it always fits.
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("making the console socket: %w", err)
	}
	defer d.Close()
	name := filepath.Base(f.Name())
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), name)})
	if err != nil {
		return nil, fmt.Errorf("making the console socket: %w", err)
	}
	l.SetUnlinkOnClose(false) // its descriptor's path is stale by then
	return &consoleListener{name: name, path: f.Name(), l: l}, nil
}

// receive takes the terminal from the runtime, which has ended and so has sent it.
func (l *consoleListener) receive() (*os.File, error) {
	raw, err := l.l.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("receiving the terminal: %w", err)
	}
	var conn int
	var acceptErr error
	err = raw.Control(func(fd uintptr) {
		conn, _, acceptErr = unix.Accept4(int(fd), unix.SOCK_CLOEXEC)
	})
	if err = errors.Join(err, acceptErr); err != nil {
		return nil, fmt.Errorf("receiving the terminal: the runtime sent none: %w", err)
	}
	defer unix.Close(conn)
	return receiveMaster(conn)
}

func (l *consoleListener) close() {
	l.l.Close()
	os.Remove(l.path)
}
