package spec

import rspec "github.com/opencontainers/runtime-spec/specs-go"

// resources adds the limits to the device rules. Limits without a cgroup are refused
// by the executor, which knows whether it can make one.
func (b *builder) resources() error {
	b.g.Config.Linux.CgroupsPath = b.CgroupsPath
	limits := b.c.Limits.ToOCI()
	if limits == nil {
		return nil
	}
	var rules []rspec.LinuxDeviceCgroup
	if r := b.g.Config.Linux.Resources; r != nil {
		rules = r.Devices
	}
	limits.Devices = rules
	b.g.Config.Linux.Resources = limits
	return nil
}
