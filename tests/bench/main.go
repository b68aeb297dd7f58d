// Command bench measures ctr beside the peers that are installed (podman, bwrap) and
// prints a table. It runs as the user who starts it, with stores of its own, takes
// the engines in turns so that a machine whose speed drifts treats them alike, gives
// medians, and stops at the first command that ends with another exit code than it
// should: a failing command is fast.
//
//	bench [-runs N] [-only REGEXP] [-many N] [-seconds S] [-links LIST]
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

var (
	runs  = flag.Int("runs", 25, "measurements of each figure")
	only  = flag.String("only", "", "only rows that match this regular expression")
	many  = flag.Int("many", 10000, "most containers to create in the last row")
	storm = flag.Int("storm", 800, "runs in the row of 16 at once")
)

// engine is one program under test.
type engine struct {
	name string
	argv []string // the program and its global flags
	env  []string
}

func (e *engine) cmd(args ...string) *exec.Cmd {
	cmd := exec.Command(e.argv[0], append(append([]string(nil), e.argv[1:]...), args...)...)
	cmd.Env = e.env
	return cmd
}

// run executes the engine and stops the whole benchmark when it fails.
func (e *engine) run(args ...string) string {
	out, err := e.cmd(args...).CombinedOutput()
	if err != nil {
		fatal("%s %s: %v\n%s", e.name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// removal is a forced rm that kills at once, which podman has to be told.
func (e *engine) removal(names ...string) []string {
	if e.name == "podman" {
		return append([]string{"rm", "-f", "-t", "0"}, names...)
	}
	return append([]string{"rm", "-f"}, names...)
}

// fatal ends the benchmark, and what it had started.
func fatal(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	for _, e := range current.peers() {
		if out, err := e.cmd("ps", "-aq").Output(); err == nil && len(out) > 0 {
			e.cmd(e.removal(strings.Fields(string(out))...)...).Run()
		}
	}
	os.Exit(1)
}

// current is the benchmark that runs.
var current = new(bench)

const image = "localhost/bench:latest"

func main() {
	flag.Parse()
	dir, err := os.MkdirTemp("", "ctr-bench-")
	if err != nil {
		fatal("%v", err)
	}
	b := current
	b.dir, b.row = dir, regexp.MustCompile(*only)
	b.engines(flag.Arg(0))
	b.all()
	b.print()
	b.clean()
}

// bench is one run of all rows.
type bench struct {
	dir         string
	row         *regexp.Regexp
	ctr, podman *engine
	bwrap       string
	echo        string // an address of the machine where a server says hello
	rows        [][]string
}

func (b *bench) engines(ctr string) {
	if ctr == "" {
		ctr = "ctr"
	}
	path, err := exec.LookPath(ctr)
	if err != nil {
		fatal("%v; give the path of ctr as argument", err)
	}
	run := filepath.Join(b.dir, "run")
	os.MkdirAll(run, 0o700)
	conf := filepath.Join(b.dir, "storage.conf")
	os.WriteFile(conf, []byte(fmt.Sprintf("[storage]\ndriver=\"overlay\"\ngraphroot=%q\nrunroot=%q\n", b.dir+"/graph", b.dir+"/graphrun")), 0o644)
	b.ctr = &engine{name: "ctr", argv: []string{path}, env: append(os.Environ(),
		"CTR_ROOT="+filepath.Join(b.dir, "data"), "CTR_RUNROOT="+filepath.Join(run, "ctr"), "CONTAINERS_STORAGE_CONF="+conf)}
	tar := imageTar(b.dir)
	b.ctr.run("import", tar, image)
	if p, err := exec.LookPath("podman"); err == nil {
		b.podman = &engine{name: "podman", argv: []string{p, "--root", b.dir + "/pgraph", "--runroot", b.dir + "/prun"}, env: os.Environ()}
		b.podman.run("import", "-q", tar, image)
	}
	b.bwrap, _ = exec.LookPath("bwrap")
}

// imageTar makes the test image of busybox.
func imageTar(dir string) string {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		fatal("%v; install busybox-static", err)
	}
	script := `set -e; r=$1/rootfs; mkdir -p $r/bin $r/tmp $r/proc $r/etc; cp "$2" $r/bin/busybox; cp "$3" $r/bin/netprobe
chmod 1777 $r/tmp
for a in sh true cat grep ls sleep echo; do ln -sf busybox $r/bin/$a; done
if i=$(command -v iperf3); then
	cp "$i" $r/bin/iperf3
	for l in $(ldd "$i" | grep -o '/[^ ]*') $(/sbin/ldconfig -p | grep -o '/.*libgcc_s.so.1$'); do mkdir -p $r$(dirname $l); cp -L $l $r$l; done
fi
tar -C $r --owner=0 --group=0 -cf $1/image.tar .`
	if out, err := exec.Command("sh", "-c", script, "sh", dir, busybox, self("netprobe")).CombinedOutput(); err != nil {
		fatal("making the image: %v: %s", err, out)
	}
	return filepath.Join(dir, "image.tar")
}

func (b *bench) peers() []*engine {
	if b.ctr == nil {
		return nil
	}
	if b.podman == nil {
		return []*engine{b.ctr}
	}
	return []*engine{b.ctr, b.podman}
}

func (b *bench) all() {
	b.add("bwrap --unshare-all true", "", func(*engine) time.Duration { return 0 })
	b.each("run --rm --network none true", "1/4", func(e *engine) { e.run("run", "--rm", "--network", "none", image, "true") })
	b.each("run --rm true, default network", "1/3", func(e *engine) { e.run("run", "--rm", image, "true") })
	b.exec()
	b.lists()
	b.detached()
	b.storming()
	b.crowd()
	b.networks()
}

func (b *bench) wants(name string) bool { return b.row.MatchString(name) }

// each measures f for all engines in turns and adds a row.
func (b *bench) each(name, reach string, f func(*engine)) {
	b.times(name, reach, *runs, func(e *engine) time.Duration { return timed(func() { f(e) }) })
}

func timed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

// times is each for a function that measures itself.
func (b *bench) times(name, reach string, n int, f func(*engine) time.Duration) {
	if !b.wants(name) {
		return
	}
	took := map[string][]time.Duration{}
	for i := range n + 1 {
		for _, e := range b.peers() {
			if d := f(e); i > 0 { // the first is a warm-up
				took[e.name] = append(took[e.name], d)
			}
		}
	}
	b.report(name, reach, median(took["ctr"]), median(took["podman"]))
}

func (b *bench) add(name, reach string, f func(*engine) time.Duration) {
	if b.bwrap == "" || !b.wants(name) {
		return
	}
	var took []time.Duration
	for range *runs {
		took = append(took, timed(func() {
			if out, err := exec.Command(b.bwrap, "--unshare-all", "--ro-bind", "/", "/", "true").CombinedOutput(); err != nil {
				fatal("bwrap: %v: %s", err, out)
			}
		}))
	}
	b.rows = append(b.rows, []string{name, ms(median(took)), "", "", reach})
}

func median(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[len(d)/2]
}

func (b *bench) report(name, reach string, ours, theirs time.Duration) {
	row := []string{name, ms(ours), "-", "-", reach}
	if theirs > 0 {
		row[2], row[3] = ms(theirs), fmt.Sprintf("1/%.1f", float64(theirs)/float64(ours))
	}
	b.rows = append(b.rows, row)
	fmt.Fprintln(os.Stderr, strings.Join(row, "\t"))
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }

func (b *bench) exec() {
	if !b.wants("exec true") {
		return
	}
	for _, e := range b.peers() {
		e.run("run", "-d", "--name", "sleeper", "--network", "none", image, "sleep", "1000")
	}
	b.each("exec true", "1/5", func(e *engine) { e.run("exec", "sleeper", "true") })
	for _, e := range b.peers() {
		e.run(e.removal("sleeper")...)
	}
}

func (b *bench) lists() {
	if !b.wants("ps -a, 0 containers") && !b.wants("200 containers") {
		return
	}
	empty := map[string]time.Duration{}
	measure := func(count string) {
		for _, args := range [][]string{{"ps", "-a"}, {"images"}, {"inspect", "listed"}} {
			name := args[0] + ", " + count + " containers"
			b.times(name, "1/6", *runs, func(e *engine) time.Duration { return timed(func() { e.run(args...) }) })
			if n := len(b.rows); n > 0 && b.rows[n-1][0] == name {
				d, _ := time.ParseDuration(strings.ReplaceAll(b.rows[n-1][1], " ", ""))
				if before := empty[args[0]]; before > 0 {
					b.rows[n-1][4] += fmt.Sprintf("; flat: %.1fx of 0, reach 3x", float64(d)/float64(before))
				} else {
					empty[args[0]] = d
				}
			}
		}
	}
	for _, e := range b.peers() {
		e.run("create", "--name", "listed", "--network", "none", image, "true")
	}
	measure("1")
	for _, e := range b.peers() {
		for i := range 200 {
			e.run("create", "--name", fmt.Sprint("c", i), "--network", "none", image, "true")
		}
	}
	measure("201")
	for _, e := range b.peers() {
		e.run(append([]string{"rm"}, strings.Fields(e.run("ps", "-aq"))...)...)
	}
}

func (b *bench) detached() {
	if !b.wants("run -d, 30") {
		return
	}
	const n = 30
	start := func(e *engine, i int) {
		e.run("run", "-d", "--name", fmt.Sprint("d", i), "--network", "none", image, "sleep", "1000")
	}
	remove := func(e *engine) time.Duration {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprint("d", i))
		}
		return timed(func() { e.run(e.removal(names...)...) })
	}
	var removals [2][]time.Duration
	removed := func(e *engine) {
		i := slices.Index(b.peers(), e)
		removals[i] = append(removals[i], remove(e))
	}
	rounds := max(3, *runs/8)
	b.times("run -d, 30 in sequence", "1/3", rounds, func(e *engine) time.Duration {
		defer removed(e)
		return timed(func() {
			for i := range n {
				start(e, i)
			}
		})
	})
	b.times("run -d, 30 at once", "1/3", rounds, func(e *engine) time.Duration {
		defer removed(e)
		return timed(func() { parallel(n, n, func(i int) { start(e, i) }) })
	})
	b.report("rm -f of 30 running", "1/3", median(removals[0]), median(removals[1]))
	for i := range n {
		start(b.ctr, i)
	}
	time.Sleep(2 * time.Second)
	b.rows = append(b.rows, []string{"memory per idle container (PSS, 30 run)", fmt.Sprintf("%.2f MB", pss(b.ctr)/n), "-", "-", "4 MB"})
	remove(b.ctr)
	start(b.ctr, 0)
	time.Sleep(2 * time.Second)
	b.rows = append(b.rows, []string{"memory of one alone (PSS)", fmt.Sprintf("%.2f MB", pss(b.ctr)), "-", "-", "4 MB"})
	b.ctr.run("rm", "-f", "d0")
}

// pss adds up, in MB, what the monitors of this user's containers take.
func pss(*engine) float64 {
	out, _ := exec.Command("sh", "-c", `for p in $(pgrep -u "$(id -u)" -f '^ctr-(monitor|guard)'); do awk '/^Pss:/{print $2}' /proc/$p/smaps_rollup 2>/dev/null; done | awk '{s+=$1} END{print s/1024}'`).Output()
	var mb float64
	fmt.Sscan(string(out), &mb)
	return mb
}

// parallel calls f(0) … f(n-1), at most width at a time.
func parallel(n, width int, f func(int)) {
	next := make(chan int)
	var wg sync.WaitGroup
	for range width {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

func (b *bench) storming() {
	if !b.wants("16 run --rm at once") {
		return
	}
	one := func(e *engine) { e.run("run", "--rm", "--network", "none", image, "true") }
	per := func(e *engine, n int) time.Duration {
		return timed(func() { parallel(n, 16, func(int) { one(e) }) }) / time.Duration(n)
	}
	sequential := timed(func() {
		for range 50 {
			one(b.ctr)
		}
	}) / 50
	ours := per(b.ctr, *storm)
	var theirs time.Duration
	if b.podman != nil {
		theirs = per(b.podman, *storm/5)
	}
	b.report(fmt.Sprintf("16 run --rm at once, %d in all, per run", *storm), "one after another: "+ms(sequential), ours, theirs)
}

func (b *bench) crowd() {
	if !b.wants("containers exist") {
		return
	}
	made := 0
	for _, n := range []int{10, 1000, 10000} {
		if n > *many {
			break
		}
		parallel(n-made-1, 2, func(int) { b.ctr.run("create", "--network", "none", image, "true") })
		create := timed(func() { b.ctr.run("create", "--name", "last", "--network", "none", image, "true") })
		ps := timed(func() { b.ctr.run("ps", "-q") })
		all := timed(func() { b.ctr.run("ps", "-aq") })
		rm := timed(func() { b.ctr.run("rm", "last") })
		made = n - 1
		b.rows = append(b.rows, []string{fmt.Sprintf("%d containers exist", n),
			fmt.Sprintf("create %s, ps -q %s, ps -aq %s, rm %s", ms(create), ms(ps), ms(all), ms(rm)), "", "", "works"})
	}
	took := timed(func() {
		for ids := range slices.Chunk(strings.Fields(b.ctr.run("ps", "-aq")), 1000) {
			b.ctr.run(append([]string{"rm"}, ids...)...)
		}
	})
	b.rows = append(b.rows, []string{fmt.Sprintf("rm of all %d", made), ms(took), "", "", "works"})
}

func (b *bench) print() {
	header := []string{"operation", "ctr", "podman", "ratio", "reach"}
	fmt.Printf("| %s |\n|%s\n", strings.Join(header, " | "), strings.Repeat(" --- |", len(header)))
	for _, r := range b.rows {
		fmt.Printf("| %s |\n", strings.Join(r, " | "))
	}
}

func (b *bench) clean() {
	if b.podman != nil {
		b.podman.cmd("system", "reset", "-f").Run()
	}
	b.ctr.cmd("unshare", "rm", "-rf", b.dir+"/graph", b.dir+"/data").Run()
	os.RemoveAll(b.dir)
}
