package link

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// baggage is what a monitor has that the helper must not keep: a container's mounts,
// and a descriptor that is inherited by mistake.
func (w *hubWorld) baggage(t *testing.T) {
	rootfs := filepath.Join(w.run, "container", "root fs")
	must(t, os.MkdirAll(rootfs, 0o700))
	must(t, unix.Mount("tmpfs", rootfs, "tmpfs", 0, ""))
	t.Cleanup(func() { unix.Unmount(rootfs, unix.MNT_DETACH) })
	terminal, err := unix.Open(filepath.Join(w.run, "terminal"), unix.O_CREAT|unix.O_RDWR, 0o600)
	must(t, err)
	t.Cleanup(func() { unix.Close(terminal) })
}

// holds looks at the helper from outside, as others find the hub through it.
func (w *hubWorld) holds(t *testing.T) {
	i, err := Read(w.run)
	must(t, err)
	proc := fmt.Sprintf("/proc/%d/", i.Process.Pid)
	mounts, err := os.ReadFile(proc + "mountinfo")
	must(t, err)
	if strings.Contains(string(mounts), w.run+"/") {
		t.Errorf("the helper holds a container's mounts:\n%s", mounts)
	}
	if own, err := os.ReadFile("/proc/self/mountinfo"); err != nil || !strings.Contains(string(own), w.run+"/") {
		t.Errorf("the monitor has lost its mounts: %v", err)
	}
	files, err := filepath.Glob(proc + "fd/*")
	must(t, err)
	for _, f := range files {
		if to, _ := os.Readlink(f); strings.HasSuffix(to, "/terminal") {
			t.Errorf("the helper holds %s", to)
		}
	}
	if !sameFile(w.hub.NS(), i.Process.Pid, i.Hub) {
		t.Errorf("descriptor %d of the helper is not the hub", i.Hub)
	}
	status, err := os.ReadFile(proc + "status")
	must(t, err)
	if !strings.Contains(string(status), "\nNoNewPrivs:\t1\n") {
		t.Errorf("the helper may gain privileges:\n%s", status)
	}
	_, after, _ := strings.Cut(string(status), "\nCapEff:\t")
	caps, err := strconv.ParseUint(strings.TrimSpace(after[:16]), 16, 64)
	must(t, err)
	for _, c := range []int{unix.CAP_SYS_PTRACE, unix.CAP_DAC_OVERRIDE, unix.CAP_MKNOD, unix.CAP_SYS_MODULE} {
		if caps&(1<<c) != 0 {
			t.Errorf("the helper has capability %d", c)
		}
	}
	if comm, _ := os.ReadFile(proc + "comm"); string(comm) != Name+"\n" {
		t.Errorf("the helper is called %q", comm)
	}
}

// memory tells what the helper takes, in proportional set size.
func (w *hubWorld) memory(t *testing.T) {
	i, err := Read(w.run)
	must(t, err)
	pids := []int{i.Process.Pid}
	pids = append(pids, children(i.Process.Pid)...)
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		must(t, err)
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "Pss:") || strings.HasPrefix(line, "Private_Dirty:") {
				t.Logf("%d: %s", pid, line)
			}
		}
	}
}

func children(pid int) (found []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		for _, word := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				found = append(found, child)
			}
		}
	}
	return found
}
