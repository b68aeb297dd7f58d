package e2e

import (
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// commands are what the scripts can say besides testscript's own words.
//
//	ctr ARGS…              exec ctr ARGS…
//	code N ctr ARGS…       runs ctr and demands the exit code N
//	eventually REGEXP ctr ARGS…   runs ctr until its output matches, for at most ten seconds
//	setout NAME ctr ARGS…  puts the trimmed output into an environment variable
//	nothing                no container, no name, no run directory is left, and soon no trash
//	within SECONDS REGEXP program ARGS…   is eventually, in that time
//	outside WORDS…         has the world around the machine do something: tests/world
//	quiet                  nothing of networks is left, once the helper has had its time
//	terminal FILE ctr ARGS…       runs ctr on a terminal and does what FILE says (terminal_test.go)
var commands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"ctr":        ctrCommand,
	"code":       codeCommand,
	"eventually": eventuallyCommand,
	"setout":     setoutCommand,
	"nothing":    nothingCommand,
	"within":     withinCommand,
	"outside":    outsideCommand,
	"quiet":      quietCommand,
	"terminal":   terminalCommand,
}

func ctrCommand(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec("ctr", args...)
	if (err != nil) != neg {
		ts.Fatalf("ctr %s: %v", strings.Join(args, " "), err)
	}
}

func nothingCommand(ts *testscript.TestScript, neg bool, args []string) {
	if left := leftBehind(ts.Getenv("WORK")); len(left) > 0 {
		ts.Fatalf("left behind: %v", left)
	}
}

func codeCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N program args...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := err.(*exec.ExitError); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func eventuallyCommand(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: eventually regexp program args...")
	}
	re, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		_ = ts.Exec(args[1], args[2:]...)
		if re.MatchString(ts.ReadFile("stdout")) != neg {
			return
		}
	}
	ts.Fatalf("the output never matched %q", args[0])
}

func setoutCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: setout name program args...")
	}
	ts.Check(ts.Exec(args[1], args[2:]...))
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}
