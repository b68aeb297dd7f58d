package parse

import (
	"encoding/csv"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"ctr/libpod/config"
)

// Attachment is one --network: a mode that has no networks, or a place in a network.
type Attachment struct {
	Mode     string          // as config.Namespaces.Network has it; "" when Endpoint counts
	Endpoint config.Endpoint // its addresses are not checked, its name may be ""
}

// UserDefined tells whether the attachment is to a network that somebody created.
func (a Attachment) UserDefined() bool {
	return a.Mode == "" && a.Endpoint.Network != config.DefaultNetwork
}

// Name is the network's name, or the mode.
func (a Attachment) Name() string {
	if a.Mode != "" {
		return a.Mode
	}
	return a.Endpoint.Network
}

// Network reads a --network: a network's name, or none, host, bridge, default,
// container:NAME, ns:PATH, pasta[:OPTIONS], slirp4netns[:OPTIONS]; Docker's
// name=NETWORK,alias=…,ip=… or Podman's NETWORK:alias=…,ip=….
func Network(s string) (Attachment, error) {
	i := strings.IndexAny(s, ":=")
	if i <= 0 || hasMode(s) {
		return attachmentTo(s), nil
	}
	name, list := "", s
	if s[i] == ':' {
		name, list = s[:i], s[i+1:]
	}
	if _, value, found := strings.Cut(list, "="); !found || value == "" {
		return attachmentTo(s), nil // a network of that name; there is none
	}
	return networkFields(name, list)
}

// hasMode tells whether s is a mode of a container's network namespace.
func hasMode(s string) bool {
	switch mode, _, more := strings.Cut(s, ":"); mode {
	case "none", "host":
		return !more
	case "container", "ns", "pasta", "slirp4netns", "builtin":
		return true
	}
	return false
}

func attachmentTo(s string) Attachment {
	switch {
	case hasMode(s):
		return Attachment{Mode: s}
	case s == "default" || s == "private":
		s = config.DefaultNetwork
	}
	return Attachment{Endpoint: config.Endpoint{Network: s}}
}

func networkFields(name, list string) (Attachment, error) {
	fields, err := csv.NewReader(strings.NewReader(list)).Read()
	if err != nil {
		return Attachment{}, err
	}
	var e config.Endpoint
	for _, field := range fields {
		key, value, found := strings.Cut(strings.TrimSpace(field), "=")
		key, value = strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value)
		switch {
		case !found:
			return Attachment{}, fmt.Errorf("invalid field %s", field)
		case key == "name" && name == "":
			name = value
		default:
			if err := setNetworkField(&e, key, value); err != nil {
				return Attachment{}, err
			}
		}
	}
	if name == "" {
		return Attachment{}, errors.New("network name/id is not specified")
	}
	a := attachmentTo(name)
	e.Network = a.Endpoint.Network
	a.Endpoint = e
	return a, nil
}

func setNetworkField(e *config.Endpoint, key, value string) (err error) {
	switch key {
	case "alias":
		e.Aliases = append(e.Aliases, value)
	case "ip":
		e.IPv4 = value
	case "ip6":
		e.IPv6 = value
	case "mac-address", "mac":
		e.MAC = value
	case "link-local-ip":
		e.LinkLocal = append(e.LinkLocal, value)
	case "driver-opt":
		return DriverOpt(e, value)
	case "interface", "interface-name", "interface_name":
		e.Interface = value
	case "gw-priority":
		if e.Priority, err = strconv.Atoi(value); err != nil {
			return fmt.Errorf("invalid gw-priority (%s): %w", value, errors.Unwrap(err))
		}
	default:
		return fmt.Errorf("invalid field key %s", key)
	}
	return nil
}

// DriverOpt reads a --driver-opt of an endpoint, key=value, into it. Docker's way to
// name the interface sets that name too.
func DriverOpt(e *config.Endpoint, s string) error {
	key, value, found := strings.Cut(s, "=")
	key, value = strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value)
	if !found || key == "" {
		return errors.New("invalid key value pair format in driver options")
	}
	if e.DriverOpts == nil {
		e.DriverOpts = map[string]string{}
	}
	e.DriverOpts[key] = value
	if key == "com.docker.network.endpoint.ifname" {
		e.Interface = value
	}
	return nil
}

// Link reads a --link, CONTAINER[:ALIAS], into CONTAINER:ALIAS. An empty alias is
// the container's name.
func Link(s string) (string, error) {
	if s == "" {
		return "", errors.New("empty string specified for links")
	}
	name, alias, _ := strings.Cut(s, ":")
	if name == "" || strings.Contains(alias, ":") {
		return "", fmt.Errorf("bad format for links: %s", s)
	}
	name = strings.TrimPrefix(name, "/")
	if alias == "" {
		alias = name
	}
	return name + ":" + alias, nil
}

// MAC reads a --mac-address of six bytes.
func MAC(s string) (string, error) {
	mac, err := net.ParseMAC(strings.TrimSpace(s))
	if err != nil || len(mac) != 6 {
		return "", fmt.Errorf("%s is not a valid mac address", s)
	}
	return mac.String(), nil
}
