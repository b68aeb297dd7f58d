package parse

import (
	"fmt"
	"strings"
)

// Label reads a --label: KEY or KEY=VALUE.
func Label(s string) (string, error) {
	key, _, _ := strings.Cut(s, "=")
	key = strings.TrimLeft(key, " \t")
	if key == "" {
		return "", fmt.Errorf("invalid label '%s': empty name", s)
	}
	if strings.ContainsAny(key, " \t") {
		return "", fmt.Errorf("label '%s' contains whitespaces", key)
	}
	return s, nil
}

// LabelFile reads the lines of a --label-file. A KEY alone is left out, as Docker does.
func LabelFile(name string) ([]string, error) {
	return keyValueFile(name, func(string) (string, bool) { return "", false })
}

// Annotation reads an --annotation: KEY=VALUE.
func Annotation(s string) (string, error) {
	if key, _, _ := strings.Cut(s, "="); key == "" {
		return "", fmt.Errorf("invalid annotation '%s': empty name", s)
	}
	return s, nil
}
