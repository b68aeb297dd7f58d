package spec

import (
	"path"
	"slices"
)

// What of /proc and /sys a container may not see. Docker's list; the entries that
// look odd leak the host's power draw, temperature or interrupts, which are side channels.
func maskedPaths() []string {
	return []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
		"/sys/devices/virtual/powercap", "/sys/firmware",
	}
}

// What of /proc a container may not write.
func readonlyPaths() []string {
	return []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}

func (b *builder) paths() {
	s, linux := b.c.Security, b.g.Config.Linux
	if !s.Privileged {
		unmasked := func(p string) bool { return matchesAny(s.Unmask, p) }
		linux.MaskedPaths = slices.DeleteFunc(append(maskedPaths(), b.Host.MaskedPaths...), unmasked)
		linux.ReadonlyPaths = slices.DeleteFunc(readonlyPaths(), unmasked)
	}
	for _, p := range s.Mask {
		if p = path.Clean(p); !slices.Contains(linux.MaskedPaths, p) {
			linux.MaskedPaths = append(linux.MaskedPaths, p)
		}
	}
}

// matchesAny reports whether a pattern of --security-opt unmask= covers p: ALL, the
// path itself, or one with shell wildcards.
func matchesAny(patterns []string, p string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if pattern == "ALL" {
			return true
		}
		ok, err := path.Match(path.Clean(pattern), p)
		return ok && err == nil
	})
}
