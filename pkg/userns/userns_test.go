package userns

import (
	"io"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const childEnv = "CTR_USERNS_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "show":
		uidMap, _ := os.ReadFile("/proc/self/uid_map")
		fds, _ := os.ReadDir("/proc/self/fd")
		var open []string
		for _, fd := range fds {
			if target, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && !strings.Contains(target, "/proc/") && !strings.HasPrefix(target, "anon_inode:") && !strings.HasPrefix(target, "/sys/fs/cgroup/") /* the Go runtime reads its CPU quota */ {
				open = append(open, fd.Name())
			}
		}
		os.Stdout.WriteString(strconv.Itoa(os.Getuid()) + "\n" + strings.Join(strings.Fields(string(uidMap)), " ") + "\n" + strings.Join(open, " ") + "\n")
		os.Exit(7)
	case "spawn":
		os.Unsetenv(childEnv)
		pid, _, err := Command{Args: []string{"shown"}, Env: []string{childEnv + "=show"}, Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}}.Spawn()
		if err != nil {
			os.Stdout.WriteString(err.Error())
			os.Exit(1)
		}
		var ws syscall.WaitStatus
		syscall.Wait4(pid, &ws, 0, nil)
		os.Exit(ws.ExitStatus())
	}
	os.Exit(m.Run())
}

// spawnAs runs Spawn as another user and returns what the child saw.
func spawnAs(t *testing.T, uid uint32) (lines []string, code int) {
	t.Helper()
	bin := t.TempDir() + "/t"
	src, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dst, err := os.OpenFile(bin, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(dst, src)
	dst.Close()
	for dir := bin; dir != "/tmp" && dir != "/"; dir = dir[:strings.LastIndex(dir, "/")] {
		os.Chmod(dir, 0o755)
	}
	cmd := exec.Command(bin)
	cmd.Env = append(os.Environ(), childEnv+"=spawn")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, _ := cmd.CombinedOutput()
	return strings.Split(strings.TrimSpace(string(out)), "\n"), cmd.ProcessState.ExitCode()
}

func needRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("becomes other users, which needs root")
	}
}

func TestSpawnWithoutSubordinateIDsMapsOnlyTheUser(t *testing.T) {
	needRoot(t)
	lines, code := spawnAs(t, 54321)
	if code != 7 || len(lines) != 3 || lines[0] != "0" || lines[1] != "0 54321 1" {
		t.Fatalf("code %d, child saw %q; want uid 0 mapped to 54321 alone", code, lines)
	}
}

func TestSpawnMapsSubordinateIDs(t *testing.T) {
	needRoot(t)
	const name = "ctrusernstest"
	exec.Command("useradd", "-m", name).Run()
	defer exec.Command("userdel", "-r", name).Run()
	u, err := user.Lookup(name)
	if err != nil {
		t.Skipf("cannot make a user here: %v", err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	lines, code := spawnAs(t, uint32(uid))
	if code != 7 || len(lines) != 3 || lines[0] != "0" || !strings.HasPrefix(lines[1], "0 "+u.Uid+" 1 1 ") {
		t.Fatalf("code %d, child saw %q; want the user and a subordinate range", code, lines)
	}
}

func TestSpawnLeaksNoFiles(t *testing.T) {
	needRoot(t)
	f, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_SETFD, 0) // inheritable
	lines, _ := spawnAs(t, 54321)
	if len(lines) != 3 || lines[2] != "0 1 2" {
		t.Fatalf("child has descriptors %q open, want 0 1 2", lines)
	}
}
