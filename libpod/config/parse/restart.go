package parse

import (
	"errors"
	"strconv"
	"strings"

	"ctr/libpod/config"
)

// Restart reads a --restart: no, always, unless-stopped or on-failure[:retries].
func Restart(s string) (config.Restart, error) {
	name, count, ok := strings.Cut(s, ":")
	r := config.Restart{Policy: name}
	if ok && name == "" {
		return r, errors.New("invalid restart policy format: no policy provided before colon")
	}
	if count != "" {
		var err error
		if r.Retries, err = strconv.Atoi(count); err != nil {
			return r, errors.New("invalid restart policy format: maximum retry count must be an integer")
		}
	}
	return r, r.Check()
}
