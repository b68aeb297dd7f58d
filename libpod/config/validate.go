package config

import (
	"errors"
	"fmt"
	"path"
	"time"
)

// minimumDuration is the shortest health check interval or timeout.
const minimumDuration = time.Millisecond

// Validate checks everything that can be known of a container without looking at
// the machine or the image's files. Its errors are one line in Docker's words.
// Create calls it before anything is written.
func (c *Container) Validate() error {
	for _, check := range []func() error{
		c.validateIdentity, c.validateProcess, c.validateNamespaces, c.validateNetworks, c.validatePorts, c.validateMounts, c.validateSecurity,
		c.validateResources, c.validateLife, c.Health.validate, c.Log.Check,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Container) validateIdentity() error {
	if c.Version > Version {
		return fmt.Errorf("container configuration has format %d, this ctr understands up to %d: use the newer ctr that wrote it", c.Version, Version)
	}
	if c.ID != "" && !validID(c.ID) {
		return fmt.Errorf("invalid container ID %q: it is 64 hexadecimal digits", c.ID)
	}
	if c.Name != "" {
		return CheckName(c.Name)
	}
	return nil
}

func validID(s string) bool {
	for _, r := range s {
		if (r < '0' || r > '9') && (r < 'a' || r > 'f') {
			return false
		}
	}
	return len(s) == 64
}

func (c *Container) validateProcess() error {
	if len(c.Entrypoint)+len(c.Cmd) == 0 {
		return errors.New("no command specified")
	}
	if c.WorkingDir != "" && !path.IsAbs(c.WorkingDir) {
		return fmt.Errorf("the working directory '%s' is invalid, it needs to be an absolute path", c.WorkingDir)
	}
	if err := CheckHostname(c.Hostname); err != nil {
		return err
	}
	if err := CheckHostname(c.Domainname); err != nil {
		return err
	}
	return CheckUser(c.User)
}

func (c *Container) validateNamespaces() error {
	if err := c.NS.Check(); err != nil {
		return err
	}
	if c.NS.UTS == "host" && c.Hostname != "" {
		return errors.New("conflicting options: hostname and the UTS mode")
	}
	for key := range c.Sysctls {
		if err := CheckSysctl(key, c.NS); err != nil {
			return err
		}
	}
	return nil
}

func (c *Container) validateMounts() error {
	taken := make(map[string]bool, len(c.Mounts))
	for _, m := range c.Mounts {
		if err := CheckMount(m); err != nil {
			return err
		}
		destination := path.Clean(m.Destination)
		if taken[destination] {
			return fmt.Errorf("Duplicate mount point: %s", destination)
		}
		taken[destination] = true
	}
	if c.ShmSize < 0 {
		return errors.New("SHM size can not be less than 0")
	}
	return nil
}

func (c *Container) validateSecurity() error {
	if err := checkCapabilities("CapAdd", c.Security.CapAdd); err != nil {
		return err
	}
	if err := checkCapabilities("CapDrop", c.Security.CapDrop); err != nil {
		return err
	}
	for _, d := range c.Devices {
		if !path.IsAbs(d.Host) || !path.IsAbs(d.Container) {
			return fmt.Errorf("device %s:%s: a device is an absolute path", d.Host, d.Container)
		}
		if err := CheckDevicePermissions(d.Permissions); err != nil {
			return fmt.Errorf("device %s: %w", d.Host, err)
		}
	}
	for _, p := range append(append([]string(nil), c.Security.Mask...), c.Security.Unmask...) {
		if p != "ALL" && !path.IsAbs(p) {
			return fmt.Errorf("invalid --security-opt: masked path %q is not absolute", p)
		}
	}
	for key := range c.Annotations {
		if key == "" {
			return errors.New("invalid Annotations: the empty string is not permitted as an annotation key")
		}
	}
	return nil
}

func (c *Container) validateResources() error {
	for _, u := range c.Ulimits {
		if err := CheckUlimit(u); err != nil {
			return err
		}
	}
	if adj := c.OOMScoreAdj; adj != nil && (*adj < -1000 || *adj > 1000) {
		return fmt.Errorf("Invalid value %d, range for oom score adj is [-1000, 1000]", *adj)
	}
	return nil
}

func (c *Container) validateLife() error {
	if err := c.Restart.Check(); err != nil {
		return err
	}
	if c.AutoRemove && c.Restart.Policy != "" && c.Restart.Policy != "no" {
		return errors.New("can't create 'AutoRemove' container with restart policy")
	}
	if c.Timeout < 0 {
		return fmt.Errorf("--timeout cannot be negative: %s", c.Timeout)
	}
	_, err := ParseSignal(c.StopSignal)
	return err
}

// Check is nil for a policy that exists with a retry count that it can have.
func (r Restart) Check() error {
	switch r.Policy {
	case "", "no", "always", "unless-stopped":
		if r.Retries < 0 {
			return errors.New("invalid restart policy: maximum retry count can only be used with 'on-failure' and cannot be negative")
		}
		if r.Retries > 0 {
			return errors.New("invalid restart policy: maximum retry count can only be used with 'on-failure'")
		}
	case "on-failure":
		if r.Retries < 0 {
			return errors.New("invalid restart policy: maximum retry count cannot be negative")
		}
	default:
		return fmt.Errorf("invalid restart policy: unknown policy '%s'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'", r.Policy)
	}
	return nil
}

func (h *Health) validate() error {
	if h == nil {
		return nil
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"Interval", h.Interval}, {"Timeout", h.Timeout}, {"StartPeriod", h.StartPeriod}, {"StartInterval", h.StartInterval}} {
		if d.value != 0 && d.value < minimumDuration {
			return fmt.Errorf("%s in Healthcheck cannot be less than %s", d.name, minimumDuration)
		}
	}
	if h.Retries < 0 {
		return errors.New("Retries in Healthcheck cannot be negative")
	}
	return nil
}
