package security

import (
	"context"
	"os"
	"strings"
	"testing"
)

// A user is a number in range or a name that the image knows; all else is refused and
// never becomes root (CVE-2024-40635, CVE-2026-30892).
func TestUsersThatAreNone(t *testing.T) {
	hostile := "root:x:0:0:root:/root:/bin/sh\nhuge:x:4294967296:0::/:/bin/sh\nhigh:x:2147483648:0::/:/bin/sh\nminus:x:-1:0::/:/bin/sh\n" +
		"empty:x::0::/:/bin/sh\nspace:x: 0:0::/:/bin/sh\n4294967296:x:0:0::/:/bin/sh\n-1:x:0:0::/:/bin/sh\n1000:x:0:0::/:/bin/sh\ngroup:x:7:4294967296::/:/bin/sh\n"
	img := image(t, []tarEntry{file("etc/passwd", hostile), file("etc/group", "root:x:0:\nhuge:x:4294967296:\n")})
	id := start(t, img, "sleep", "1000")
	for _, user := range []string{
		"4294967296", "4294967295", "2147483648", "-1", "0x0", " 0", "0 ", "1e3", "00000000004294967296", "huge", "high", "minus", "empty",
		"space", "nosuch", "0:0:0", "root:nosuch", "root:huge", "0:-1", "0:4294967295", "1:4294967296", "group", "root\n", "../root", "root,1", "@0",
	} {
		for _, r := range []result{run("-u", user, img, "id", "-u"), ctr("exec", "-u", user, id, "id", "-u")} {
			if r.code == 0 || r.out != "" {
				t.Errorf("user %q: %v", user, r)
			}
		}
	}
	if here.who == asSingle { // there is one user only
		return
	}
	for _, user := range []string{"1", "1000", "65534", "1000:1000"} {
		for _, r := range []result{run("-u", user, img, "id", "-u"), ctr("exec", "-u", user, id, "id", "-u")} {
			if want, _, _ := strings.Cut(user, ":"); strings.TrimSpace(r.out) != want {
				t.Errorf("user %s: %v", user, r)
			}
		}
	}
}

// /etc/passwd and /etc/group belong to the container, which may make of them what it
// likes: a link to the host's files, a FIFO, something endless, a circle
// (CVE-2024-9676, CVE-2026-47262).
func TestHostilePasswdFiles(t *testing.T) {
	v := t.TempDir()
	if err := os.WriteFile(v+"/passwd", []byte("hostonly:x:0:0::/:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	id := start(t, base, "sleep", "1000")
	for name, script := range map[string]string{
		"link": "rm -f /etc/passwd /etc/group; busybox ln -s " + v + "/passwd /etc/passwd", "climbing": "busybox ln -sf ../../../../../../../.." + v + "/passwd /etc/passwd",
		"magic": "busybox ln -sf /proc/1/root" + v + "/passwd /etc/passwd", "fifo": "rm -f /etc/passwd /etc/group; mkfifo /etc/passwd /etc/group",
		"circle": "rm -f /etc/passwd /etc/group; busybox ln -s group /etc/passwd; busybox ln -s passwd /etc/group", "directory": "rm -rf /etc/passwd; mkdir /etc/passwd",
		"huge": "rm -rf /etc/passwd; busybox truncate -s 64G /etc/passwd", "device": "rm -rf /etc/passwd; busybox ln -s /dev/zero /etc/passwd",
	} {
		must(t, ctr("exec", id, "sh", "-c", script))
		for _, user := range []string{"hostonly", "root"} {
			if r := ctr("exec", "-u", user, id, "true"); r.code == 0 || r.code < 0 {
				t.Errorf("%s: %v", name, r)
			}
		}
		must(t, ctr("exec", id, "rm", "-rf", "/etc/passwd", "/etc/group"))
	}
	img := image(t, []tarEntry{link("etc/passwd", v+"/passwd"), link("etc/group", "/proc/self/fd/0")})
	if r := run("-u", "hostonly", img, "true"); r.code != 125 {
		t.Error(r)
	}
}

// With one id mapped, setgroups is closed: a process could drop a group that is there
// to deny it something. With more, the user's own groups are not brought along.
func TestGroups(t *testing.T) {
	id := start(t, base, "sleep", "1000")
	for _, r := range []result{
		run(base, "cat", "/proc/self/setgroups", "/proc/self/status"), ctr("exec", id, "cat", "/proc/self/setgroups", "/proc/self/status"),
	} {
		setgroups, status, _ := strings.Cut(must(t, r), "\n")
		if want := map[string]string{asSingle: "deny", asUser: "allow", asRoot: "allow"}[here.who]; setgroups != want {
			t.Errorf("setgroups is %s, want %s", setgroups, want)
		}
		_, groups, _ := strings.Cut(status, "\nGroups:")
		if groups, _, _ = strings.Cut(groups, "\n"); here.who != asSingle && strings.Trim(groups, " \t0") != "" {
			t.Errorf("groups %q", groups)
		}
	}
}

// Nothing of the user's environment, or of ctr's own, is in a container's.
func TestEnvironment(t *testing.T) {
	defer func(env []string) { here.env = env }(here.env)
	here.env = append(here.env[:len(here.env):len(here.env)],
		"TOKEN=leak", "CTR_LEAK=leak", "XDG_LEAK=leak", "_CONTAINERS_LEAK=leak", "CONTAINERS_LEAK=leak", "STORAGE_LEAK=leak", "LEAK_A=leak", "GODEBUG=leak=1", "LANG=leak", "DOCKER_HOST=leak")
	img := image(t, nil, "ENV IMAGE=said", "ENV STAR=*", "LABEL io.podman.annotations.privileged=TRUE", "LABEL run.oci.keep_original_groups=1")
	plain := start(t, img, "sleep", "1000")
	withInit := start(t, "--init", "-t", img, "sleep", "1000")
	show := []string{"sh", "-c", `for f in /proc/[0-9]*/environ; do busybox tr '\0' '\n' <$f; done`}
	own := map[string]bool{"PATH": true, "HOSTNAME": true, "HOME": true, "TERM": true, "IMAGE": true, "STAR": true, "PWD": true, "SHLVL": true, "OLDPWD": true}
	for name, r := range map[string]result{
		"run": run(append([]string{img}, show...)...), "init": run(append([]string{"--init", img}, show...)...), "tty": run(append([]string{"-t", img}, show...)...),
		"star": run(append([]string{"-e", "*", "-e", "LEAK_*", "-e", "CTR_*=", img}, show...)...),
		"exec": ctr(append([]string{"exec", plain}, show...)...), "exec in init": ctr(append([]string{"exec", "-t", withInit}, show...)...),
		"exec star": ctr(append([]string{"exec", "-e", "*", "-e", "LEAK_*", plain}, show...)...),
	} {
		seen := 0
		for line := range strings.Lines(strings.ReplaceAll(must(t, r), "\r", "")) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			if key == "IMAGE" {
				seen++
			}
			if strings.Contains(value, "leak") || !own[key] && key != "CTR_*" {
				t.Errorf("%s: %s", name, line)
			}
		}
		if seen == 0 {
			t.Errorf("%s: nothing was seen: %v", name, r)
		}
	}
}

// --privileged gives what the user namespace has, not what the user has not.
func TestPrivilegedStaysInTheUserNamespace(t *testing.T) {
	if here.who == asRoot {
		t.Skip("root has no user namespace: privileged is root")
	}
	const try = `cat /host/shadow && echo shadow; touch /host/made && echo made; cat /proc/self/uid_map
probe writable /proc/sys/kernel /proc/sysrq-trigger /sys/kernel /sys/power /sys/fs/cgroup | grep -E 'core_pattern|sysrq|modprobe|uevent_helper|release_agent|/power/'
mknod /disk b 254 0 && head -c 1 /disk && echo disk; mount -t ext4 /dev/vda /tmp && echo mounted; busybox chroot /proc/1/root true; busybox insmod x && echo module; true`
	self, err := os.Readlink("/proc/self/ns/user")
	if err != nil {
		t.Fatal(err)
	}
	for _, flags := range [][]string{nil, {"--pid", "host"}, {"--pid", "host", "--network", "host", "--ipc", "host", "--uts", "host", "--cgroupns", "host"}} {
		args := append([]string{"run", "--rm", "--privileged", "-v", "/etc:/host"}, flags...)
		if len(flags) < 4 {
			args = append(args, "--network", "none")
		}
		r := ctr(append(args, base, "sh", "-c", "readlink /proc/self/ns/user;"+try)...)
		for _, bad := range []string{"shadow", "made", "core_pattern", "sysrq", "modprobe", "uevent_helper", "release_agent", "disk", "mounted", "module", self} {
			if strings.Contains(r.out, bad) {
				t.Errorf("%v: %s: %v", flags, bad, r)
			}
		}
		if !strings.Contains(r.out, "user:[") {
			t.Error(r)
		}
	}
}

// Files of ours are for the user alone, whatever the umask (CVE-2024-25621).
func TestStateIsPrivate(t *testing.T) {
	start(t, "-v", "private:/v", base, "sleep", "1000")
	for _, path := range []string{here.dir + "/data", here.dir + "/run/ctr"} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	fresh := t.TempDir()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := here.command(ctx, "create", "--name", "fresh", base, "true")
	cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", `umask 0; exec "$0" "$@"`}, cmd.Args...)
	cmd.Env = append(cmd.Env, "CTR_ROOT="+fresh+"/new/data", "CTR_RUNROOT="+fresh+"/new/run")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if info, err := os.Stat(fresh + "/new/data"); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("with umask 0: %v, %v", info, err)
	}
	// what is open to others, or theirs, is refused
	open := fresh + "/open"
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	cmd = here.command(ctx, "run", "--rm", "--network", "none", base, "true")
	cmd.Env = append(cmd.Env, "CTR_RUNROOT="+open)
	if out, err := cmd.CombinedOutput(); err == nil {
		if info, _ := os.Stat(open); info.Mode().Perm() != 0o700 {
			t.Errorf("a run directory open to all is used: %s", out)
		}
	}
}
