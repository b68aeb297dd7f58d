package security

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A descriptor of a host directory that is open while the container's process is set
// up is a way out, when the process changes into it (CVE-2024-21626).
func TestLeakedDescriptorAsWorkingDirectory(t *testing.T) {
	file := filepath.Join(victim(t), "file")
	look := "pwd; cat ../../../../../../../../../.." + file + " ./" + file
	check := func(r result) {
		if strings.Contains(r.out, secret) {
			t.Error("the host's file is readable: ", r)
		}
		if strings.Contains(r.out, here.dir) || strings.Contains(r.out, "(unreachable)") {
			t.Error("the working directory is outside: ", r)
		}
	}
	id := start(t, base, "sleep", "1000")
	for n := range 16 {
		dir := fmt.Sprintf("/proc/self/fd/%d", n)
		check(run("-w", dir, base, "sh", "-c", look))
		check(ctr("exec", "-w", dir, id, "sh", "-c", look))
	}
	for _, n := range []int{3, 7, 8, 9} { // the same by a link of the image
		img := image(t, []tarEntry{link("work", fmt.Sprintf("/proc/self/fd/%d", n))}, "WORKDIR /work")
		check(run(img, "sh", "-c", look))
	}
}

// WORKDIR, and where it leads, is the image's: nothing outside may be made, and a
// process may not begin outside (CVE-2026-55686).
func TestWorkingDirectoryThroughLinks(t *testing.T) {
	v := victim(t)
	img := image(t, []tarEntry{
		link("out", v), link("up", "../../../../../../../.."+v), link("magic", "/proc/1/root"+v),
	}, "WORKDIR /out/made")
	for _, dir := range []string{"", "/out", "/up/made/too", "/magic/made", "/out/../made", "/proc/1/cwd", "/proc/self/root" + v} {
		args := []string{img, "sh", "-c", "pwd; cat file"}
		if dir != "" {
			args = append([]string{"-w", dir}, args...)
		}
		if r := run(args...); strings.Contains(r.out, secret) {
			t.Errorf("%q: %v", dir, r)
		}
	}
}

var ownDescriptors = regexp.MustCompile(`^0 \S+\n1 \S+\n2 \S+\n$`)

// No descriptor of ours, nor any that ctr was started with, is open in a container.
func TestOnlyTheStandardDescriptors(t *testing.T) {
	plain := start(t, base, "sleep", "1000")
	withInit := start(t, "--init", base, "sleep", "1000")
	leak, err := os.Open(victim(t))
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	for _, words := range []string{
		"run --rm --network none base probe fds", "run --rm --network none -i base probe fds", "run --rm --network none -t base probe fds",
		"run --rm --network none --init base probe fds", "run --rm --network none --init -t base probe fds",
		"run --rm --network none -u 1 base probe fds", "run --rm --network none --security-opt seccomp=unconfined base probe fds",
		"run --rm --network none --privileged base probe fds",
		"exec " + plain + " probe fds", "exec -i " + plain + " probe fds", "exec -t " + plain + " probe fds",
		"exec -u 1 " + plain + " probe fds", "exec --privileged " + plain + " probe fds",
		"exec " + withInit + " probe fds", "exec -t " + withInit + " probe fds",
	} {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		cmd := here.command(ctx, strings.Fields(words)...)
		cmd.ExtraFiles = []*os.File{leak, leak, leak} // by os/exec without close-on-exec
		out, err := cmd.Output()
		cancel()
		if err != nil || !ownDescriptors.Match([]byte(strings.ReplaceAll(string(out), "\r", ""))) {
			t.Errorf("%s: %v\n%s", words, err, out)
		}
	}
	if r := ctr("exec", withInit, "sh", "-c", "ls /proc/1/fd | wc -w"); strings.TrimSpace(r.out) != "3" {
		t.Error("descriptors of the init: ", r)
	}
}

// What exec is given as streams stays the host's: a container may read or write it as
// far as it was opened, not open it anew, nor go up from it, nor keep the terminal.
func TestExecStreamsAreNoWayOut(t *testing.T) {
	id := start(t, base, "sleep", "1000")
	v := victim(t)
	for _, c := range []struct {
		stdin, script string
	}{
		{v + "/file", "echo changed >/proc/self/fd/0; cat >/dev/null"},
		{v + "/file", "echo changed >>/dev/stdin"},
		{v, "cd /proc/self/fd/0 && cat file; cat /proc/self/fd/0/../*/file; echo x >/proc/self/fd/0/made"},
	} {
		f, err := os.Open(c.stdin)
		if err != nil {
			t.Fatal(err)
		}
		r := here.ctr(f, "exec", "-i", id, "sh", "-c", c.script)
		f.Close()
		if strings.Contains(r.out, secret) {
			t.Errorf("stdin %s: %v", c.stdin, r)
		}
	}
	log, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	fmt.Fprint(log, secret)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := here.command(ctx, "exec", id, "sh", "-c", "probe reread; echo done")
	var stderr strings.Builder
	cmd.Stdout, cmd.Stderr = log, &stderr
	if err := cmd.Run(); strings.Contains(stderr.String(), secret) {
		t.Errorf("stdout's file is readable: %v %s", err, stderr.String())
	}
	if b, _ := os.ReadFile(log.Name()); !strings.HasPrefix(string(b), secret) {
		t.Errorf("stdout's file was emptied: %q", b)
	}
}

// A process that joins a container is in its pid namespace, with our program as its
// executable and our descriptors open, before it is the container's
// (CVE-2019-5736, CVE-2016-9962).
func TestJoiningProcess(t *testing.T) {
	file := filepath.Join(victim(t), "file")
	for _, c := range []struct {
		name  string
		flags []string
	}{{"default", nil}, {"ptrace", []string{"--cap-add=SYS_PTRACE"}}} {
		t.Run(c.name, func(t *testing.T) {
			hunter := start(t, append(c.flags, base, "probe", "hunt", file)...)
			eventually(t, "the hunt begins", func() bool { return strings.Contains(ctr("logs", hunter).out, "hunting") })
			for range 12 {
				must(t, ctr("exec", hunter, "true"))
				if c.flags == nil { // who may trace owns whoever joins its pid namespace to become another container
					must(t, run("--pid", "container:"+hunter, base, "true"))
				}
			}
			ctr("exec", hunter, "touch", "/stop") // the hunter's end may be faster than touch's
			must(t, ctr("wait", hunter))
			log := ctr("logs", hunter).out
			if !strings.Contains(log, "met ") {
				t.Error("no joining process was ever met: nothing was tested")
			}
			if bad := regexp.MustCompile(`(?m)^(WRITABLE|OUTSIDE|busy) .*$`).FindString(log); bad != "" {
				t.Error("a joining process gives away: ", bad)
			}
			if c.flags == nil && strings.Contains(log, "met open") {
				t.Error("a joining process is open to a container without CAP_SYS_PTRACE")
			}
		})
	}
}

// Our own program, reached as /proc/self/exe by the image's entrypoint or a script's
// first line, is confined as any other and cannot be written, not even by who keeps it
// open until nothing runs it (CVE-2019-5736).
func TestOwnProgramCannotBeWritten(t *testing.T) {
	img := image(t, []tarEntry{file("bin/script", "#!/proc/self/exe\n"), link("bin/linked", "/proc/self/exe")})
	id := start(t, img, "sleep", "1000")
	for _, program := range []string{"/proc/self/exe", "/bin/script", "/bin/linked"} {
		_ = ctr("exec", "-d", id, program, "events")
		r := ctr("exec", id, "sh", "-c", `for p in /proc/[0-9]*; do case $(readlink $p/exe) in */busybox|*/probe|"") ;; *) probe reopen ${p#/proc/};; esac; done`)
		if strings.Contains(r.out, "WRITABLE") || program != "/bin/script" && !strings.Contains(r.out, "not writable") {
			t.Errorf("%s: %v", program, r)
		}
		_ = run("--entrypoint", program, img, "version")
	}
	if now, err := here.digest(); err != nil || now != here.programs {
		t.Error("the program was changed: ", err)
	}
}
