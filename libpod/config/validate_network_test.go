package config

import "testing"

func TestValidateNetworks(t *testing.T) {
	in := func(e Endpoint) Container { return Container{Networks: []Endpoint{e}} }
	mode := func(mode string) Container { return Container{NS: Namespaces{Network: mode}} }
	ports := []PortMapping{{Port: 80, Protocol: "tcp"}}
	joined, host, outside := mode("container:x"), mode("host"), mode("ns:/run/n")
	joinedLinks, hostLinks, joinedAll := joined, host, joined
	joined.Ports, outside.Ports, joinedAll.PublishAll = ports, ports, true
	joinedLinks.Links, hostLinks.Links = []string{"a:b"}, []string{"a:b"}
	both := mode("none")
	both.Networks = []Endpoint{{Network: "a"}}
	for _, test := range []struct {
		c    Container
		want string
	}{
		{Container{}, ""},
		{in(Endpoint{Network: "bridge", MAC: "02:42:ac:11:00:02"}), ""},
		{in(Endpoint{Network: "a", Aliases: []string{"x"}, IPv4: "10.0.0.1", IPv6: "fd00::1", LinkLocal: []string{"169.254.1.1"}, Interface: "eth7"}), ""},
		{in(Endpoint{}), "no name set for network"},
		{in(Endpoint{Network: "bridge", IPv4: "10.0.0.1"}), "invalid config for network bridge: invalid endpoint settings:\nuser specified IP address is supported on user defined networks only"},
		{in(Endpoint{Network: "bridge", Aliases: []string{"x"}}), "invalid config for network bridge: invalid endpoint settings:\nnetwork-scoped alias is supported only for containers in user defined networks"},
		{in(Endpoint{Network: "a", IPv4: "::1", IPv6: "10.0.0.1"}), "invalid config for network a: invalid endpoint settings:\n* invalid IPv4 address: ::1\n* invalid IPv6 address: 10.0.0.1"},
		{in(Endpoint{Network: "a", LinkLocal: []string{"x"}}), "invalid config for network a: invalid endpoint settings:\ninvalid link-local IP address: x"},
		{in(Endpoint{Network: "a", Interface: "../x"}), "invalid config for network a: invalid endpoint settings:\ninvalid interface name \"../x\": it has up to 15 characters, no slash, colon or blank, and is not lo"},
		{in(Endpoint{Network: "a", Aliases: []string{"x\n1.2.3.4 y"}}), "invalid config for network a: invalid endpoint settings:\ninvalid alias \"x\\n1.2.3.4 y\": it may not contain white space, '#' or control characters"},
		{Container{Links: []string{"a:b c"}}, "invalid link \"a:b c\": it may not contain white space, '#' or control characters"},
		{Container{Networks: []Endpoint{{Network: "a"}, {Network: "a"}}}, `network "a" is specified multiple times`},
		{joined, "conflicting options: port publishing and the container type network mode"},
		{joinedAll, "conflicting options: port publishing and the container type network mode"},
		{joinedLinks, "conflicting options: container type network can't be used with links. This would result in undefined behavior"},
		{hostLinks, "conflicting options: host type networking can't be used with links. This would result in undefined behavior"},
		{outside, "conflicting options: port publishing and a network namespace that is not the container's own"},
		{both, "conflicting options: network a and the network mode none"},
	} {
		err := test.c.validateNetworks()
		if got := text(err); got != test.want {
			t.Errorf("%+v: got %q, want %q", test.c.Networks, got, test.want)
		}
	}
	for m, ok := range map[string]bool{"pasta:--mtu=1500": true, "slirp4netns:mtu=1500": true, "pasta": true, "host:x": false, "my-net": false} {
		if err := (Namespaces{Network: m}).Check(); (err == nil) != ok {
			t.Errorf("%s: %v", m, err)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
