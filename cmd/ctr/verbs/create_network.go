package verbs

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"ctr/libpod/config"
	"ctr/libpod/config/parse"
)

// networkOptions is what the flags of run and create say about networks.
type networkOptions struct {
	attachments []parse.Attachment // one per --network
	aliases     []string
	links       []string // container:alias
	ip, ip6     string
	mac         string
	linkLocal   []string
	publish     []string // as typed
	publishAll  bool

	// What settle makes of them.
	mode      string
	endpoints []config.Endpoint
	ports     []config.PortMapping
	warning   string // of what is ignored
}

func (o *networkOptions) flags() []flag {
	return []flag{
		text(&o.ip, "ip", "IPv4 address (e.g., 172.30.100.104)"),
		text(&o.ip6, "ip6", "IPv6 address (e.g., 2001:db8::33)"),
		collected(&o.links, "link", "list", "Add link to another container", parse.Link),
		list(&o.linkLocal, "link-local-ip", "Container IPv4/IPv6 link-local addresses"),
		text(&o.mac, "mac-address", "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
		collected(&o.attachments, "network", "network", "Connect a container to a network", parse.Network).also("net"),
		list(&o.aliases, "network-alias", "Add network-scoped alias for the container").also("net-alias"),
		list(&o.publish, "publish,p", "Publish a container's port(s) to the host"),
		boolean(&o.publishAll, "publish-all,P", "Publish all exposed ports to random ports"),
	}
}

// settle decides between the mode and the networks, and gives what the single flags
// say to the first network.
func (o *networkOptions) settle() error {
	for _, word := range o.publish {
		ports, err := parse.Publish(word)
		if err != nil {
			return err
		}
		o.ports = append(o.ports, ports...)
	}
	if len(o.attachments) == 0 {
		o.attachments = []parse.Attachment{{Endpoint: config.Endpoint{Network: config.DefaultNetwork}}}
	}
	main := &o.attachments[0]
	if err := o.addTo(main); err != nil {
		return err
	}
	userDefined := main.UserDefined()
	for i := range o.attachments {
		a := &o.attachments[i]
		if a.UserDefined() != userDefined {
			return errors.New("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
		}
		if err := settleAttachment(a); err != nil {
			return err
		}
		if slices.ContainsFunc(o.attachments[:i], func(other parse.Attachment) bool { return other.Name() == a.Name() }) {
			return fmt.Errorf("network %q is specified multiple times", a.Name())
		}
	}
	if main.Mode != "" {
		o.settleMode()
		return nil
	}
	for _, a := range o.attachments {
		o.endpoints = append(o.endpoints, a.Endpoint)
	}
	return nil
}

// addTo gives the first network what the single flags say.
func (o *networkOptions) addTo(a *parse.Attachment) error {
	e := &a.Endpoint
	for _, option := range []struct {
		flag, field string
		both        bool
	}{
		{"--network-alias", "alias", len(e.Aliases) > 0 && len(o.aliases) > 0},
		{"--ip", "IPv4 address", e.IPv4 != "" && o.ip != ""},
		{"--ip6", "IPv6 address", e.IPv6 != "" && o.ip6 != ""},
		{"--mac-address", "MAC address", e.MAC != "" && o.mac != ""},
		{"--link-local-ip", "link-local IP addresses", len(e.LinkLocal) > 0 && len(o.linkLocal) > 0},
	} {
		if option.both {
			return fmt.Errorf("conflicting options: cannot specify both %s and per-network %s", option.flag, option.field)
		}
	}
	e.Aliases = append(e.Aliases, o.aliases...)
	e.LinkLocal = append(e.LinkLocal, o.linkLocal...)
	e.IPv4, e.IPv6, e.MAC = first(e.IPv4, o.ip), first(e.IPv6, o.ip6), first(e.MAC, o.mac)
	if a.UserDefined() {
		e.Links, o.links = o.links, nil
	}
	return nil
}

// settleAttachment checks one --network by itself.
func settleAttachment(a *parse.Attachment) error {
	switch {
	case a.Name() == "":
		return errors.New("no name set for network")
	case len(a.Endpoint.Aliases) > 0 && !a.UserDefined():
		return errors.New("network-scoped aliases are only supported for user-defined networks")
	}
	if mac := &a.Endpoint.MAC; *mac != "" {
		canonical, err := parse.MAC(*mac)
		if err != nil {
			return err
		}
		*mac = canonical
	}
	return nil
}

// settleMode is for a container without networks of ours, and so without published
// ports where nothing could reach them.
func (o *networkOptions) settleMode() {
	o.mode = o.attachments[0].Mode
	if (o.mode == "host" || o.mode == "none") && len(o.ports) > 0 {
		o.ports = nil
		o.warning = fmt.Sprintf("WARNING: Published ports are discarded when using %s network mode", o.mode)
	}
}

// conflict finds what was asked of a network by a container that has none of ours.
func (o *networkOptions) conflict(expose []string) error {
	if o.mode == "" {
		return nil
	}
	e := o.attachments[0].Endpoint
	switch {
	case len(o.attachments) > 1:
		return fmt.Errorf("conflicting options: network mode %s and another network", o.mode)
	case e.IPv4 != "" || e.IPv6 != "":
		return fmt.Errorf("invalid config for network %s: invalid endpoint settings:\nuser specified IP address is supported on user defined networks only", o.mode)
	case e.MAC != "":
		return errors.New("conflicting options: mac-address and the network mode")
	case len(e.LinkLocal) > 0:
		return errors.New("conflicting options: link-local-ip and the network mode")
	case len(expose) > 0 && strings.HasPrefix(o.mode, "container:"):
		return errors.New("conflicting options: port exposing and the container type network mode")
	}
	return nil
}

// exposed are the container's ports that are published, as EXPOSE would write them.
func (o *networkOptions) exposed() []string {
	var all []string
	for _, p := range o.ports {
		all = append(all, fmt.Sprintf("%d/%s", p.Port, p.Protocol))
	}
	return all
}
