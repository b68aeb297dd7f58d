package oci

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// descendants lists roots and every process below them, from /proc alone: without a
// cgroup there is no other list. In a private pid namespace that is complete,
// because orphans there become children of the container's first process.
func descendants(roots []int) []int {
	children := childrenByParent()
	var all []int
	seen := map[int]bool{}
	for queue := roots; len(queue) > 0; queue = queue[1:] {
		pid := queue[0]
		if seen[pid] {
			continue
		}
		seen[pid] = true
		all = append(all, pid)
		queue = append(queue, children[pid]...)
	}
	slices.Sort(all)
	return all
}

func childrenByParent() map[int][]int {
	children := map[int][]int{}
	for pid := range pids {
		if parent, ok := parentOf(pid); ok {
			children[parent] = append(children[parent], pid)
		}
	}
	return children
}

// pids yields every process that /proc shows.
func pids(yield func(int) bool) {
	dir, err := os.Open("/proc")
	if err != nil {
		return
	}
	names, _ := dir.Readdirnames(-1)
	dir.Close()
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && !yield(pid) {
			return
		}
	}
}

// parentOf reads the parent of a process that is not a zombie.
func parentOf(pid int) (int, bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false
	}
	// The name may hold spaces and parentheses; the state and the parent follow the last one.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 || fields[0][0] == 'Z' {
		return 0, false
	}
	parent, err := strconv.Atoi(string(fields[1]))
	return parent, err == nil
}

// signalEach sends sig to every process that list returns.
func signalEach(list func() []int, sig syscall.Signal) {
	pids := list()
	if sig == unix.SIGKILL {
		pids = stopAll(list)
	}
	for _, pid := range pids {
		_ = unix.Kill(pid, sig)
	}
}

// stopAll stops processes until list returns no new one, so that none forks a child
// that loses its parent, and its place in the list, to the kill.
func stopAll(list func() []int) []int {
	var stopped []int
	for fresh := true; fresh; {
		fresh = false
		for _, pid := range list() {
			if !slices.Contains(stopped, pid) {
				stopped, fresh = append(stopped, pid), true
				_ = unix.Kill(pid, unix.SIGSTOP)
			}
		}
	}
	return stopped
}
