package config

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Real-time signals as the C library numbers them: the kernel's first two are taken by it.
const (
	rtMin = 34
	rtMax = 64
)

// ParseSignal reads a signal's name, with or without SIG and in any case, or its
// number; RTMIN+n and RTMAX-n are names too. "" is SIGTERM, Docker's stop signal.
func ParseSignal(s string) (syscall.Signal, error) {
	if s == "" {
		return unix.SIGTERM, nil
	}
	if n, err := strconv.Atoi(s); err == nil {
		if n < 1 || n > rtMax {
			return 0, fmt.Errorf("invalid signal: %s", s)
		}
		return syscall.Signal(n), nil
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	switch name { // older names
	case "CLD":
		name = "CHLD"
	case "IOT":
		name = "ABRT"
	case "POLL":
		name = "IO"
	}
	if sig := unix.SignalNum("SIG" + name); sig != 0 {
		return sig, nil
	}
	if sig, ok := realTime(name); ok {
		return sig, nil
	}
	return 0, fmt.Errorf("invalid signal: %s", s)
}

func realTime(name string) (syscall.Signal, bool) {
	base, offset := rtMin, name
	switch {
	case strings.HasPrefix(name, "RTMIN"):
		offset = name[len("RTMIN"):]
		if offset != "" && offset[0] != '+' {
			return 0, false
		}
	case strings.HasPrefix(name, "RTMAX"):
		base, offset = rtMax, name[len("RTMAX"):]
		if offset != "" && offset[0] != '-' {
			return 0, false
		}
	default:
		return 0, false
	}
	n := 0
	if offset != "" {
		var err error
		if n, err = strconv.Atoi(offset); err != nil {
			return 0, false
		}
	}
	if n += base; n < rtMin || n > rtMax {
		return 0, false
	}
	return syscall.Signal(n), true
}
