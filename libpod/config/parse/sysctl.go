package parse

import (
	"fmt"
	"strings"

	"ctr/libpod/config"
)

// Sysctl reads a --sysctl: KEY=VALUE with a KEY that a container can have of its own.
func Sysctl(s string) (string, error) {
	key, _, ok := strings.Cut(s, "=")
	if !ok || config.SysctlNamespace(key) == "" {
		return "", fmt.Errorf("sysctl '%s' is not allowed", s)
	}
	return s, nil
}
