// Package process names processes so that records on disk stay true after a pid is
// used again. See proc_pid_stat(5).
package process

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// Process is a process that cannot be mistaken for a later one with the same pid.
type Process struct {
	Pid   int    `json:"pid"`
	Start uint64 `json:"start"` // field 22 of proc_pid_stat(5): clock ticks since boot
}

// This is the caller.
func This() Process { return Of(os.Getpid()) }

// Of reads the start time of pid; Start is 0 when there is no such process.
func Of(pid int) Process {
	start, _ := startTime(pid)
	return Process{Pid: pid, Start: start}
}

// Alive reports whether the process still exists and is not a zombie.
func (p Process) Alive() bool {
	if p.Pid <= 0 || p.Start == 0 {
		return false
	}
	start, zombie := startTime(p.Pid)
	return start == p.Start && !zombie
}

func startTime(pid int) (start uint64, zombie bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false
	}
	// the name in brackets may hold spaces and brackets itself
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 20 {
		return 0, false
	}
	start, _ = strconv.ParseUint(f[19], 10, 64)
	return start, f[0] == "Z" || f[0] == "X"
}
