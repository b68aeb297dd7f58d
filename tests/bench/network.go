package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	seconds = flag.Float64("seconds", 3, "length of each measurement of a rate")
	links   = flag.String("links", "builtin,pasta,slirp4netns", "user-mode links to measure")
)

// networks are the rows about networks.
func (b *bench) networks() {
	b.bridgeWarm()
	b.bridgeCold()
	b.ownNetwork()
	b.neighbours()
	b.helperMemory()
	b.throughput()
	b.names()
}

// with is the engine using a user-mode link.
func (e *engine) with(link string) *engine {
	return &engine{name: e.name, argv: e.argv, env: append(slices.Clip(e.env), "CTR_NETWORK_LINK="+link)}
}

// settle waits until this benchmark's network helper has ended.
func (b *bench) settle() {
	defer time.Sleep(time.Second) // the kernel takes its time over what the helper had

	for range 600 {
		if len(b.helpers()) == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	fatal("a network helper does not end: %v", b.helpers())
}

// helpers are the pids of the network helpers of this benchmark's containers.
func (b *bench) helpers() []string {
	out, _ := exec.Command("sh", "-c", `pgrep -u "$(id -u)" -f "(^|/)ctr-net $0/"`, b.dir).Output()
	return strings.Fields(string(out))
}

func (b *bench) podmanOnly() []*engine {
	if b.podman == nil {
		return nil
	}
	return []*engine{b.podman}
}

// bridgeWarm compares the default bridge with no network at all while another
// container keeps the helper, and the user namespace, alive.
func (b *bench) bridgeWarm() {
	name := "run --rm true, default bridge, helper up"
	if !b.wants(name) {
		return
	}
	for _, e := range b.peers() {
		e.run("run", "-d", "--name", "holder", image, "sleep", "10000")
	}
	b.beside(name, "6 ms", *runs, func() {}, "run", "--rm", image, "true")
	for _, e := range b.peers() {
		e.run(e.removal("holder")...)
	}
	b.settle()
}

// bridgeCold is the same with nothing running before.
func (b *bench) bridgeCold() {
	name := "run --rm true, default bridge, cold"
	if !b.wants(name) {
		return
	}
	b.beside(name, "15 ms", max(3, *runs/3), b.settle, "run", "--rm", image, "true")
}

// beside measures a command and, in the same turns, run --rm --network none; the
// reach is the latter's time and more.
func (b *bench) beside(name, more string, n int, before func(), command ...string) {
	var none, ours, theirs []time.Duration
	for i := range n + 1 {
		calm()
		before()
		withNone := timed(func() { b.ctr.run("run", "--rm", "--network", "none", image, "true") })
		calm()
		before()
		with := timed(func() { b.ctr.run(command...) })
		calm()
		var peer time.Duration
		for _, e := range b.podmanOnly() {
			peer = timed(func() { e.run(command...) })
		}
		if i > 0 {
			none, ours, theirs = append(none, withNone), append(ours, with), append(theirs, peer)
		}
	}
	n0, n1 := median(none), median(ours)
	b.report(name, fmt.Sprintf("%s more than none: %s, so %+.1f ms", more, ms(n0), float64(n1-n0)/1e6), n1, median(theirs))
}

// calm lets the kernel finish what an engine has left it to clear away, network
// namespaces above all: it would be counted against the next.
func calm() { time.Sleep(250 * time.Millisecond) }

func (b *bench) ownNetwork() {
	name := "run --rm true, user-defined network"
	if !b.wants(name) {
		return
	}
	for _, e := range b.peers() {
		e.run("network", "create", "benchnet")
	}
	b.times(name, "1/6", *runs, func(e *engine) time.Duration {
		calm()
		return timed(func() { e.run("run", "--rm", "--network", "benchnet", image, "true") })
	})
	for _, e := range b.peers() {
		e.run("network", "rm", "benchnet")
	}
}

// neighbours starts 100 containers on one bridge.
func (b *bench) neighbours() {
	name := "100 on one bridge"
	if !b.wants(name) {
		return
	}
	const n, few = 100, 5
	var result [2]string
	var first, last [2]time.Duration
	for i, e := range b.peers() {
		e.run("network", "create", "benchnet")
		e.run("run", "--rm", "--network", "benchnet", image, "true")
		var took []time.Duration
		var names []string
		for k := range n {
			names = append(names, fmt.Sprint("n", k))
			took = append(took, timed(func() { e.run("run", "-d", "--name", names[k], "--network", "benchnet", image, "sleep", "1000") }))
		}
		first[i], last[i] = median(slices.Clone(took[:few])), median(slices.Clone(took[n-few:]))
		result[i] = fmt.Sprintf("first %s, last %s (%.2fx)", ms(first[i]), ms(last[i]), float64(last[i])/float64(first[i]))
		b.checkNames(e, names)
		e.run(e.removal(names...)...)
		e.run("network", "rm", "benchnet")
	}
	b.row2(name+", run -d (median of 5), names and addresses right", result[0], result[1], "", "last at most 1.5x of first")
}

// checkNames compares what DNS says in one container with what inspect says.
func (b *bench) checkNames(e *engine, names []string) {
	want := map[string]string{}
	addresses := map[string]string{}
	for line := range strings.Lines(e.run(append([]string{"inspect", "-f", "{{.Name}} {{.NetworkSettings.Networks.benchnet.IPAddress}}"}, names...)...)) {
		f := strings.Fields(line)
		if len(f) != 2 || addresses[f[1]] != "" {
			fatal("%s: a container without an address of its own: %q, also %s", e.name, line, addresses[f[1]])
		}
		want[strings.TrimPrefix(f[0], "/")], addresses[f[1]] = f[1], f[0]
	}
	for line := range strings.Lines(e.run(append([]string{"exec", names[0], "netprobe", "lookup"}, names...)...)) {
		f := strings.Fields(strings.Replace(line, "::ffff:", "", 1))
		if len(f) != 2 || want[f[0]] != f[1] {
			fatal("%s: DNS says %q, inspect %q", e.name, line, want[f[0]])
		}
		delete(want, f[0])
	}
	if len(want) > 0 {
		fatal("%s: no answer for %v", e.name, want)
	}
}

// helperMemory is what the helper, and the program that it may have started, take
// with 50 containers.
func (b *bench) helperMemory() {
	for _, link := range b.usableLinks() {
		name := "memory of the helper (PSS, 50 run), " + link
		if !b.wants(name) {
			continue
		}
		b.settle()
		e := b.ctr.with(link)
		var names []string
		for k := range 50 {
			names = append(names, fmt.Sprint("m", k))
			e.run("run", "-d", "--name", names[k], image, "sleep", "1000")
		}
		e.run("exec", "m0", "netprobe", "ask", "tcp", b.listenEcho())
		time.Sleep(3 * time.Second)
		reach := map[string]string{"builtin": "25 MB"}[link]
		if reach == "" {
			reach = "15 MB of our own"
		}
		b.row2(name, fmt.Sprintf("%.1f MB, %s itself %.1f MB", pssOf("ctr-net"), link, pssOf(link)), "-", "-", reach)
		e.run(append([]string{"rm", "-f"}, names...)...)
		b.settle()
	}
}

// pssOf adds up, in MB, the memory of this user's processes of that name.
func pssOf(name string) float64 {
	out, _ := exec.Command("sh", "-c", `for p in $(pgrep -u "$(id -u)" -f "^(.*/)?$0(\.avx2)?( |\$)"); do awk '/^Pss:/{print $2}' /proc/$p/smaps_rollup 2>/dev/null; done | awk '{s+=$1} END{print s/1024}'`, name).Output()
	var mb float64
	fmt.Sscan(string(out), &mb)
	return mb
}

// listenEcho echoes on an address of the machine that is not loopback, for as long as
// the benchmark runs, and returns it.
func (b *bench) listenEcho() string {
	if b.echo == "" {
		l, err := net.Listen("tcp", net.JoinHostPort(hostAddress(), "0"))
		if err != nil {
			fatal("%v", err)
		}
		b.echo = l.Addr().String()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				fmt.Fprintln(c, "hello")
				c.Close()
			}
		}()
	}
	return b.echo
}

// hostAddress is the machine's address on its default route.
func hostAddress() string {
	c, err := net.Dial("udp", "192.0.2.254:9")
	if err != nil {
		fatal("the machine has no default route: %v", err)
	}
	defer c.Close()
	host, _, _ := net.SplitHostPort(c.LocalAddr().String())
	return host
}

// usableLinks are those of -links whose program is there.
func (b *bench) usableLinks() (usable []string) {
	for _, link := range strings.Split(*links, ",") {
		if _, err := exec.LookPath(link); err == nil || link == "builtin" {
			usable = append(usable, link)
		}
	}
	return usable
}

// names asks one container's name server for a thousand names.
func (b *bench) names() {
	name := "DNS answers per second, 1000 names"
	if !b.wants(name) {
		return
	}
	const n = 1000
	args := []string{"run", "-d", "--name", "named", "--network", "benchnet"}
	for k := range n {
		args = append(args, "--network-alias", fmt.Sprint("n", k))
	}
	rates := map[string][]float64{}
	for _, e := range b.peers() {
		e.run("network", "create", "benchnet")
		e.run(append(slices.Clip(args), image, "sleep", "1000")...)
		e.run("run", "-d", "--name", "asks", "--network", "benchnet", image, "sleep", "1000")
	}
	for i := range 4 {
		for _, e := range b.peers() {
			server := strings.Fields(e.run("exec", "asks", "grep", "-m", "1", "nameserver", "/etc/resolv.conf"))[1]
			out := e.run("exec", "asks", "netprobe", "names", server+":53", fmt.Sprint(*seconds), "n", strconv.Itoa(n))
			if r, _ := strconv.ParseFloat(out, 64); i > 0 {
				rates[e.name] = append(rates[e.name], r)
			}
		}
	}
	for _, e := range b.peers() {
		e.run(e.removal("named", "asks")...)
		e.run("network", "rm", "benchnet")
	}
	b.compare(name, "podman's (aardvark-dns)", "%.0f/s", middle(rates["ctr"]), middle(rates["podman"]))
}

func middle(f []float64) float64 {
	if len(f) == 0 {
		return 0
	}
	slices.Sort(f)
	return f[len(f)/2]
}

// compare adds a row of figures of which more is better.
func (b *bench) compare(name, reach, format string, ours, theirs float64) {
	second, ratio := "-", "-"
	if theirs > 0 {
		second, ratio = fmt.Sprintf(format, theirs), fmt.Sprintf("%.2fx", ours/theirs)
	}
	b.row2(name, fmt.Sprintf(format, ours), second, ratio, reach)
}

func (b *bench) row2(columns ...string) {
	b.rows = append(b.rows, columns)
	fmt.Fprintln(os.Stderr, strings.Join(columns, "\t"))
}

// self is a program that was built beside this one.
func self(name string) string {
	path, err := os.Executable()
	if err != nil {
		fatal("%v", err)
	}
	return filepath.Join(filepath.Dir(path), name)
}
