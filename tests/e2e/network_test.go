package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ctr/tests/world"
)

// Scripts whose names begin with "net" are about networks. Each runs on a machine of
// its own (package world), as root and as an ordinary user, and says in comments what
// it needs:
//
//	# world: offline notun noipv6   what the machine lacks
//	# links: all                    the ordinary user runs it with each user-mode link
//	# only: root | user
//
// One of them: go test ./tests/e2e -run TestNetworks/pasta/net-dns. The first name is
// root, or the link; user stands for the link that ctr chooses.
const (
	netScript = "CTR_E2E_NETWORK" // the script that this process is to run, "" for all that are not about networks
	linkEnv   = "CTR_NETWORK_LINK"
	// otherPasta names a directory with a newer pasta than the distribution's.
	otherPasta = "CTR_TEST_PASTA_DIR"
)

// networksAtOnce is how many of them run at a time: they wait more than they work.
const networksAtOnce = 3

// netRun is one script as one user by one link.
type netRun struct {
	script, link string
	options      world.Options
}

func (r netRun) name() string {
	return r.link + "/" + strings.TrimSuffix(filepath.Base(r.script), ".txtar")
}

// networkRuns are the runs of all scripts for a user, as far as -test.run wants them.
func networkRuns(dir string, root bool, pattern string) (runs []netRun, err error) {
	scripts, err := filepath.Glob(filepath.Join(dir, "testdata/net*.txtar"))
	if err != nil {
		return nil, err
	}
	for _, path := range scripts {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		run := netRun{script: path}
		lacks := strings.Fields(header(text, "world"))
		run.options = world.Options{Offline: slices.Contains(lacks, "offline"), NoTUN: slices.Contains(lacks, "notun"), NoIPv6: slices.Contains(lacks, "noipv6")}
		links := []string{"user"}
		if root {
			links = []string{"root"}
		} else if header(text, "links") == "all" {
			links = []string{"builtin", "pasta", "slirp4netns"}
		}
		if only := header(text, "only"); only != "" && (only == "root") != root {
			continue
		}
		for _, run.link = range links {
			if wanted(pattern, "TestNetworks/"+run.name()) {
				runs = append(runs, run)
			}
		}
	}
	return runs, nil
}

// header is what the comment "# key: value" of a script says.
func header(script []byte, key string) string {
	m := regexp.MustCompile(`(?m)^# ` + key + `: (.*)$`).FindSubmatch(script)
	if m == nil {
		return ""
	}
	return string(m[1])
}

// wanted says whether go test's -run pattern names a test, or one above it.
func wanted(pattern, name string) bool {
	parts := strings.Split(name, "/")
	for i, p := range strings.Split(pattern, "/") {
		if i < len(parts) && !regexp.MustCompile(p).MatchString(parts[i]) {
			return false
		}
	}
	return true
}

// unusable says why a link cannot be tested here.
func unusable(link string) string {
	switch link {
	case "slirp4netns":
		if _, err := exec.LookPath(link); err != nil {
			return "slirp4netns is not installed"
		}
	case "pasta":
		out, err := exec.Command("pasta", "--version").Output()
		if err != nil {
			return "pasta is not installed"
		}
		if m := regexp.MustCompile(`git(\d{4})|(20\d\d)_`).FindSubmatch(out); m == nil || string(m[1])+string(m[2]) < "2024" {
			return "this pasta is from before 2024: " + strings.TrimSpace(strings.Split(string(out), "\n")[0]) + "; " + otherPasta + " names a newer one's directory"
		}
	}
	return ""
}

// TestNetworks runs the script that the first process has chosen for this one.
func TestNetworks(t *testing.T) {
	script := os.Getenv(netScript)
	if script == "" {
		t.Skip("each script has a process of its own, which the first starts")
	}
	if os.Getenv(world.DirEnv) == "" {
		t.Skip("needs a machine made for it: run the tests as root")
	}
	link := os.Getenv("CTR_E2E_LINK")
	t.Run(link, func(t *testing.T) {
		if why := unusable(link); why != "" {
			t.Skip(why)
		}
		w := newWorld(t)
		testscript.Run(t, testscript.Params{
			Files: []string{script},
			Setup: func(e *testscript.Env) error {
				if slices.Contains([]string{"builtin", "pasta", "slirp4netns"}, link) {
					e.Setenv(linkEnv, link)
				}
				e.Setenv("LINK", link)
				for name, value := range map[string]string{
					"MACHINE": world.Machine, "MACHINE2": world.Machine2, "GATEWAY": world.Gateway, "WEB": world.Web, "DEAD": world.Dead,
					"MACHINE6": world.Machine6, "GATEWAY6": world.Gateway6, "WEB6": world.Web6, "NL": "\r\n", "RESOLV": os.Getenv(world.DirEnv) + "/resolv.conf",
				} {
					e.Setenv(name, value)
				}
				e.Defer(func() { noNetworkLeft(e) })
				return setup(w, e)
			},
			Cmds: commands, Condition: condition,
			ContinueOnError: os.Getenv("CTR_E2E_CONTINUE") != "",
		})
	})
}

// outsideCommand has the world do something: see [world.Ask].
func outsideCommand(ts *testscript.TestScript, neg bool, args []string) {
	out, err := world.Ask(args...)
	fmt.Fprint(ts.Stdout(), out)
	if err != nil {
		fmt.Fprintln(ts.Stderr(), err)
	}
	if (err != nil) != neg {
		ts.Fatalf("outside %s: %q %v", strings.Join(args, " "), out, err)
	}
}

// quietCommand waits until nothing of ctr's networks is left on the machine.
func quietCommand(ts *testscript.TestScript, neg bool, args []string) {
	if left := networkLeft(ts.Getenv("WORK")); left != "" {
		ts.Fatalf("left behind: %s", left)
	}
}

func noNetworkLeft(e *testscript.Env) {
	if left := networkLeft(e.WorkDir); left != "" {
		e.T().Fatal("left behind: ", left)
	}
}

// networkLeft is what remains of networks after all containers are gone and the
// helper has had its time: leases, processes, and as root interfaces and rules.
func networkLeft(dir string) (left string) {
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		if left = networkTraces(dir); left == "" || time.Now().After(deadline) {
			return left
		}
	}
}

func networkTraces(dir string) string {
	var b bytes.Buffer
	leases, _ := filepath.Glob(filepath.Join(dir, "run/ctr/net/*.json"))
	for _, path := range leases {
		if text, _ := os.ReadFile(path); bytes.Contains(text, []byte(`"container"`)) {
			fmt.Fprintf(&b, "%s: %s\n", path, text)
		}
	}
	for _, p := range ourProcesses() {
		fmt.Fprintf(&b, "process %s\n", p)
	}
	if os.Getuid() == 0 {
		links, _ := exec.Command("sh", "-c", `ip -br link | grep -v -e '^lo ' -e '^eth0@' -e '^foreign'`).Output()
		rules, _ := exec.Command("sh", "-c", `ip rule | grep fwmark; ip -6 rule | grep fwmark; nft list tables 2>/dev/null | grep -v foreign`).Output()
		b.Write(links)
		b.Write(rules)
	}
	return strings.TrimSpace(b.String())
}

// ourProcesses are the helpers and monitors of this user on this machine.
func ourProcesses() (found []string) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		info, err := os.Stat(d)
		cmdline, _ := os.ReadFile(d + "/cmdline")
		name, _, _ := strings.Cut(string(cmdline), "\x00")
		if err != nil || owner(info) != uint32(os.Getuid()) || !regexp.MustCompile(`(^|/)(ctr-net|ctr-monitor|ctr-guard|slirp4netns|pasta(\.avx2)?)$`).MatchString(name) {
			continue
		}
		found = append(found, fmt.Sprintf("%s %s", filepath.Base(d), bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '})))
	}
	return found
}

// withinCommand is eventually with a time of its own: within SECONDS REGEXP program args...
func withinCommand(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: within seconds regexp program args...")
	}
	seconds, err := strconv.ParseFloat(args[0], 64)
	ts.Check(err)
	start := time.Now()
	eventuallyCommand(ts, neg, args[1:])
	if took := time.Since(start); took > time.Duration(seconds*float64(time.Second)) {
		ts.Fatalf("it took %v, not %s s", took, args[0])
	}
}
