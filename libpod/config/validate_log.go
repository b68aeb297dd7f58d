package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/docker/go-units"
)

// Check is nil when the driver exists and takes the options that it is given.
func (l Log) Check() error {
	driver := l.Driver
	if driver == "" {
		driver = "json-file"
	}
	common := []string{"labels", "labels-regex", "env", "env-regex", "tag", "mode", "max-buffer-size"}
	var own []string
	switch driver {
	case "json-file", "k8s-file":
		own = []string{"max-size", "max-file", "compress", "path"}
	case "journald":
	case "none", "passthrough":
		if len(l.Opts) > 0 {
			return fmt.Errorf("invalid logging opts for driver %s", driver)
		}
		return nil
	default:
		return fmt.Errorf("logger: no log driver named '%s' is registered", driver)
	}
	for key := range l.Opts {
		if !slices.Contains(common, key) && !slices.Contains(own, key) {
			return fmt.Errorf("unknown log opt '%s' for %s log driver", key, driver)
		}
	}
	return l.checkValues()
}

func (l Log) checkValues() error {
	if v, ok := l.Opts["max-size"]; ok && v != "-1" {
		if n, err := units.FromHumanSize(v); err != nil || n <= 0 {
			return fmt.Errorf("invalid value for max-size: %s (use a size such as 10m)", v)
		}
	}
	if v, ok := l.Opts["max-file"]; ok {
		n, err := strconv.Atoi(v)
		if err != nil {
			return fmt.Errorf("invalid value for max-file: %s (use a number)", v)
		}
		if n < 1 {
			return errors.New("max-file cannot be less than 1")
		}
	}
	if v, ok := l.Opts["compress"]; ok {
		if _, err := strconv.ParseBool(v); err != nil {
			return fmt.Errorf("invalid value for compress: %s (use true or false)", v)
		}
	}
	switch mode := l.Opts["mode"]; mode {
	case "", "blocking", "non-blocking":
		return nil
	default:
		return fmt.Errorf("logger: logging mode not supported: %s", mode)
	}
}
