package bridge

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"ctr/netns/internal/world"
	"ctr/netns/lease"
	"ctr/netns/network"
	"ctr/pkg/process"
)

// hold opens a hub, prints which one and its descriptor, and keeps it until stdin ends.
func hold() error {
	run, data := os.Args[1], os.Args[2]
	h, err := Open(run, lease.Open(run), network.Open(data))
	if err != nil {
		return err
	}
	fmt.Println(inode(h.NS()), h.FD())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func inode(f *os.File) uint64 {
	var st unix.Stat_t
	unix.Fstat(int(f.Fd()), &st)
	return st.Ino
}

type holding struct {
	*exec.Cmd
	inode uint64
	fd    int
	in    io.WriteCloser
}

// holders starts processes that open the hub, all at once, and waits until they have.
func (s *stage) holders(data string, count int) []*holding {
	var all []*holding
	var outs []*bufio.Reader
	for range count {
		h := &holding{Cmd: world.Command("holder", s.run, data)}
		h.Stdout, h.SysProcAttr = nil, nil // it ends with its stdin; the thread that starts it may end before
		out, err := h.StdoutPipe()
		if err != nil {
			s.Fatal(err)
		}
		if h.in, err = h.StdinPipe(); err != nil {
			s.Fatal(err)
		}
		if err := h.Start(); err != nil {
			s.Fatal(err)
		}
		s.Cleanup(h.kill)
		all, outs = append(all, h), append(outs, bufio.NewReader(out))
	}
	for i, h := range all {
		line, err := outs[i].ReadString('\n')
		if _, scan := fmt.Sscan(line, &h.inode, &h.fd); err != nil || scan != nil {
			s.Fatalf("a holder says %q: %v", line, err)
		}
	}
	return all
}

func (h *holding) kill() {
	h.Process.Kill()
	h.Wait()
}

func TestHubIsOneForAll(t *testing.T) {
	world.Need(t, world.Tests)
	if isRoot() {
		t.Skip("as root the hub is the host's namespace")
	}
	s := &stage{TB: t, run: t.TempDir()}
	data := t.TempDir()
	s.networks, s.leases = network.Open(data), lease.Open(s.run)
	open := func() uint64 {
		t.Helper()
		h := s.open()
		defer h.Close()
		return inode(h.NS())
	}
	all := s.holders(data, 12)
	for _, h := range all {
		if h.inode != all[0].inode {
			t.Fatalf("two hubs: %d and %d", h.inode, all[0].inode)
		}
	}
	for _, h := range all[1:] {
		h.kill()
		if got := open(); got != all[0].inode {
			t.Fatalf("after a kill, hub %d in place of %d", got, all[0].inode)
		}
	}
	s.foundByOtherRecords(all[0])
	all[0].kill()
	if files, _ := filepath.Glob(filepath.Join(s.run, "net/hub/*")); len(files) > 1 {
		t.Errorf("records left: %v", files)
	}
}

// foundByOtherRecords looks for the hub of last, which alone has it, without its own record.
func (s *stage) foundByOtherRecords(last *holding) {
	record := filepath.Join(s.run, "net/link.json")
	open := func() uint64 {
		h := s.open()
		defer h.Close()
		return inode(h.NS())
	}
	forget := func() {
		files, _ := filepath.Glob(filepath.Join(s.run, "net/hub/*"))
		for _, f := range append(files, record) {
			os.Remove(f)
		}
	}
	byLink := func(fd int) {
		forget()
		text, _ := json.Marshal(map[string]any{"process": process.Of(last.Process.Pid), "hub": fd, "link": "builtin"})
		if err := os.WriteFile(record, text, 0o600); err != nil {
			s.Fatal(err)
		}
	}
	byLink(last.fd)
	if got := open(); got != last.inode {
		s.Errorf("by the link's record: hub %d, want %d", got, last.inode)
	}
	forget()
	n := s.network(network.Network{Name: "a", Subnets: subnets("172.30.1.0/24")})
	l := lease.Lease{Container: randomID(), Holder: process.Of(last.Process.Pid), HubFD: last.fd}
	if _, err := s.leases.Take(n, l); err != nil {
		s.Fatal(err)
	}
	if got := open(); got != last.inode {
		s.Errorf("by a lease: hub %d, want %d", got, last.inode)
	}
	s.leases.Release(n.ID, l.Container)
	for _, fd := range []int{0, 1, 2, last.fd + 100, -1} { // records that lie
		byLink(fd)
		if got := open(); got == last.inode {
			s.Errorf("descriptor %d gave the hub", fd)
		}
	}
}
