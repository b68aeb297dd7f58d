package link

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
)

// startPasta runs pasta(1). The namespace is its standard input, because newer
// versions close every other descriptor, and its pid file, written when the
// network is ready, is its standard output, a pipe: nothing is left on disk.
//
// A pasta from before August 2024 (Debian 12, Ubuntu 24.04) is not used: Debian
// 12's lets crafted packets through to the host's loopback, never tells the
// container that a connection was refused, and stalls in large transfers.
func startPasta(ctx context.Context, ns *os.File, l *Link, host hostNetwork, o Options) (*process, error) {
	path, err := exec.LookPath("pasta")
	if err != nil {
		return nil, missingError{Pasta, "not installed; Debian: apt install passt"}
	}
	if lacksOption(path, "map-host-loopback") {
		return nil, missingError{Pasta, path + " is from before August 2024, which does not keep the host's loopback safe; install a newer one"}
	}
	args := []string{
		"--foreground", "--quiet",
		"--netns", "/proc/self/fd/0", "--no-netns-quit",
		"--pid", "/proc/self/fd/1",
		"--runas", "0:0", // of the user namespace; as real root it could not join the namespace as nobody
		"--config-net", "--ns-ifname", Interface, "--ns-mac-addr", l.MAC, "--mtu", strconv.Itoa(l.MTU),
		"--address", l.Address.String(), "--netmask", strconv.Itoa(l.Prefix.Bits()), "--gateway", l.Gateway.String(),
		"--dns-forward", l.DNS[0].String(),
		"--map-host-loopback", "none", "--no-map-gw", "--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none",
	}
	if host.ipv6 {
		l.Address6, l.Gateway6 = netip.MustParseAddr("fd63:7472::100"), netip.MustParseAddr("fd63:7472::2")
		args = append(args, "--address", l.Address6.String(), "--gateway", l.Gateway6.String())
	} else {
		args = append(args, "--ipv4-only")
	}
	if host.fallback != "" {
		args = append(args, "--interface", host.fallback)
	}
	cmd := exec.Command(path, append(args, o.Args...)...)
	cmd.Dir, cmd.Stdin = o.RunDir, ns
	return startReady(ctx, Pasta, cmd, func(w *os.File) { cmd.Stdout = w })
}

// lacksOption reports whether a program does not know an option, by the words in
// it: to run it and see costs 20 times as much as to read it. A script may stand
// for anything and is given the benefit of the doubt.
func lacksOption(path, option string) bool {
	text, err := os.ReadFile(path)
	return err == nil && bytes.HasPrefix(text, []byte("\x7fELF")) && !bytes.Contains(text, []byte(option))
}

// startSlirp runs slirp4netns(1), whose own addresses are the ones that this package promises.
func startSlirp(ctx context.Context, ns *os.File, l *Link, _ hostNetwork, o Options) (*process, error) {
	path, err := exec.LookPath("slirp4netns")
	if err != nil {
		return nil, missingError{Slirp4netns, "not installed; Debian: apt install slirp4netns"}
	}
	args := []string{
		"--configure", "--mtu", strconv.Itoa(l.MTU), "--cidr", l.Prefix.String(), "--macaddress", l.MAC,
		"--disable-host-loopback", "--enable-sandbox", "--enable-seccomp",
		"--ready-fd", "3", "--netns-type", "path",
	}
	args = append(append(args, o.Args...), "/proc/self/fd/0", Interface)
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Stdin = o.RunDir, ns
	p, err := startReady(ctx, Slirp4netns, cmd, func(w *os.File) { cmd.ExtraFiles = []*os.File{w} })
	if err != nil {
		return nil, err
	}
	if err := guardLoopback(p.pid); err != nil {
		p.kill()
		<-p.done
		return nil, fmt.Errorf("network helper %s: keeping the container from the host's loopback: %w", Slirp4netns, err)
	}
	return p, nil
}

// startBuiltin runs ctr-full as the helper. The device and its addresses exist
// before it starts, and what the container sends meanwhile waits in the device's
// queue, so nobody waits for the heavy program to come up.
func startBuiltin(_ context.Context, ns *os.File, l *Link, _ hostNetwork, o Options) (*process, error) {
	if o.Full == "" {
		return nil, missingError{Builtin, "it is part of ctr-full, which belongs beside ctr"}
	}
	if _, err := os.Stat(o.Full); err != nil {
		return nil, missingError{Builtin, fmt.Sprintf("it is part of ctr-full: %v", err)}
	}
	tap, err := createTap(ns, l)
	if err != nil {
		return nil, err
	}
	defer tap.Close()
	args := []string{"netns-helper", "--subnet", l.Prefix.String(), "--gateway", l.Gateway.String(), "--dns", l.DNS[0].String(), "--mtu", strconv.Itoa(l.MTU)}
	cmd := exec.Command(o.Full, append(args, o.Args...)...)
	cmd.Dir, cmd.ExtraFiles = o.RunDir, []*os.File{tap}
	return start(Builtin, cmd, true)
}
