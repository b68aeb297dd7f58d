package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// rounds is how often each rate is measured; the median counts.
const rounds = 5

// throughput compares rates of each link with the program's own figure under podman,
// and between containers with a bare pair of interfaces.
func (b *bench) throughput() {
	if _, err := exec.LookPath("iperf3"); err != nil {
		fmt.Println("iperf3 is not installed: no rows of throughput")
		return
	}
	for _, link := range b.usableLinks() {
		own := link
		if link == "builtin" {
			own = "slirp4netns"
		}
		sides := []side{{b.ctr.with(link), nil, "host.docker.internal"}}
		if b.podman != nil {
			sides = append(sides, podmanSide(b.podman, own))
		}
		reach := "podman --network " + own
		b.toHost("container to host, "+link, reach, sides)
		b.toContainer("host to container, published port, "+link, reach, sides)
		b.connections("connections per second, published port, "+link, reach, sides)
	}
	b.between()
}

// side is an engine with a link, and how its containers call the host.
type side struct {
	*engine
	network []string
	host    string
}

func podmanSide(e *engine, link string) side {
	if link == "slirp4netns" {
		return side{e, []string{"--network", "slirp4netns:allow_host_loopback=true"}, "10.0.2.2"}
	}
	return side{e, []string{"--network", link}, "host.containers.internal"}
}

// start runs a container of the side in the background.
func (s side) start(name string, flags []string, command ...string) {
	args := append([]string{"run", "-d", "--name", name}, s.network...)
	s.run(append(append(append(args, flags...), image), command...)...)
}

// inTurns measures every side, several times, one after the other.
func inTurns(sides []side, f func(s side) float64) []float64 {
	figures := make([][]float64, len(sides))
	for range rounds {
		for i, s := range sides {
			figures[i] = append(figures[i], f(s))
		}
	}
	medians := make([]float64, 2)
	for i := range figures {
		medians[i] = middle(figures[i])
	}
	return medians
}

func (b *bench) toHost(name, reach string, sides []side) {
	if !b.wants(name) {
		return
	}
	b.settle()
	for _, s := range sides {
		s.start("sends", nil, "sleep", "1000")
	}
	m := inTurns(sides, func(s side) float64 {
		port, stop := iperfServer()
		defer stop()
		return bits(s.run("exec", "sends", "iperf3", "-c", s.host, "-p", port, "-t", length(), "-J"))
	})
	for _, s := range sides {
		s.run(s.removal("sends")...)
	}
	b.compare(name, reach, "%.2f Gbit/s", m[0], m[1])
}

func (b *bench) toContainer(name, reach string, sides []side) {
	if !b.wants(name) {
		return
	}
	b.settle()
	ports := map[string]string{"ctr": "15201", "podman": "15202"}
	for _, s := range sides {
		s.start("serves", []string{"-p", ports[s.name] + ":5201"}, "iperf3", "-s")
	}
	time.Sleep(time.Second)
	host := hostAddress()
	m := inTurns(sides, func(s side) float64 {
		return bits(command("iperf3", "-c", host, "-p", ports[s.name], "-t", length(), "-J"))
	})
	for _, s := range sides {
		s.run(s.removal("serves")...)
	}
	b.compare(name, reach, "%.2f Gbit/s", m[0], m[1])
}

func (b *bench) connections(name, reach string, sides []side) {
	if !b.wants(name) {
		return
	}
	b.settle()
	ports := map[string]string{"ctr": "15203", "podman": "15204"}
	for _, s := range sides {
		s.start("answers", []string{"-p", ports[s.name] + ":79"}, "netprobe", "who", "79")
	}
	time.Sleep(time.Second)
	host := hostAddress()
	m := inTurns(sides, func(s side) float64 {
		return number(command(self("netprobe"), "connects", host+":"+ports[s.name], length()))
	})
	for _, s := range sides {
		s.run(s.removal("answers")...)
	}
	b.compare(name, reach, "%.0f/s", m[0], m[1])
}

// between is the way from one container to its neighbour, beside a bare pair of
// interfaces of the same MTU.
func (b *bench) between() {
	name := "container to container"
	if !b.wants(name) {
		return
	}
	for _, e := range b.peers() {
		e.run("network", "create", "benchnet")
		e.run("run", "-d", "--name", "serves", "--network", "benchnet", image, "iperf3", "-s")
		e.run("run", "-d", "--name", "sends", "--network", "benchnet", image, "sleep", "1000")
	}
	time.Sleep(time.Second)
	figures := map[string][]float64{}
	for range rounds {
		for _, e := range b.peers() {
			figures[e.name] = append(figures[e.name], bits(e.run("exec", "sends", "iperf3", "-c", "serves", "-t", length(), "-J")))
		}
		figures["veth"] = append(figures["veth"], bits(command("sh", "-c", bareVeth, "sh", length())))
	}
	for _, e := range b.peers() {
		e.run(e.removal("serves", "sends")...)
		e.run("network", "rm", "benchnet")
	}
	ours, veth := middle(figures["ctr"]), middle(figures["veth"])
	b.compare(name, fmt.Sprintf("0.9 of bare veth's %.2f Gbit/s: %.2f", veth, ours/veth), "%.2f Gbit/s", ours, middle(figures["podman"]))
}

// bareVeth measures two network namespaces with nothing but a cable between them.
const bareVeth = `exec unshare -Urn sh -ec '
unshare -n sleep 600 & p=$!
trap "kill $p" EXIT
while [ "$(readlink /proc/$p/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
ip link add v0 mtu 65520 type veth peer name v1 mtu 65520
ip link set v1 netns $p
ip addr add 10.77.0.1/24 dev v0
ip link set v0 up
nsenter -t $p -n sh -ec "ip addr add 10.77.0.2/24 dev v1; ip link set v1 up; ip link set lo up; exec iperf3 -s -1 >/dev/null" &
sleep 0.5
iperf3 -c 10.77.0.2 -t $0 -J' "$1"`

// iperfServer listens on all of the machine's addresses for one client.
func iperfServer() (port string, stop func()) {
	port = strconv.Itoa(15300 + int(time.Now().UnixNano()/1e6)%1000)
	cmd := exec.Command("iperf3", "-s", "-1", "-p", port)
	if err := cmd.Start(); err != nil {
		fatal("%v", err)
	}
	time.Sleep(300 * time.Millisecond)
	return port, func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
}

func length() string { return fmt.Sprint(max(1, int(*seconds))) }

// bits is the rate in Gbit/s that iperf3's report says was received.
func bits(report string) float64 {
	var r struct {
		Error string
		End   struct {
			Received struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	if err := json.Unmarshal([]byte(report[strings.Index(report, "{"):]), &r); err != nil || r.Error != "" || r.End.Received.Rate == 0 {
		fatal("iperf3: %v %s\n%s", err, r.Error, report)
	}
	return r.End.Received.Rate / 1e9
}

func number(s string) float64 {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || f == 0 {
		fatal("not a rate: %q", s)
	}
	return f
}

// command runs a program that must succeed.
func command(argv ...string) string {
	cmd := exec.Command(argv[0], argv[1:]...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		fatal("%s: %v\n%s%s", strings.Join(slices.Clip(argv), " "), err, &out, &errs)
	}
	return out.String()
}
