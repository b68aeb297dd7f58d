package parse

import (
	"errors"
	"strings"

	"ctr/libpod/config"
)

// Log makes the log configuration of --log-driver and all --log-opt KEY=VALUE.
func Log(driver string, opts []string) (config.Log, error) {
	l := config.Log{Driver: driver}
	for _, opt := range opts {
		key, value, _ := strings.Cut(opt, "=")
		if key == "" {
			return l, errors.New("invalid log option '" + opt + "': empty name")
		}
		if l.Opts == nil {
			l.Opts = map[string]string{}
		}
		l.Opts[key] = value
	}
	return l, l.Check()
}
