package network

import (
	"strings"
	"testing"
)

func TestOptionValues(t *testing.T) {
	s := Open(t.TempDir())
	for _, c := range []struct {
		driver, key, value string
		words              string // of the error; "" for none
	}{
		{Bridge, optICC, "false", ""},
		{Bridge, optICC, "x", "failed to parse com.docker.network.bridge.enable_icc value: x"},
		{Bridge, optICC, "", "failed to parse"},
		{Bridge, optMasquerade, "y", "failed to parse com.docker.network.bridge.enable_ip_masquerade value: y"},
		{Bridge, optInhibitIPv4, "z", "inhibit_ipv4"},
		{Bridge, optDefault, "true", ""},
		{Bridge, optHostBinding, "127.0.0.1", ""},
		{Bridge, optHostBinding, "::1", ""},
		{Bridge, optHostBinding, "q", "host_binding_ipv4 value: q"},
		{Bridge, optHostBinding, "fe80::1%eth0", "host_binding_ipv4"},
		{Bridge, optHostIPv4, "::1", "host_ipv4"},
		{Bridge, optHostIPv6, "::1", ""},
		{Bridge, optGatewayMode4, "nat-unprotected", ""},
		{Bridge, optGatewayMode6, "routed", ""},
		{Bridge, optGatewayMode4, "z", "unknown gateway mode z"},
		{Bridge, optGatewayMode4, "isolated", "gateway mode 'isolated' can only be used for an internal network"},
		{Bridge, optMTU, "1400", ""},
		{Bridge, optMTU, "0", ""},
		{Bridge, optShortMTU, "9000", ""},
		{Bridge, optMTU, "x", "failed to parse com.docker.network.driver.mtu value: x"},
		{Bridge, optMTU, "-1", "invalid MTU number: -1"},
		{Bridge, optMTU, "67", "invalid MTU number: 67"},
		{Bridge, optMTU, "65536", "invalid MTU number: 65536"},
		{Macvlan, optMTU, "99999999999999999999", "failed to parse"},
		{Bridge, optPrefix, "net", ""},
		{Bridge, optPrefix, "x/y", "container_iface_prefix"},
		{Bridge, optPrefix, "verylonginterfacename", "container_iface_prefix"},
		{Bridge, optPrefix, "", "container_iface_prefix"},
		{Bridge, optTrusted, "eth0:eth1", ""},
		{Bridge, optTrusted, "eth0:a/b", "trusted_host_interfaces"},
		{Bridge, optIsolate, "strict", ""},
		{Bridge, optIsolate, "perhaps", "isolate value: perhaps"},
		{Bridge, optEnableIPv6, "x", `driver-opt "com.docker.network.enable_ipv6" is not a valid bool`},
		{Bridge, "com.docker.network.bridge.unknown", "3", ""},
		{Bridge, "foo", "bar", ""},
		{Bridge, optMode, "unmanaged", ""},
		{Macvlan, optICC, "x", ""}, // means nothing to it, as in Docker
		{Macvlan, optMacvlanMode, "passthru", ""},
		{Macvlan, optMacvlanMode, "x", "requested macvlan mode 'x' is not valid"},
		{Macvlan, optMode, "vepa", ""},
		{Macvlan, optMode, "l2", "requested macvlan mode 'l2' is not valid"},
		{IPvlan, optIPvlanMode, "l3s", ""},
		{IPvlan, optIPvlanMode, "bridge", "requested ipvlan mode 'bridge' is not valid"},
		{IPvlan, optIPvlanFlag, "vepa", ""},
		{IPvlan, optIPvlanFlag, "x", "requested ipvlan flag 'x' is not valid"},
		{Macvlan, optParent, "eth0.10", ""},
		{Macvlan, optParent, "eth0/10", "invalid interface name"},
	} {
		n, err := s.Create(Network{Name: "n", Driver: c.driver, Subnets: subnets("10.9.0.0/24"), Options: map[string]string{c.key: c.value}})
		switch {
		case err == nil && c.words != "":
			t.Errorf("%s=%s of %s was accepted", c.key, c.value, c.driver)
		case err != nil && (c.words == "" || !strings.Contains(err.Error(), c.words)):
			t.Errorf("%s=%s of %s: %v", c.key, c.value, c.driver, err)
		}
		if err == nil {
			if err := s.Remove(n); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestWhatOptionsMean(t *testing.T) {
	s := Open(t.TempDir())
	plain := create(t, s, Network{Name: "plain", Subnets: subnets("10.9.0.0/24")})
	if plain.MTU() != 0 || !plain.ICC() || !plain.Masquerade() || plain.HostBinding().IsValid() || plain.InterfacePrefix() != "eth" ||
		plain.GatewayMode(false) != NAT || plain.Mode() != "" || plain.Flag() != "" || plain.InhibitIPv4() || plain.HostAddress(false).IsValid() {
		t.Errorf("without options: %+v", plain)
	}
	if name := plain.BridgeName(); name != "ctr-"+plain.ID[:11] || len(name) > maxInterface {
		t.Errorf("bridge %s", name)
	}
	all := create(t, s, Network{Name: "all", Internal: true, Options: map[string]string{
		optICC: "0", optMasquerade: "false", optHostBinding: "127.0.0.1", optPrefix: "net", optGatewayMode6: "isolated", optShortMTU: "1234",
		optBridgeName: "br7", optTrusted: "eth0:eth1", optEnableIPv4: "false", optEnableIPv6: "true", optInhibitIPv4: "true", optHostIPv4: "192.0.2.1",
	}})
	if all.MTU() != 1234 || all.ICC() || all.Masquerade() || all.HostBinding().String() != "127.0.0.1" || all.InterfacePrefix() != "net" || !all.InhibitIPv4() ||
		all.GatewayMode(true) != Isolated || all.GatewayMode(false) != NAT || all.BridgeName() != "br7" || all.HostAddress(false).String() != "192.0.2.1" ||
		strings.Join(all.TrustedHostInterfaces(), " ") != "eth0 eth1" || !all.NoIPv4 || !all.IPv6 || all.Subnet4() != nil {
		t.Errorf("with options: %+v", all)
	}
	mac := create(t, s, Network{Name: "mac", Driver: Macvlan, Subnets: subnets("10.8.0.0/24", "10.7.0.0/24"), Options: map[string]string{"parent": "eth0.7"}})
	if mac.Parent() != "eth0.7" || mac.Mode() != "bridge" || mac.Subnets[1].Gateway.String() != "10.7.0.1" {
		t.Errorf("macvlan: %+v", mac)
	}
	inner := create(t, s, Network{Name: "inner", Driver: IPvlan, Subnets: subnets("10.6.0.0/24"), Options: map[string]string{optIPvlanMode: "l3"}})
	if inner.Parent() != "" || inner.Mode() != "l3" || inner.Flag() != "bridge" || inner.Subnets[0].Gateway.IsValid() {
		t.Errorf("ipvlan: %+v", inner)
	}
	bad{"passthru on a parent in use", Network{Driver: Macvlan, Subnets: subnets("10.5.0.0/24"), Options: map[string]string{"parent": "eth0.7", optMacvlanMode: "passthru"}}, "macvlan network mac is already using parent interface eth0.7"}.try(t, s)
}
