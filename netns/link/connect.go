// Package link connects network namespaces to the host's network through a user-mode
// program (the helper) that relays traffic through the sockets of an ordinary
// process, so that no privilege on the host is needed.
//
// It is called by the container's monitor, which is uid 0 in its user namespace,
// or real root. "The host" in this package is the network namespace that the
// monitor runs in.
//
// Three helpers give the same network: pasta, slirp4netns, and one built into
// ctr-full. The container has one interface, eth0, in a subnet of its own (usually
// 10.0.2.0/24), with address .100, gateway .2 and a DNS forwarder at .3. It reaches
// whatever the host reaches, the host's own addresses included, but never what
// listens on the host's loopback. With pasta it also has an IPv6 address when the
// host has an IPv6 default route.
package link

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"ctr/netns"
)

// The helpers that [Options.Helper] names, best first.
const (
	Pasta       = "pasta"
	Slirp4netns = "slirp4netns"
	Builtin     = "builtin"
)

// Interface is the name of the container's network interface.
const Interface = "eth0"

const defaultMTU = 65520

// Options says how a namespace is to be connected.
type Options struct {
	Helper string   // pasta, slirp4netns or builtin; "" takes the best that works
	Args   []string // further arguments for the helper program
	RunDir string   // the helper's working directory; "" is /
	Full   string   // path of ctr-full, for the built-in helper
	MTU    int      // of the container's interface; 0 means 65520
}

// Link is a connected namespace. Its fields do not change.
type Link struct {
	Helper      string
	Address     netip.Addr   // of the container
	Prefix      netip.Prefix // the container's subnet
	Gateway     netip.Addr
	HostGateway netip.Addr   // an address of the host itself, as the container reaches it; invalid when the host has only loopback
	DNS         []netip.Addr // forwards to the host's resolver, also to one that listens on loopback
	Address6    netip.Addr   // invalid without IPv6
	Gateway6    netip.Addr
	MAC         string
	MTU         int
	Note        string // why a better helper was passed over; usually empty

	process *process
}

// Place is what the container's files are to say of the link.
func (l *Link) Place() *netns.Place {
	return &netns.Place{Address: l.Address, Address6: l.Address6, HostGateway: l.HostGateway, DNS: l.DNS}
}

// Connect starts a helper for ns and returns when traffic can flow. The caller
// closes the Link; the helper also dies with this process. When ctx ends first
// the helper is killed and the error is ctx's. Without [Options.Helper] a helper
// that is missing or does not work is passed over for the next.
func Connect(ctx context.Context, ns *os.File, o Options) (*Link, error) {
	if o.MTU == 0 {
		o.MTU = defaultMTU
	}
	starters, err := candidates(o.Helper)
	if err != nil {
		return nil, err
	}
	if err := checkTun(); err != nil {
		return nil, err
	}
	host, err := lookAtHost()
	if err != nil {
		return nil, err
	}
	var passed []error
	for _, h := range starters {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("connecting the network: %w", context.Cause(ctx))
		}
		l := host.link(h.name, o.MTU)
		l.process, err = h.start(ctx, ns, l, host, o)
		if err == nil {
			l.Note = note(passed, h.name)
			return l, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("connecting the network with %s: %w", h.name, context.Cause(ctx))
		}
		passed = append(passed, err)
	}
	if o.Helper != "" {
		return nil, passed[0]
	}
	return nil, fmt.Errorf("no network helper works (%s); install pasta (Debian: apt install passt), or use --network none or host", joinLines(passed))
}

type starter struct {
	name  string
	start func(context.Context, *os.File, *Link, hostNetwork, Options) (*process, error)
}

func candidates(name string) ([]starter, error) {
	all := []starter{{Pasta, startPasta}, {Slirp4netns, startSlirp}, {Builtin, startBuiltin}}
	if name == "" {
		return all, nil
	}
	for i, s := range all {
		if s.name == name {
			return all[i : i+1], nil
		}
	}
	return nil, fmt.Errorf("unknown network helper %q: use %s, %s or %s", name, Pasta, Slirp4netns, Builtin)
}

// note is the line for a user whose better helpers are installed but do not work.
func note(passed []error, used string) string {
	var broken []error
	for _, err := range passed {
		if !errors.As(err, new(missingError)) {
			broken = append(broken, err)
		}
	}
	if len(broken) == 0 {
		return ""
	}
	return fmt.Sprintf("network through %s, because %s", used, joinLines(broken))
}

func joinLines(errs []error) string {
	words := make([]string, len(errs))
	for i, err := range errs {
		words[i] = err.Error()
	}
	return strings.Join(words, "; ")
}

// missingError says that a helper is not there or of no use, and why.
type missingError struct{ helper, install string }

func (e missingError) Error() string {
	return fmt.Sprintf("network helper %s is not available (%s)", e.helper, e.install)
}

// checkTun reports why the device that every helper needs cannot be used.
func checkTun() error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	switch {
	case err == nil:
		return unix.Close(fd)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("opening /dev/net/tun, which the container's network needs: %w; run as root: chmod 666 /dev/net/tun", err)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV):
		return fmt.Errorf("opening /dev/net/tun, which the container's network needs: %w; run as root: modprobe tun (inside a container, start that with --device /dev/net/tun)", err)
	}
	return fmt.Errorf("opening /dev/net/tun, which the container's network needs: %w", err)
}

// Kill ends the helper without waiting for it; [Link.Done] tells when it is gone.
// The kernel needs 10 to 30 ms to take the interface down, in which it uses no
// processor: a caller in a hurry kills first, cleans up meanwhile and closes last,
// or ends itself, which reaps the helper too.
func (l *Link) Kill() { l.process.kill() }

// Close kills the helper and returns when it is gone. Idempotent.
func (l *Link) Close() error {
	l.Kill()
	<-l.process.done
	return nil
}

// Done is closed when the helper has ended, by Close or by itself.
func (l *Link) Done() <-chan struct{} { return l.process.done }

// Err says how the helper ended, with the last that it wrote; nil while it runs
// and after [Link.Close].
func (l *Link) Err() error {
	select {
	case <-l.process.done:
		return l.process.failure()
	default:
		return nil
	}
}

// Pid is the helper's process.
func (l *Link) Pid() int { return l.process.pid }
