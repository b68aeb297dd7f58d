// Package link connects network namespaces to the host's network without privilege
// on the host: through a program that relays traffic through the sockets of an
// ordinary process. There are three: pasta(1), slirp4netns(1), and the builtin one,
// package relay.
//
// [Ensure], [Watch] and [Main] connect the user's hub, the namespace that holds the
// bridges: one helper process, ctr-net, serves the link for all containers. [Connect]
// gives pasta or slirp4netns to a single container that has asked for it.
//
// All are called by a container's monitor, which is uid 0 in its user namespace, or
// real root. "The host" in this package is the network namespace that the monitor
// runs in. A namespace so connected reaches whatever the host reaches, the host's own
// addresses included, but never what listens on the host's loopback.
package link

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"

	"ctr/libpod/config"
	"ctr/netns"
)

// Interface is the name of the container's network interface unless pasta's -I says
// otherwise.
const Interface = "eth0"

const defaultMTU = 65520

// Options says how a namespace is to be connected.
type Options struct {
	Helper string   // the link; "" takes the best that works
	Args   []string // of that link, as they stand behind the colon of --network
	RunDir string   // the helper's working directory; "" is /
	MTU    int      // of the container's interface; 0 means 65520
	// Ports are published by pasta itself, which keeps the clients' addresses. With
	// slirp4netns the caller does that. Those that leave the host's port open get a
	// free one, see [Link.Ports].
	Ports []config.PortMapping
}

// Link is a connected container. Its fields do not change.
type Link struct {
	Helper      string
	Interface   string
	Address     netip.Addr   // of the container
	Prefix      netip.Prefix // the container's subnet
	Gateway     netip.Addr
	HostGateway netip.Addr   // an address of the host itself, as the container reaches it; invalid when the host has only loopback
	DNS         []netip.Addr // forwards to the host's resolver, also to one that listens on loopback
	Address6    netip.Addr   // invalid without IPv6
	Gateway6    netip.Addr
	MAC         string
	MTU         int
	Ports       []config.PortMapping // that pasta publishes
	Note        string               // why a better helper was passed over; usually empty

	child *child
}

// Place is what the container's files are to say of the link.
func (l *Link) Place() *netns.Place {
	return &netns.Place{Address: l.Address, Address6: l.Address6, HostGateway: l.HostGateway, DNS: l.DNS}
}

// Connect gives the container's namespace ns a link of its own and returns when
// traffic can flow. The caller closes the Link; the helper also dies with this
// process. When ctx ends first the helper is killed and the error is ctx's.
func Connect(ctx context.Context, ns *os.File, o Options) (*Link, error) {
	if o.Helper == "" {
		return connectBest(ctx, ns, o)
	}
	plan, err := planned(o)
	if err != nil {
		return nil, err
	}
	path, err := program(o.Helper)
	if err != nil {
		return nil, err
	}
	if err := checkTun(); err != nil {
		return nil, err
	}
	l, cmd, ready, err := plan(path)
	if err != nil {
		return nil, err
	}
	cmd.Dir, cmd.Stdin = o.RunDir, ns
	if l.child, err = startReady(ctx, o.Helper, cmd, ready); err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("connecting the network with %s: %w", o.Helper, context.Cause(ctx))
		}
		return nil, err
	}
	if o.Helper == Slirp4netns {
		if err := finishSlirp(ns, l); err != nil {
			l.Close()
			return nil, fmt.Errorf("network link %s: %w", Slirp4netns, err)
		}
	}
	return l, nil
}

// connectBest passes over what is missing or does not work.
func connectBest(ctx context.Context, ns *os.File, o Options) (*Link, error) {
	var passed []error
	for _, o.Helper = range []string{Pasta, Slirp4netns} {
		l, err := Connect(ctx, ns, o)
		if err == nil {
			l.Note = noteOn(o.Helper, passed)
			return l, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		passed = append(passed, err)
	}
	return nil, fmt.Errorf("no network link works (%s); install pasta (Debian: apt install passt), or use --network bridge, none or host", joinLines(passed))
}

// plan is what a link with certain options will be, the command that makes it, and
// how to hand that the pipe on which it says that it is ready.
type plan func(path string) (l *Link, cmd *exec.Cmd, ready func(w *os.File), err error)

func planned(o Options) (plan, error) {
	if o.MTU == 0 {
		o.MTU = defaultMTU
	}
	switch o.Helper {
	case Pasta:
		return planPasta(o)
	case Slirp4netns:
		return planSlirp(o)
	}
	return nil, fmt.Errorf("unknown network link %q: use %s or %s", o.Helper, Pasta, Slirp4netns)
}

// Check is nil when the options are ones that the link understands, as far as that
// can be told without running it. It touches nothing.
func (o Options) Check() error {
	_, err := planned(o)
	return err
}

// Kill ends the helper without waiting for it; [Link.Done] tells when it is gone.
// The kernel needs 10 to 30 ms to take the interface down, in which it uses no
// processor: a caller in a hurry kills first, cleans up meanwhile and closes last,
// or ends itself, which reaps the helper too.
func (l *Link) Kill() { l.child.kill() }

// Close kills the helper and returns when it is gone. Idempotent.
func (l *Link) Close() error {
	l.Kill()
	<-l.child.done
	return nil
}

// Done is closed when the helper has ended, by Close or by itself.
func (l *Link) Done() <-chan struct{} { return l.child.done }

// Err says how the helper ended, with the last that it wrote; nil while it runs
// and after [Link.Close].
func (l *Link) Err() error {
	select {
	case <-l.child.done:
		return l.child.failure()
	default:
		return nil
	}
}

// Pid is the helper's process.
func (l *Link) Pid() int { return l.child.pid }
