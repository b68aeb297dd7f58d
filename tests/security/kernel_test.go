package security

import (
	"context"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/moby/profiles/seccomp"
	rspec "github.com/opencontainers/runtime-spec/specs-go"
)

// What a container could write to leave itself: release_agent, core_pattern,
// uevent_helper, sysrq, and all else of the kernel's (CVE-2022-0492, CVE-2023-25809).
func TestNothingOfTheKernelsIsWritable(t *testing.T) {
	try := `probe writable /sys /proc/sys /proc/sysrq-trigger /proc/irq /proc/bus /proc/fs /proc/acpi /proc/scsi /proc/kcore /proc/keys /proc/timer_list`
	allowed := regexp.MustCompile(`(?m)^writable /proc/(keys|timer_list|kcore|interrupts)\n`) // /dev/null lies over them
	id := start(t, base, "sleep", "1000")
	private := run("--cgroupns", "private", base, "sh", "-c", try)
	if private.code == 125 && strings.Contains(private.err, `error mounting "cgroup"`) { // version 1, mounted at unusual places
		private = result{}
	}
	for _, r := range []result{
		run(base, "sh", "-c", try), private, run("--cgroupns", "host", base, "sh", "-c", try),
		run("--user", "1", base, "sh", "-c", try), ctr("exec", id, "sh", "-c", try), ctr("exec", "--privileged", id, "sh", "-c", try),
	} {
		if left := allowed.ReplaceAllString(must(t, r), ""); left != "" {
			t.Error(left)
		}
	}
	if must(t, run("--privileged", base, "sh", "-c", try)) == "" {
		t.Error("not even a privileged container finds anything writable: nothing was tested")
	}
	for _, script := range []string{
		"mkdir /tmp/c && mount -t cgroup -o memory x /tmp/c", "mkdir /tmp/c && mount -t cgroup2 x /tmp/c", "mount -t proc x /tmp", "mount -t sysfs x /tmp",
		"unshare -Urm true", "unshare -U true", "unshare -m true", "mount -o remount,rw /sys", "mount -o remount,rw /proc/sys", "mount --bind /tmp /proc/keys",
	} {
		if r := run(base, "sh", "-c", script); r.code == 0 {
			t.Errorf("a container may: %s", script)
		}
		if r := ctr("exec", id, "sh", "-c", script); r.code == 0 {
			t.Errorf("an exec'd process may: %s", script)
		}
	}
}

// What /proc and /sys tell about the host is masked, /proc/keys among it.
func TestMasked(t *testing.T) {
	look := "cat /proc/keys /proc/timer_list /proc/interrupts /proc/sched_debug /proc/latency_stats 2>/dev/null | wc -c; ls /proc/acpi /proc/scsi /proc/asound /sys/firmware /sys/devices/virtual/powercap 2>/dev/null | grep -v ':$' | grep . | wc -l; head -c 1 /proc/kcore 2>/dev/null | wc -c"
	if out := must(t, run(base, "sh", "-c", look)); out != "0\n0\n0\n" {
		t.Error(out)
	}
	if out := must(t, run("--security-opt", "unmask=ALL", base, "sh", "-c", look)); strings.HasPrefix(out, "0\n") {
		t.Error("nothing is there to be masked: nothing was tested")
	}
}

// Docker's bounding set, and nothing that a program's file capabilities could add to:
// inheritable and ambient are empty (CVE-2022-29162).
func TestCapabilitiesOfProcesses(t *testing.T) {
	const bound = "00000000a80425fb"
	plain := start(t, base, "sleep", "1000")
	restricted := start(t, "--security-opt", "no-new-privileges", "--cap-drop", "ALL", base, "sleep", "1000")
	status := []string{"grep", "-E", "^(Cap|NoNewPrivs|Seccomp:)", "/proc/self/status"}
	other := bound // of another user than root
	if here.who == asSingle {
		other = "0000000000000000"
	}
	for _, c := range []struct {
		words    string
		bounding string // "" is every capability
		noNew    string
		seccomp  string
	}{
		{"run --rm --network none base", bound, "0", "2"},
		{"run --rm --network none --init base", bound, "0", "2"},
		{"run --rm --network none -t base", bound, "0", "2"},
		{"run --rm --network none -u 1 base", other, "0", "2"},
		{"run --rm --network none --security-opt no-new-privileges base", bound, "1", "2"},
		{"run --rm --network none --security-opt no-new-privileges:true -u 1 base", other, "1", "2"},
		{"run --rm --network none --privileged base", "", "0", "0"},
		{"exec " + plain, bound, "0", "2"},
		{"exec -t " + plain, bound, "0", "2"},
		{"exec -u 1 " + plain, other, "0", "2"},
		{"exec --privileged " + plain, "", "0", "2"},
		{"exec " + restricted, "0000000000000000", "1", "2"},
		{"exec -u 1 " + restricted, "0000000000000000", "1", "2"},
	} {
		out := strings.ReplaceAll(must(t, ctr(append(strings.Fields(c.words), status...)...)), "\r", "")
		got := map[string]string{}
		for line := range strings.Lines(out) {
			key, value, _ := strings.Cut(line, ":")
			got[key] = strings.TrimSpace(value)
		}
		const none = "0000000000000000"
		if got["CapInh"] != none || got["CapAmb"] != none || got["NoNewPrivs"] != c.noNew || got["Seccomp"] != c.seccomp {
			t.Errorf("%s:\n%s", c.words, out)
		}
		if c.bounding != "" && got["CapBnd"] != c.bounding || c.bounding == "" && (got["CapBnd"] <= bound || got["CapBnd"] != got["CapEff"]) {
			t.Errorf("%s:\n%s", c.words, out)
		}
		if got["CapEff"] != none && got["CapEff"] != got["CapBnd"] {
			t.Errorf("%s:\n%s", c.words, out)
		}
	}
}

// Docker's profile denies some families of sockets. A filter that looks at one way of
// making a socket only is none (CVE-2026-123876).
func TestSocketsByEveryWay(t *testing.T) {
	profile, err := seccomp.GetDefaultProfile(&rspec.Spec{Process: &rspec.Process{Capabilities: &rspec.LinuxCapabilities{}}})
	if err != nil {
		t.Fatal(err)
	}
	id := start(t, base, "sleep", "1000")
	denied := 0
	for _, family := range []uint64{1, 2, 10, 16, 38, 40} { // UNIX INET INET6 NETLINK ALG VSOCK
		name := strconv.FormatUint(family, 10)
		allowed := slices.ContainsFunc(profile.Syscalls, func(r rspec.LinuxSyscall) bool { return allowsSocket(r, family) })
		host := socketResults(t, run("--security-opt", "seccomp=unconfined", base, "probe", "socket", name))
		for _, r := range []result{run(base, "probe", "socket", name), ctr("exec", id, "probe", "socket", name)} {
			for way, got := range socketResults(t, r) {
				switch {
				case way == "i386-socketcall": // its arguments cannot be looked at
					if got == "opened" {
						t.Errorf("family %d by %s: %s", family, way, got)
					}
				case !allowed && got == "opened", allowed && way == "native" && got != host[way]:
					t.Errorf("family %d by %s: %s, without a filter %s", family, way, got, host[way])
				case !allowed && way == "native":
					denied++
					if got != "EPERM" && got != "EAFNOSUPPORT" {
						t.Errorf("family %d: %s", family, got)
					}
				}
			}
		}
	}
	if denied == 0 {
		t.Error("the profile denies nothing: nothing was tested")
	}
}

func allowsSocket(r rspec.LinuxSyscall, family uint64) bool {
	if r.Action != rspec.ActAllow || !slices.Contains(r.Names, "socket") {
		return false
	}
	for _, a := range r.Args {
		holds := map[rspec.LinuxSeccompOperator]bool{
			rspec.OpEqualTo: family == a.Value, rspec.OpNotEqual: family != a.Value, rspec.OpLessThan: family < a.Value,
			rspec.OpLessEqual: family <= a.Value, rspec.OpGreaterThan: family > a.Value, rspec.OpGreaterEqual: family >= a.Value,
		}
		if a.Index == 0 && !holds[a.Op] {
			return false
		}
	}
	return true
}

func socketResults(t *testing.T, r result) map[string]string {
	t.Helper()
	ways := map[string]string{}
	for line := range strings.Lines(must(t, r)) {
		way, got, _ := strings.Cut(strings.TrimSpace(line), " ")
		ways[way] = got
	}
	return ways
}

// Without a filter, a container's session keyring is still its own.
func TestSessionKeyring(t *testing.T) {
	const name = "ctr-security-test"
	id := start(t, "--security-opt", "seccomp=unconfined", base, "sleep", "1000")
	withKey := func(args ...string) string {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, here.dir+"/bin/probe", append([]string{"withkey", name}, args...)...)
		cmd.Env, cmd.Dir = here.env, here.dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if got := withKey("probe", "key", name); got != "found" {
		t.Skipf("no keyrings here: %s", got)
	}
	for _, words := range []string{
		"ctr run --rm --network none --security-opt seccomp=unconfined base probe key " + name,
		"ctr exec " + id + " probe key " + name,
		"ctr run --rm --network none base probe key " + name,
	} {
		if got := withKey(strings.Fields(words)...); got == "found" || got == "" {
			t.Errorf("%s: the user's key: %q", words, got)
		}
	}
}

// /dev holds what Docker's does.
func TestDev(t *testing.T) {
	want := "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
	if got := strings.Join(strings.Fields(must(t, run(base, "ls", "/dev"))), " "); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	want = "console " + want
	if got := strings.Join(strings.Fields(must(t, run("-t", base, "sh", "-c", "ls /dev | cat"))), " "); got != want {
		t.Errorf("with a terminal: %s, want %s", got, want)
	}
}
