package oci_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	rspec "github.com/opencontainers/runtime-spec/specs-go"

	"ctr/libpod/oci"
	"ctr/pkg/userns"
)

// parentEnv makes the test program a parent that starts a container and waits to be
// killed: "executor directory how".
const parentEnv = "OCI_TEST_PARENT"

// testKilledParent kills a container's parent with SIGKILL and sees the container
// end: as it is, after Create only, under another user, and when its first process
// has changed its user itself, which makes the kernel forget the parent-death signal.
func testKilledParent(t *testing.T, r *rig) {
	for _, how := range []string{"started", "created", "user", "changed-user"} {
		if strings.HasSuffix(how, "user") && userns.SingleID() {
			continue
		}
		t.Run(how, func(t *testing.T) {
			parent := exec.Command("/proc/self/exe")
			parent.Env = append(os.Environ(), parentEnv+"="+r.name+" "+t.TempDir()+" "+how+" "+rootfs(t))
			parent.Stderr = os.Stderr
			stdout, err := parent.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := parent.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(stdout).ReadString('\n')
			if err != nil {
				t.Fatalf("the parent started no container: %v", err)
			}
			pid, _ := strconv.Atoi(strings.TrimSpace(line))
			parent.Process.Kill()
			parent.Wait()
			eventually(t, "the container is gone", func() bool { return zombie(pid) })
			removeCgroups(fmt.Sprintf("parent-%d", parent.Process.Pid))
		})
	}
}

// removeCgroups removes what a killed parent could not.
func removeCgroups(name string) {
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == name {
			_ = os.Remove(path)
		}
		return nil
	})
}

func eventually(t *testing.T, what string, true func() bool) {
	t.Helper()
	for range 1000 {
		if true() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("never: %s", what)
}

func readFile(t *testing.T, dir string, pid int, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, strconv.Itoa(pid), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// parentMain is that parent: it prints the container's pid when it may be killed.
func parentMain(job string) int {
	words := strings.Fields(job)
	name, dir, how, root := words[0], words[1], words[2], words[3]
	if err := parent(name, dir, how, root); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	select {}
}

func parent(name, dir, how, root string) error {
	x := oci.NewBuiltin()
	if name != "builtin" {
		var err error
		if x, err = oci.NewExternal(name); err != nil {
			return err
		}
	}
	// setpriv-like: busybox's su needs no terminal and changes the user in place.
	args := []string{"sh", "-c", "echo up; exec sleep 1000"}
	if how == "changed-user" {
		args = []string{"busybox", "su", "-s", "/bin/sh", "other", "-c", "echo up; exec sleep 1000"}
	}
	spec := newSpec(&testing.T{}, args...)
	spec.Root.Path = root
	if how == "user" {
		spec.Process.User = rspec.User{UID: 1000, GID: 1000}
	}
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	c, err := x.Create(context.Background(), fmt.Sprintf("parent-%d", os.Getpid()), dir, spec, oci.IO{Stdout: write, Stderr: os.Stderr})
	if err != nil {
		return err
	}
	write.Close()
	if how != "created" {
		if err := c.Start(context.Background()); err != nil {
			return err
		}
		if _, err := read.Read(make([]byte, 3)); err != nil {
			return fmt.Errorf("the container did not come up: %w", err)
		}
	}
	if how == "changed-user" {
		// The guard, which is for this case, comes a moment after the start.
		time.Sleep(300 * time.Millisecond)
	}
	fmt.Println(c.Pid())
	return nil
}
