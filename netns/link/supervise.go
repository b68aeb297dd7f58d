package link

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"time"

	"ctr/netns/bridge"
	"ctr/netns/relay"
)

// A link that has died this often without having lived for a while is given up for
// the next; one that the user has chosen is tried for ever.
const (
	longLife  = 10 * time.Second
	lastDeath = 5
)

// serve keeps the link up until ctx ends.
func (h *helper) serve(ctx context.Context) {
	deaths := 0
	for {
		began := time.Now()
		err := h.once(ctx)
		if ctx.Err() != nil {
			return
		}
		h.say("%v", err)
		if time.Since(began) > longLife {
			deaths = 0
		}
		deaths++
		if deaths >= lastDeath && !h.chosen && h.fallBack(err) {
			deaths = 0
		}
		pause(ctx, retryDelay(deaths))
	}
}

// retryDelay is how long to wait after so many deaths in a row.
func retryDelay(deaths int) time.Duration {
	return min(10*time.Millisecond<<min(2*max(deaths-1, 0), 20), 5*time.Second)
}

// once runs the link until it ends, which it does not do by itself.
func (h *helper) once(ctx context.Context) error {
	link := h.current().Link
	if link == Builtin {
		return h.relay(ctx)
	}
	cmd, ready, err := uplinkCommand(link, h.hub, h.mtu)
	if err != nil {
		return err
	}
	p, err := startReady(ctx, link, cmd, ready)
	if err != nil {
		return err
	}
	h.say("connected through %s, process %d", link, p.pid)
	select {
	case <-p.done:
		return p.failure()
	case <-ctx.Done():
		p.kill()
		<-p.done
		return ctx.Err()
	}
}

func (h *helper) relay(ctx context.Context) error {
	device := h.device
	h.device = nil
	if device == nil {
		var err error
		if device, err = openUp(h.hub, h.mtu); err != nil {
			return err
		}
	}
	defer device.Close()
	err := relay.Serve(ctx, relay.Config{
		Hub: h.hub, Device: device, Host: h.hostAddress, Note: func(line string) { h.say("%s", line) },
	})
	return fmt.Errorf("the builtin network link ended: %w", err)
}

// fallBack makes the next link that is available the current one. On false there is none.
func (h *helper) fallBack(why error) bool {
	now := h.current()
	next, err := bestOf(order[slices.Index(order, now.Link)+1:])
	if err != nil {
		return false
	}
	device, err := makeDevice(h.hub, next.link, h.mtu)
	if err == nil {
		err = useDevice(h.hub, next.link, h.hostAddress())
	}
	if err != nil {
		if device != nil {
			device.Close()
		}
		h.say("falling back on %s: %v", next.link, err)
		return false
	}
	h.device = device
	now.Link, now.Note = next.link, noteOn(next.link, []error{why})
	h.say("%s", now.Note)
	err = locked(h.run, func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.info = now
		if written, err := Read(h.run); err != nil || written.Process != now.Process {
			return err // on its way out
		}
		return now.write(h.run)
	})
	if err != nil {
		h.say("%v", err)
	}
	return true
}

func (h *helper) current() Info {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.info
}

// uplinkCommand is the command of pasta or slirp4netns as the hub's link, attached to
// the device that is there already. ready puts the pipe in its place that tells when
// it is attached.
func uplinkCommand(link string, hub *os.File, mtu int) (cmd *exec.Cmd, ready func(*os.File), err error) {
	path, err := program(link)
	if err != nil {
		return nil, nil, err
	}
	if link == Slirp4netns {
		cmd = exec.Command(path,
			"--mtu", strconv.Itoa(mtu), "--cidr", hubSubnet, "--enable-ipv6",
			"--disable-host-loopback", "--disable-dns", "--enable-sandbox", "--enable-seccomp",
			"--ready-fd", "3", "--netns-type", "path", "/proc/self/fd/0", bridge.Tap)
		ready = func(w *os.File) { cmd.ExtraFiles = []*os.File{w} }
	} else {
		cmd = exec.Command(path,
			"--foreground", "--quiet", "--netns", "/proc/self/fd/0", "--no-netns-quit",
			"--pid", "/proc/self/fd/1", "--runas", "0:0",
			"--ns-ifname", bridge.Tap, "--ns-mac-addr", hubMAC, "--mtu", strconv.Itoa(mtu),
			"--address", hubAddress, "--netmask", "24", "--gateway", hubGateway,
			"--address", pastaRange6+"100", "--gateway", pastaRange6+"2",
			"--map-host-loopback", "none", "--no-map-gw", "--no-dhcp", "--no-dhcpv6", "--no-ra",
			"--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none")
		ready = func(w *os.File) { cmd.Stdout = w }
	}
	cmd.Stdin = hub
	return cmd, ready, nil
}
