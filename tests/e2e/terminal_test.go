package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rogpeppe/go-internal/testscript"
)

// A terminal's script is a person's: one line for each thing done.
//
//	expect REGEXP   wait until it has appeared since the last expect
//	send TEXT       type; Go's escapes: \r is Enter, \x10\x11 is ctrl-p ctrl-q
//	size ROWS COLS  change the window
//	hangup          close the terminal
//	exit CODE       wait for the program to end with it
//
// Afterwards stdout is all that appeared, and the terminal must be as it was.

// patience is how long something that must happen is waited for.
const patience = 15 * time.Second

func terminalCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: terminal file program args...")
	}
	program, err := exec.LookPath(strings.Replace(args[1], "ctr", ts.Getenv("FIXTURES")+"/bin/ctr", 1))
	ts.Check(err)
	screen, tty, err := openTerminal()
	ts.Check(err)
	defer tty.Close()
	before, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	ts.Check(err)
	cmd := exec.Command(program, args[2:]...)
	cmd.Dir, cmd.Env = ts.MkAbs("."), scriptEnv(ts)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	ts.Check(cmd.Start())
	s := &session{screen: screen, cmd: cmd, ended: make(chan error, 1)}
	go s.watch()
	go func() { s.ended <- cmd.Wait() }()
	for i, line := range strings.Split(strings.TrimSpace(ts.ReadFile(args[0])), "\n") {
		if err := s.do(line); err != nil {
			_ = cmd.Process.Kill()
			ts.Fatalf("%s:%d: %s: %v\nthe screen:\n%s", args[0], i+1, line, err, s.seen())
		}
	}
	after, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err == nil && *after != *before {
		ts.Fatalf("the terminal's settings were changed:\n%+v\n%+v", *before, *after)
	}
	fmt.Fprint(ts.Stdout(), strings.ReplaceAll(s.seen(), "\r\n", "\n"))
}

// scriptEnv is the environment of the script's programs.
func scriptEnv(ts *testscript.TestScript) []string {
	var env []string
	for _, name := range []string{"HOME", "PATH", "XDG_RUNTIME_DIR", "CTR_ROOT", "CTR_RUNROOT", "CONTAINERS_STORAGE_CONF", "TERM", linkEnv} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	return env
}

func openTerminal() (screen, tty *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, nil, err
	}
	tty, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	return os.NewFile(uintptr(fd), "screen"), tty, err
}

type session struct {
	screen *os.File
	cmd    *exec.Cmd
	ended  chan error

	mu     sync.Mutex
	output bytes.Buffer
	read   int // how much of it earlier expects have used up
}

func (s *session) watch() {
	b := make([]byte, 4096)
	for {
		n, err := s.screen.Read(b)
		s.mu.Lock()
		s.output.Write(b[:n])
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (s *session) seen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.output.String()
}

func (s *session) do(line string) error {
	what, arg, _ := strings.Cut(line, " ")
	switch what {
	case "expect":
		return s.expect(arg)
	case "send":
		text, err := strconv.Unquote(`"` + strings.ReplaceAll(arg, `"`, `\"`) + `"`)
		if err != nil {
			return err
		}
		_, err = s.screen.WriteString(text)
		return err
	case "size":
		var size unix.Winsize
		if _, err := fmt.Sscan(arg, &size.Row, &size.Col); err != nil {
			return err
		}
		return unix.IoctlSetWinsize(int(s.screen.Fd()), unix.TIOCSWINSZ, &size)
	case "hangup":
		return s.screen.Close()
	case "exit":
		return s.exit(arg)
	}
	return errors.New("no such action")
}

func (s *session) expect(pattern string) error {
	re, err := regexp.Compile("(?m)" + pattern)
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		at := re.FindIndex(s.output.Bytes()[s.read:])
		if at != nil {
			s.read += at[1]
		}
		s.mu.Unlock()
		if at != nil {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New("it never appeared")
		}
	}
}

func (s *session) exit(code string) error {
	select {
	case <-s.ended:
	case <-time.After(patience):
		return errors.New("it did not end")
	}
	if got := strconv.Itoa(s.cmd.ProcessState.ExitCode()); got != code {
		return fmt.Errorf("it ended with %s", got)
	}
	return nil
}
