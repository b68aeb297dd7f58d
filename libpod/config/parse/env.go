package parse

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Env reads a -e: KEY=VALUE as it stands. A KEY alone takes its value from ctr's
// own environment, and stays a KEY alone, which unsets it, when it is not there.
// No character has a meaning in a KEY: `*` names a variable called `*`.
func Env(s string) (string, error) {
	key, _, hasValue := strings.Cut(s, "=")
	if key == "" {
		return "", errors.New("invalid environment variable: " + s)
	}
	if strings.Contains(s, "\x00") {
		return "", fmt.Errorf("invalid environment variable: %q contains NUL", key)
	}
	if hasValue {
		return s, nil
	}
	if value, ok := os.LookupEnv(key); ok {
		return key + "=" + value, nil
	}
	return s, nil
}

// EnvFile reads the lines of an --env-file. A KEY alone takes its value from ctr's
// own environment and is left out when it is not there.
func EnvFile(name string) ([]string, error) {
	return keyValueFile(name, os.LookupEnv)
}
