// Package host finds out what the spec of a container depends on of this machine.
package host

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ctr/cgroups"
	"ctr/libpod/config"
	"ctr/libpod/spec"
)

// Probe looks at what every container depends on, by a few cheap system calls, and at
// what c asks for. It runs in the monitor, in the namespaces that the container
// will be started from; rootless says that this is a user namespace. Devices that were
// asked for and are missing are an error.
func Probe(c *config.Container, rootless bool) (spec.Host, error) {
	var h spec.Host
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return h, fmt.Errorf("uname: %w", err)
	}
	h.Hostname = unix.ByteSliceToString(uts.Nodename[:])
	h.NoRecursiveReadOnly = !atLeast(unix.ByteSliceToString(uts.Release[:]), 5, 12)
	h.MaskedPaths = thermalThrottle()
	h.CgroupV1 = !cgroups.Unified()
	if c.NS.IPC == "host" {
		_, err := os.Stat("/dev/mqueue")
		h.NoMqueue = err != nil
	}
	h.Capabilities = capabilities()
	if c.OOMScoreAdj != nil || len(c.Ulimits) > 0 {
		h.Confined = rootless || h.Capabilities&(1<<unix.CAP_SYS_RESOURCE) == 0
		h.OOMScoreAdj = oomScoreAdj()
		h.HardLimits = hardLimits()
	}
	var err error
	h.Devices, err = devices(c, rootless)
	return h, err
}

// capabilities has bit n set when capability n is in this process's bounding set.
func capabilities() uint64 {
	var set uint64
	for n := range 64 {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(n), 0, 0, 0)
		if err != nil {
			break // past the last that the kernel knows
		}
		if has == 1 {
			set |= 1 << n
		}
	}
	return set
}

// atLeast reports whether a kernel release is major.minor or newer. One that cannot
// be read is taken for new.
func atLeast(release string, major, minor int) bool {
	first, rest, _ := strings.Cut(release, ".")
	second := rest
	if end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		second = rest[:end]
	}
	x, err := strconv.Atoi(first)
	y, err2 := strconv.Atoi(second)
	return err != nil || err2 != nil || x > major || x == major && y >= minor
}

// thermalThrottle are files that tell the processors' temperature, one for each.
func thermalThrottle() []string {
	const file = "/sys/devices/system/cpu/cpu%d/thermal_throttle"
	if unix.Access(fmt.Sprintf(file, 0), unix.F_OK) != nil {
		return nil
	}
	var paths []string
	possible, err := os.ReadFile("/sys/devices/system/cpu/possible")
	if err != nil {
		return nil
	}
	for _, r := range strings.Split(strings.TrimSpace(string(possible)), ",") {
		low, high, isRange := strings.Cut(r, "-")
		from, err := strconv.Atoi(low)
		if err != nil {
			continue
		}
		to := from
		if isRange {
			if to, err = strconv.Atoi(high); err != nil {
				continue
			}
		}
		for n := from; n <= to; n++ {
			paths = append(paths, fmt.Sprintf(file, n))
		}
	}
	return paths
}

func oomScoreAdj() int {
	data, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0
	}
	return n
}

func hardLimits() map[string]uint64 {
	limits := map[string]uint64{}
	for name, resource := range map[string]int{
		"core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA, "fsize": unix.RLIMIT_FSIZE,
		"locks": unix.RLIMIT_LOCKS, "memlock": unix.RLIMIT_MEMLOCK, "msgqueue": unix.RLIMIT_MSGQUEUE,
		"nice": unix.RLIMIT_NICE, "nofile": unix.RLIMIT_NOFILE, "nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS,
		"rtprio": unix.RLIMIT_RTPRIO, "rttime": unix.RLIMIT_RTTIME, "sigpending": unix.RLIMIT_SIGPENDING, "stack": unix.RLIMIT_STACK,
	} {
		var l unix.Rlimit
		if unix.Getrlimit(resource, &l) == nil {
			limits[name] = l.Max
		}
	}
	return limits
}
