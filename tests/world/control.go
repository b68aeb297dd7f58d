package world

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"

	"ctr/netns"
)

type answer struct{ Out, Err string }

// Ask has the world around this process do something:
//
//	tcp ADDRESS TEXT, udp ADDRESS TEXT   speak to the machine from outside; the answer
//	online, offline, elsewhere           move the machine's interface
//	route PREFIX                         outside sends packets for PREFIX to the machine, as a neighbour with bad intentions
//	resolver ADDRESS                     a resolver on the machine itself, which gives 192.0.2.53 for names of test.
//	queries                              the names that were asked of the resolver outside
//	seen                                 what packets arrived outside: "udp 192.0.2.80:7 from 198.51.100.2"
func Ask(words ...string) (string, error) {
	dir := os.Getenv(DirEnv)
	if dir == "" {
		return "", errors.New("this test is not in a world of its own")
	}
	c, err := net.Dial("unix", filepath.Join(dir, "socket"))
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	if err := json.NewEncoder(c).Encode(words); err != nil {
		return "", err
	}
	var a answer
	if err := json.NewDecoder(c).Decode(&a); err != nil {
		return "", err
	}
	if a.Err != "" {
		return a.Out, errors.New(a.Err)
	}
	return a.Out, nil
}

// control answers Ask.
func (w *World) control() error {
	path := filepath.Join(w.Dir, "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	w.closers = append(w.closers, l.Close)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				var words []string
				if json.NewDecoder(c).Decode(&words) != nil || len(words) == 0 {
					return
				}
				var a answer
				out, err := w.do(words)
				if a.Out = out; err != nil {
					a.Err = err.Error()
				}
				json.NewEncoder(c).Encode(a)
			}()
		}
	}()
	return os.Chmod(path, 0o666)
}

func (w *World) do(words []string) (string, error) {
	switch what := words[0]; {
	case (what == "tcp" || what == "udp") && len(words) == 3:
		return w.exchange(what, words[1], words[2])
	case what == "resolver" && len(words) == 2:
		w.mu.Lock()
		defer w.mu.Unlock()
		return "", netns.Do(w.machine, func() error { return w.serveDNS(net.JoinHostPort(words[1], "53"), "192.0.2.53") })
	case what == "route" && len(words) == 2:
		return "", netns.Do(w.outside, func() error {
			prefix, err := netlink.ParseIPNet(words[1])
			if err != nil {
				return err
			}
			return netlink.RouteReplace(&netlink.Route{Dst: prefix, Gw: net.ParseIP(Machine)})
		})
	case what == "queries":
		return w.log.text(&w.log.queries), nil
	case what == "seen":
		return w.log.text(&w.log.seen), nil
	case what == "online" || what == "offline" || what == "elsewhere":
		w.mu.Lock()
		defer w.mu.Unlock()
		return "", map[string]func() error{"online": w.online, "offline": w.offline, "elsewhere": w.elsewhere}[what]()
	}
	return "", fmt.Errorf("what is %q?", words)
}
