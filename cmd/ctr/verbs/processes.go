package verbs

import (
	"bytes"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ticksPerSecond is USER_HZ, which is 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// process is what /proc says of one process.
type process struct {
	uid       uint32
	pid, ppid int
	tty       int
	ticks     uint64 // of CPU time
	start     uint64 // ticks since boot
	command   string
}

// listProcesses makes a row of `ps -ef` for every pid that still exists.
func listProcesses(pids []int) [][]string {
	now, uptime := time.Now(), uptime()
	var rows [][]string
	for _, pid := range pids {
		if pr, err := readProcess(pid); err == nil {
			rows = append(rows, pr.row(now, uptime))
		}
	}
	return rows
}

func readProcess(pid int) (*process, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	st, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return nil, err
	}
	pr, err := parseStat(stat)
	if err != nil {
		return nil, err
	}
	pr.uid = st.Sys().(*syscall.Stat_t).Uid
	if cmdline, err := os.ReadFile(dir + "/cmdline"); err == nil && len(cmdline) > 0 {
		pr.command = printable(bytes.TrimRight(cmdline, "\x00"))
	}
	return pr, nil
}

// parseStat reads proc_pid_stat(5). The name in brackets may hold anything.
func parseStat(stat []byte) (*process, error) {
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return nil, fmt.Errorf("unreadable process status %q", stat)
	}
	fields := strings.Fields(string(stat[end+1:]))
	if len(fields) < 20 {
		return nil, fmt.Errorf("unreadable process status %q", stat)
	}
	number := func(i int) uint64 {
		n, _ := strconv.ParseUint(fields[i], 10, 64)
		return n
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(stat[:open])))
	return &process{
		pid: pid, ppid: int(number(1)), tty: int(number(4)), ticks: number(11) + number(12), start: number(19),
		command: printable(append(append([]byte{'['}, stat[open+1:end]...), ']')),
	}, nil
}

// printable keeps what a process calls itself from talking to the terminal.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == 0:
			return ' '
		case r < ' ' || r == 0x7f:
			return '?'
		}
		return r
	}, string(b))
}

func (pr *process) row(now time.Time, uptime time.Duration) []string {
	age := uptime - ticks(pr.start)
	busy := ticks(pr.ticks)
	share := 0
	if age > 0 {
		share = int(100 * busy / age)
	}
	return []string{
		userName(pr.uid), strconv.Itoa(pr.pid), strconv.Itoa(pr.ppid), strconv.Itoa(min(share, 99)),
		startText(now.Add(-age), now), ttyName(pr.tty), clock(busy), pr.command,
	}
}

func ticks(n uint64) time.Duration { return time.Duration(n) * time.Second / ticksPerSecond }

func uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// startText is a time today, else a day this year, else a year.
func startText(t, now time.Time) string {
	switch {
	case now.Sub(t) < 24*time.Hour:
		return t.Format("15:04")
	case t.Year() == now.Year():
		return t.Format("Jan02")
	}
	return t.Format("2006")
}

// clock is HH:MM:SS.
func clock(d time.Duration) string {
	s := int(d / time.Second)
	return fmt.Sprintf("%02d:%02d:%02d", s/3600, s/60%60, s%60)
}

func ttyName(device int) string {
	const ptyMajor, ptyMajors, ttyMajor = 136, 8, 4
	major, minor := unix.Major(uint64(device)), unix.Minor(uint64(device))
	switch {
	case major >= ptyMajor && major < ptyMajor+ptyMajors:
		return fmt.Sprintf("pts/%d", (major-ptyMajor)<<8+minor)
	case major == ttyMajor && minor < 64:
		return fmt.Sprintf("tty%d", minor)
	}
	return "?"
}

// userName is the host's name of a uid, or the number, as with mapped ids.
func userName(uid uint32) string {
	number := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(number); err == nil {
		return u.Username
	}
	return number
}
