package cgroups

import rspec "github.com/opencontainers/runtime-spec/specs-go"

// ToOCI is the limits in the runtime spec's form, nil when there are none.
func (l Limits) ToOCI() *rspec.LinuxResources {
	if l.PidsLimit == 0 {
		return nil
	}
	limit := l.PidsLimit
	return &rspec.LinuxResources{Pids: &rspec.LinuxPids{Limit: &limit}}
}
