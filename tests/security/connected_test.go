package security

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	machines "ctr/tests/world"
)

// onMachine skips a test where there is no machine made for it.
func onMachine(t *testing.T) {
	t.Helper()
	if os.Getenv(machines.DirEnv) == "" {
		t.Skip("needs a machine made for it: run the tests as root")
	}
}

// eachLink runs f with every link that this user has: as root there is none.
func eachLink(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	onMachine(t)
	links := []string{"builtin", "slirp4netns", "pasta"}
	if here.who == asRoot {
		links = []string{"root"}
	} else if here.who == asSingle {
		links = links[:1]
	}
	for _, link := range links {
		t.Run(link, func(t *testing.T) {
			switch link {
			case "slirp4netns", "pasta":
				out, err := exec.Command(link, "--version").Output()
				if err != nil {
					t.Skip(link + " is not installed")
				}
				if link == "pasta" && !regexp.MustCompile(`git202[4-9]|git20[3-9]|202[4-9]_`).Match(out) {
					t.Skip("this pasta is from before 2024")
				}
			}
			before := here.env
			here.env = append(slices.Clip(before), "CTR_NETWORK_LINK="+link)
			if link == "root" {
				here.env = before
			}
			t.Cleanup(func() {
				here.env = before
				eventually(t, "the helper ends with the last container", func() bool {
					out, _ := exec.Command("pgrep", "-u", fmt.Sprint(os.Getuid()), "-f", "(^|/)ctr-net").Output()
					return len(out) == 0
				})
			})
			f(t)
		})
	}
}

// connected is a container on a network, in the background; it goes with the test.
func connected(t *testing.T, args ...string) string {
	t.Helper()
	id := strings.TrimSpace(must(t, ctr(append([]string{"run", "-d"}, args...)...)))
	t.Cleanup(func() {
		if r := ctr("rm", "-fv", id); r.code != 0 {
			t.Error("removing the container: ", r)
		}
	})
	return id
}

// newNetwork makes a network that goes with the test.
func newNetwork(t *testing.T, name string, flags ...string) string {
	t.Helper()
	must(t, ctr(append(append([]string{"network", "create"}, flags...), name)...))
	t.Cleanup(func() {
		if r := ctr("network", "rm", name); r.code != 0 {
			t.Error("removing the network: ", r)
		}
	})
	return name
}

// addressOf is a container's address on a network.
func addressOf(t *testing.T, id, network string) string {
	t.Helper()
	a := strings.TrimSpace(must(t, ctr("inspect", "-f", "{{(index .NetworkSettings.Networks \""+network+"\").IPAddress}}", id)))
	if net.ParseIP(a) == nil {
		t.Fatalf("the address of %.12s on %s is %q", id, network, a)
	}
	return a
}

// gatewayOf is a network's gateway.
func gatewayOf(t *testing.T, network string) string {
	t.Helper()
	return strings.TrimSpace(must(t, ctr("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", network)))
}

// receiver is a container that logs whatever reaches its port 79.
func receiver(t *testing.T, args ...string) string {
	t.Helper()
	id := connected(t, append(args, base, "netprobe", "receive", "79")...)
	eventually(t, "the receiver is ready", func() bool { return strings.Contains(ctr("logs", id).out, "ready") })
	return id
}

// attack runs a probe in a container; what it prints is the test's to judge.
func attack(id string, words ...string) result {
	return ctr(append([]string{"exec", id, "netprobe"}, words...)...)
}

// pause is how long something that must not arrive has for it.
func pause() { time.Sleep(500 * time.Millisecond) }
