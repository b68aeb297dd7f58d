package spec

import (
	"strings"

	rspec "github.com/opencontainers/runtime-spec/specs-go"

	"ctr/libpod/config"
)

// sysctls lets every user of a container with a network of its own listen on low
// ports and send pings, as Docker does, and adds what was asked for.
func (b *builder) sysctls() error {
	if ownNetwork(b.c.NS.Network) && !b.shared(rspec.NetworkNamespace) {
		b.g.AddLinuxSysctl("net.ipv4.ip_unprivileged_port_start", "0")
		if !b.Rootless { // in a user namespace the range would have to be mapped
			b.g.AddLinuxSysctl("net.ipv4.ping_group_range", "0 2147483647")
		}
	}
	ns := b.c.NS
	if b.shared(rspec.NetworkNamespace) {
		ns.Network = "host"
	}
	if b.shared(rspec.IPCNamespace) {
		ns.IPC = "host"
	}
	for key, value := range b.c.Sysctls {
		if err := config.CheckSysctl(key, ns); err != nil {
			return err
		}
		b.g.AddLinuxSysctl(key, value)
	}
	return nil
}

func ownNetwork(mode string) bool {
	return mode != "host" && !strings.HasPrefix(mode, "container:") && !strings.HasPrefix(mode, "ns:")
}
