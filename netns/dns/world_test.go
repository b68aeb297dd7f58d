package dns

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/dns/dnsmessage"

	"ctr/netns"
	"ctr/netns/internal/world"
	"ctr/netns/lease"
	"ctr/pkg/process"
)

const inWorld = "CTR_DNS_TEST_WORLD"

// TestMain runs the tests in a network namespace of their own, which is the host's
// in them: no packet leaves it.
func TestMain(m *testing.M) {
	fuzzing := strings.Contains(strings.Join(os.Args, " "), "-test.fuzz")
	if os.Getenv(inWorld) != "" || fuzzing {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inWorld+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	err := cmd.Run()
	if cmd.ProcessState == nil {
		fmt.Println("tests of a name server are skipped: no network namespace can be made:", err)
		os.Exit(0)
	}
	os.Exit(cmd.ProcessState.ExitCode())
}

// container makes a container's network namespace; the host's loopback is up after it, too.
func container(t testing.TB) *os.File {
	t.Helper()
	if os.Getenv(inWorld) == "" {
		t.Skip("needs a network namespace of its own")
	}
	if err := up(); err != nil {
		t.Fatal(err)
	}
	return world.Namespace(t)
}

var up = sync.OnceValue(func() error {
	return netlink.LinkSetUp(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: 1}})
})

// start serves a container.
func start(t testing.TB, ns *os.File, c Config) *Server {
	t.Helper()
	if c.HostConfig == "" {
		c.HostConfig = os.DevNull
	}
	s, err := Serve(ns, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// client is a socket in the container towards its name server.
func client(t testing.TB, ns *os.File, network string) net.Conn {
	t.Helper()
	var c net.Conn
	if err := netns.Do(ns, func() (err error) {
		c, err = net.Dial(network, "127.0.0.11:53")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// within runs f in the container.
func within(t testing.TB, ns *os.File, f func()) {
	t.Helper()
	if err := netns.Do(ns, func() error { f(); return nil }); err != nil {
		t.Fatal(err)
	}
}

func question(name string, kind uint16) []byte {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: 7, RecursionDesired: true})
	b.StartQuestions()
	b.Question(dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: dnsmessage.Type(kind), Class: dnsmessage.ClassINET})
	m, err := b.Finish()
	if err != nil {
		panic(err)
	}
	return m
}

// ask sends a message and returns the reply. Tests end by go test's limit when there is none.
func ask(t testing.TB, c net.Conn, message []byte) dnsmessage.Message {
	t.Helper()
	b := askRaw(t, c, message)
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil {
		t.Fatalf("%v in the reply %x", err, b)
	}
	if m.ID != uint16(message[0])<<8|uint16(message[1]) || !m.Response {
		t.Fatalf("reply %+v", m.Header)
	}
	return m
}

func askRaw(t testing.TB, c net.Conn, message []byte) []byte {
	t.Helper()
	if _, stream := c.(*net.TCPConn); stream {
		if err := writeStream(c, message); err != nil {
			t.Fatal(err)
		}
		b, err := readStream(c, maxStream)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if _, err := c.Write(message); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1<<16)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// records writes the answers of a message shortly: "rcode address address …".
func records(m dnsmessage.Message) string {
	words := []string{strings.TrimPrefix(m.RCode.String(), "RCode")}
	if m.Truncated {
		words = append(words, "truncated")
	}
	for _, r := range m.Answers {
		switch b := r.Body.(type) {
		case *dnsmessage.AResource:
			words = append(words, netip.AddrFrom4(b.A).String())
		case *dnsmessage.AAAAResource:
			words = append(words, netip.AddrFrom16(b.AAAA).String())
		case *dnsmessage.PTRResource:
			words = append(words, b.PTR.String())
		default:
			words = append(words, r.Header.Type.String())
		}
	}
	return strings.Join(words, " ")
}

// fake is an upstream server. It answers with its own address, when handle is nil.
type fake struct {
	asked atomic.Int64
}

func upstreamAt(t testing.TB, address string, handle func(f *fake, query []byte, reply func([]byte))) *fake {
	t.Helper()
	f := &fake{}
	if handle == nil {
		handle = func(_ *fake, query []byte, reply func([]byte)) { reply(resolved(query, address)) }
	}
	packets, err := net.ListenPacket("udp", net.JoinHostPort(address, "53"))
	if err != nil {
		panic(err) // not always the test's own goroutine
	}
	streams, err := net.Listen("tcp", net.JoinHostPort(address, "53"))
	if err != nil {
		panic(err)
	}
	t.Cleanup(func() { packets.Close(); streams.Close() })
	go func() {
		for {
			b := make([]byte, 1<<16)
			n, from, err := packets.ReadFrom(b)
			if err != nil {
				return
			}
			f.asked.Add(1)
			handle(f, b[:n], func(reply []byte) { packets.WriteTo(reply, from) })
		}
	}()
	go func() {
		for {
			c, err := streams.Accept()
			if err != nil {
				return
			}
			f.asked.Add(1)
			b, err := readStream(c, maxStream)
			if err == nil {
				handle(f, b, func(reply []byte) { writeStream(c, reply) })
			}
			c.Close()
		}
	}()
	return f
}

// resolved answers any query with addresses.
func resolved(query []byte, addresses ...string) []byte {
	q := parsed(query)
	a := q.reply(nil, noError)
	for _, address := range addresses {
		a.addAddress(netip.MustParseAddr(address), maxStream)
	}
	return a.finish()
}

func parsed(message []byte) *query {
	var q query
	q.parse(message)
	return &q
}

var _ Leases = (*lease.Leases)(nil)

// files is a directory of lease files.
type files struct{ dir string }

func (f files) File(network string) string { return filepath.Join(f.dir, network+".json") }

func (f files) Of(network string) ([]lease.Lease, error) {
	b, err := os.ReadFile(f.File(network))
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var l []lease.Lease
	return l, json.Unmarshal(b, &l)
}

func (f files) write(t testing.TB, network string, leases ...lease.Lease) {
	t.Helper()
	b, err := json.Marshal(leases)
	if err != nil {
		t.Fatal(err)
	}
	fresh := f.File(network) + ".new"
	if err := os.WriteFile(fresh, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(fresh, f.File(network)); err != nil {
		t.Fatal(err)
	}
}

func leased(address, address6 string, names ...string) lease.Lease {
	l := lease.Lease{Container: fmt.Sprintf("%064x", address), Names: names, Holder: process.This()}
	if address != "" {
		l.IPv4 = netip.MustParseAddr(address)
	}
	if address6 != "" {
		l.IPv6 = netip.MustParseAddr(address6)
	}
	return l
}

func writeResolvConf(t testing.TB, path string, servers ...string) {
	t.Helper()
	var text string
	for _, s := range servers {
		text += "nameserver " + s + "\n"
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
