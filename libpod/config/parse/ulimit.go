package parse

import (
	"fmt"
	"strconv"
	"strings"

	"ctr/libpod/config"
)

// Ulimit reads a --ulimit: name=soft[:hard]; -1 is unlimited.
func Ulimit(s string) (config.Ulimit, error) {
	name, limits, ok := strings.Cut(s, "=")
	u := config.Ulimit{Name: name}
	if !ok {
		return u, fmt.Errorf("invalid ulimit argument: %s", s)
	}
	if err := config.CheckUlimit(u); err != nil { // the name before the numbers
		return u, err
	}
	soft, hard, hasHard := strings.Cut(limits, ":")
	if strings.Contains(hard, ":") {
		return u, fmt.Errorf("too many limit value arguments - %s, can only have up to two, `soft[:hard]`", limits)
	}
	if !hasHard {
		hard = soft
	}
	var err error
	if u.Hard, err = strconv.ParseInt(hard, 10, 64); err != nil {
		return u, err
	}
	if u.Soft, err = strconv.ParseInt(soft, 10, 64); err != nil {
		return u, err
	}
	return u, config.CheckUlimit(u)
}
