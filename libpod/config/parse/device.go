package parse

import (
	"fmt"
	"path"
	"strings"

	"ctr/libpod/config"
)

// Device reads a --device: host-path[:container-path][:permissions].
func Device(s string) (config.Device, error) {
	d := config.Device{Permissions: "rwm"}
	parts := strings.Split(s, ":")
	if len(parts) > 3 || parts[0] == "" {
		return d, fmt.Errorf("bad format for path: %s", s)
	}
	d.Host, d.Container = parts[0], parts[0]
	switch {
	case len(parts) == 3:
		d.Container, d.Permissions = parts[1], parts[2]
	case len(parts) == 2 && config.ValidDevicePermissions(parts[1]):
		d.Permissions = parts[1]
	case len(parts) == 2:
		d.Container = parts[1]
	}
	if err := config.CheckDevicePermissions(d.Permissions); err != nil {
		return d, err
	}
	for _, p := range []*string{&d.Host, &d.Container} {
		if !path.IsAbs(*p) {
			return d, fmt.Errorf("%s is not an absolute path", *p)
		}
		*p = path.Clean(*p)
	}
	return d, nil
}
