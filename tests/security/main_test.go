// Package security attacks containers the way the field's advisories did, each test
// written from the cause and not from the exploit. docs/security.md is the list, with
// what protects against each.
//
// The attacks are made with the built programs, three times: as root, as an ordinary
// user with subordinate ids, and as one without. testdata/probe.c is the attacker, and
// tests/probe where packets are its means; root runs each kind of user on a machine of
// its own (tests/world).
package security

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"

	machines "ctr/tests/world"
)

// who is the kind of user that this process tests as, "" in the first one.
const whoEnv = "CTR_SECURITY_AS"

// The kinds.
const (
	asRoot   = "root"
	asUser   = "user"
	asSingle = "single"
)

// singleUser has no subordinate ids.
const singleUser = 61234

func TestMain(m *testing.M) {
	if os.Getenv(whoEnv) != "" {
		code, err := inner(m)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		os.Exit(code)
	}
	code, err := outer()
	if err != nil {
		fmt.Fprintln(os.Stderr, "preparing the security tests:", err)
		code = 1
	}
	os.Exit(code)
}

// outer runs this program again as each kind of user that it can become.
func outer() (code int, err error) {
	probe, err := buildProbe()
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(filepath.Dir(probe))
	if os.Getuid() != 0 {
		return again(asUser, os.Getuid(), probe)
	}
	uid, err := ordinaryUser()
	if err != nil {
		return 1, err
	}
	for _, r := range []struct {
		who string
		uid int
	}{{asRoot, 0}, {asUser, uid}, {asSingle, singleUser}} {
		if only := os.Getenv("CTR_SECURITY_ONLY"); only != "" && only != r.who {
			continue
		}
		c, err := again(r.who, r.uid, probe)
		if err != nil {
			return 1, fmt.Errorf("as %s: %w", r.who, err)
		}
		code = max(code, c)
	}
	return code, nil
}

func buildProbe() (string, error) {
	dir, err := os.MkdirTemp("", "ctr-security-")
	if err != nil {
		return "", err
	}
	probe := filepath.Join(dir, "probe")
	out, err := exec.Command("gcc", "-std=gnu11", "-O1", "-static", "-o", probe, "testdata/probe.c").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("compiling testdata/probe.c: %w: %s", err, out)
	}
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", filepath.Join(dir, "netprobe"), "../probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building tests/probe: %w: %s", err, out)
	}
	return probe, nil
}

func ordinaryUser() (int, error) {
	const name = "ctrtest"
	u, err := user.Lookup(name)
	if err != nil {
		if out, err := exec.Command("useradd", "-m", "-s", "/bin/sh", name).CombinedOutput(); err != nil {
			return 0, fmt.Errorf("useradd: %w: %s", err, out)
		}
		if u, err = user.Lookup(name); err != nil {
			return 0, err
		}
	}
	return strconv.Atoi(u.Uid)
}

// again runs this test program as uid, in a directory of its own. The user owns the
// programs that it runs, as one who installed them at home does: an attack on them
// would succeed if nothing but permissions protected them.
func again(who string, uid int, probe string) (int, error) {
	dir, err := os.MkdirTemp("", "ctr-security-"+who+"-")
	if err != nil {
		return 1, err
	}
	defer exec.Command("rm", "-rf", dir).Run()
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	script := `set -eu
mkdir "$1/bin" "$1/home"
cp "$2" "$1/bin/security.test"
bin=${CTR_TEST_BIN:-../../bin}
cp "$bin/ctr" "$bin/ctr-full" "$3" "$(dirname "$3")/netprobe" "$(command -v busybox)" "$1/bin/"
chown -R "$4" "$1"`
	if out, err := exec.Command("sh", "-c", script, "sh", dir, self, probe, strconv.Itoa(uid)).CombinedOutput(); err != nil {
		return 1, fmt.Errorf("%w: %s (make builds the programs)", err, out)
	}
	cmd := exec.Command(filepath.Join(dir, "bin/security.test"), os.Args[1:]...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = []string{whoEnv + "=" + who, "HOME=" + dir + "/home", "TMPDIR=" + dir, "PATH=" + os.Getenv("PATH")}
	fmt.Printf("--- attacks as %s (uid %d)\n", who, uid)
	err = runOnMachine(cmd, uid)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}

// runOnMachine runs cmd as uid on a machine made for it, when this is root, else here.
func runOnMachine(cmd *exec.Cmd, uid int) error {
	if err := machines.Possible(); err != nil {
		return cmd.Run()
	}
	machine, err := machines.New(machines.Options{})
	if err != nil {
		return err
	}
	defer machine.Close()
	return machine.Run(cmd, uid)
}

// inner prepares the image and runs the tests; afterwards the programs must be what
// they were, and nothing may be left.
func inner(m *testing.M) (int, error) {
	dir, err := os.Getwd()
	if err != nil {
		return 1, err
	}
	if here, err = newWorld(dir, os.Getenv(whoEnv)); err != nil {
		return 1, err
	}
	code := m.Run()
	return code, here.close()
}
