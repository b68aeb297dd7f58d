package verbs

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ctr/libpod/config"
	"ctr/libpod/state"
	"ctr/netns/lease"
	"ctr/netns/network"
	"ctr/storage"
)

// wiring shows what a container asked of networks.
func wiring(c *config.Container) string {
	var b strings.Builder
	b.WriteString(c.NS.Network)
	for _, e := range c.Networks {
		text, _ := json.Marshal(e)
		b.Write(text)
	}
	for _, p := range c.Ports {
		text, _ := json.Marshal(p)
		b.Write(text)
	}
	b.WriteString(strings.Join(c.Links, " "))
	return strings.ReplaceAll(b.String(), `"`, "")
}

func TestNetworkFlags(t *testing.T) {
	image := storage.ImageConfig{Cmd: []string{"sh"}, ExposedPorts: []string{"80/tcp"}}
	for line, want := range map[string]string{
		"":                        "{network:bridge}",
		"--network bridge":        "{network:bridge}",
		"--net default":           "{network:bridge}",
		"--network none":          "none",
		"--network host":          "host",
		"--network host -p 80":    "host",
		"--network container:x":   "container:x",
		"--network ns:/run/n":     "ns:/run/n",
		"--network pasta:-4":      "pasta:-4",
		"--network a":             "{network:a}",
		"--network a --net b":     "{network:a}{network:b}",
		"--mac-address 2:4:6:8::": "!2:4:6:8:: is not a valid mac address",
		"--network a --network b --ip 10.0.0.9 --ip6 fd00::9 --mac-address 02:42:AC:11:00:02 --network-alias x --net-alias y --link-local-ip 169.254.1.1 --link db:dblink": "{network:a,aliases:[x,y],links:[db:dblink],ipv4:10.0.0.9,ipv6:fd00::9,mac:02:42:ac:11:00:02,linkLocal:[169.254.1.1]}{network:b}",
		"--network name=a,alias=x,ip=10.0.0.9 --network b:ip=10.1.0.9": "{network:a,aliases:[x],ipv4:10.0.0.9}{network:b,ipv4:10.1.0.9}",
		"--link db":                                  "{network:bridge}db:db",
		"-p 8080:80 -p 127.0.0.1::81/udp":            "{network:bridge}{hostPort:8080,port:80,protocol:tcp}{hostIP:127.0.0.1,port:81,protocol:udp}",
		"--network-alias x":                          "!network-scoped aliases are only supported for user-defined networks",
		"--network container:x --network-alias x":    "!network-scoped aliases are only supported for user-defined networks",
		"--network name=a,alias=x --network-alias y": "!conflicting options: cannot specify both --network-alias and per-network alias",
		"--network name=a,ip=1.2.3.4 --ip 1.2.3.4":   "!conflicting options: cannot specify both --ip and per-network IPv4 address",
		"--network name=a,ip6=::1 --ip6 ::1":         "!conflicting options: cannot specify both --ip6 and per-network IPv6 address",
		"--network name=a,mac-address=02:42:ac:11:00:02 --mac-address 02:42:ac:11:00:02": "!conflicting options: cannot specify both --mac-address and per-network MAC address",
		"--network name=a,link-local-ip=169.254.1.1 --link-local-ip 169.254.1.1":         "!conflicting options: cannot specify both --link-local-ip and per-network link-local IP addresses",
		"--network a --network a":                    `!network "a" is specified multiple times`,
		"--network host --network a":                 "!conflicting options: cannot attach both user-defined and non-user-defined network-modes",
		"--network a --network bridge":               "!conflicting options: cannot attach both user-defined and non-user-defined network-modes",
		"--network host --network none":              "!conflicting options: network mode host and another network",
		"--network=":                                 "!no name set for network",
		"--network container:":                       "!invalid network mode: invalid container format container:<name|id>",
		"--network container:x -p 80":                "!conflicting options: port publishing and the container type network mode",
		"--network container:x -P":                   "!conflicting options: port publishing and the container type network mode",
		"--network container:x --expose 80":          "!conflicting options: port exposing and the container type network mode",
		"--network container:x -h y":                 "!conflicting options: hostname and the network mode",
		"--network container:x --dns 1.1.1.1":        "!conflicting options: dns and the network mode",
		"--network container:x --add-host a:1.1.1.1": "!conflicting options: custom host-to-IP mapping and the network mode",
		"--network container:x --link y":             "!conflicting options: container type network can't be used with links. This would result in undefined behavior",
		"--network host --link y":                    "!conflicting options: host type networking can't be used with links. This would result in undefined behavior",
		"--network host --ip 1.2.3.4":                "!invalid config for network host: invalid endpoint settings:\nuser specified IP address is supported on user defined networks only",
		"--ip 1.2.3.4":                               "!invalid config for network bridge: invalid endpoint settings:\nuser specified IP address is supported on user defined networks only",
		"--network a --ip x":                         "!invalid config for network a: invalid endpoint settings:\ninvalid IPv4 address: x",
		"-p 80:80/foo":                               "!Invalid proto: foo",
	} {
		c, err := made(t, line, image)
		got := ""
		if err != nil {
			got = "!" + err.Error()
		} else {
			got = wiring(c)
		}
		if got != want {
			t.Errorf("%q:\ngot  %s\nwant %s", line, got, want)
		}
	}
	c, err := made(t, "-P -p 8080:9000 --expose 81", image)
	if err != nil || !c.PublishAll || !slices.Equal(c.Exposed, []string{"80/tcp", "81/tcp", "9000/tcp"}) {
		t.Errorf("-P: %+v, %v", c, err)
	}
}

func TestPortsColumn(t *testing.T) {
	at := func(ip string, host, port uint16, protocol string) config.PortMapping {
		return config.PortMapping{HostIP: ip, HostPort: host, Port: port, Protocol: protocol}
	}
	both := func(host, port uint16) []config.PortMapping {
		return []config.PortMapping{at("0.0.0.0", host, port, "tcp"), at("::", host, port, "tcp")}
	}
	for _, test := range []struct {
		exposed []string
		bound   []config.PortMapping
		want    string
	}{
		{nil, nil, ""},
		{[]string{"80/tcp", "81/udp"}, nil, "80/tcp, 81/udp"},
		{[]string{"80/tcp", "81/tcp", "83/tcp"}, nil, "80-81/tcp, 83/tcp"},
		{[]string{"80/tcp"}, both(8080, 80), "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"},
		{nil, both(80, 80), "0.0.0.0:80->80/tcp, [::]:80->80/tcp"},
		{[]string{"70/tcp"}, slices.Concat(both(8080, 80), []config.PortMapping{at("127.0.0.1", 8081, 81, "udp")}, both(9000, 9000), both(9001, 9001), both(9002, 9002)),
			"70/tcp, 0.0.0.0:9000-9002->9000-9002/tcp, [::]:9000-9002->9000-9002/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 127.0.0.1:8081->81/udp"},
	} {
		c := &config.Container{Exposed: test.exposed}
		st := state.State{Status: state.Running, Network: &state.Network{Ports: test.bound}}
		if got := portsColumn(c, st); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
		c.NS.Network = "host"
		st.Network = nil
		if got := portsColumn(c, st); got != "" {
			t.Errorf("with the host's network: %s", got)
		}
	}
}

// webOn puts a container on record that runs, as far as records tell, on the network
// my-net and on the default one.
func webOn(t *testing.T, dir string) *config.Container {
	t.Helper()
	if got := ctrIn(t, dir, "network", "create", "--subnet", "10.89.7.0/24", "--label", "a=b", "my-net"); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	n, err := network.Open(filepath.Join(dir, "data")).Lookup("my-net")
	if err != nil {
		t.Fatal(err)
	}
	store := state.Open(filepath.Join(dir, "data"), filepath.Join(dir, "run"))
	c := someContainer()
	c.Mounts = nil
	c.Networks = []config.Endpoint{{Network: "my-net", Aliases: []string{"www"}, IPv4: "10.89.7.9"}, {Network: "bridge"}}
	c.Ports = []config.PortMapping{{HostPort: 8080, Port: 80, Protocol: "tcp"}, {HostIP: "127.0.0.1", HostPort: 8000, HostLast: 8010, Port: 81, Protocol: "udp"}}
	c.Links = []string{"db:dblink"}
	if err := store.Create(c, func(string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	taken, err := lease.Open(filepath.Join(dir, "run")).Take(n, lease.Lease{
		Container: c.ID, Names: []string{"web", "www"}, IPv4: netip.MustParseAddr("10.89.7.9"), Holder: state.ThisProcess(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(store.RunDir(c.ID), 0o700); err != nil {
		t.Fatal(err)
	}
	err = store.WriteRecord(c.ID, state.Record{
		Boot: state.BootID(), Monitor: state.ThisProcess(), Container: state.ThisProcess(), Status: state.Running, StartedAt: noon,
		Network: &state.Network{
			SandboxID: strings.Repeat("5", 64),
			Endpoints: []state.Endpoint{
				{Network: "my-net", NetworkID: n.ID, EndpointID: taken.Endpoint, MAC: taken.MAC, IPv4: "10.89.7.9/24", Gateway: "10.89.7.1", Names: []string{"web", "www", "0123456789ab"}},
				{Network: "bridge", IPv4: "172.17.0.2/16", Gateway: "172.17.0.1", IPv6: "fd00::2/64", Gateway6: "fd00::1", MAC: "02:42:ac:11:00:02", EndpointID: "e"},
			},
			Ports: []config.PortMapping{
				{HostIP: "::", HostPort: 8080, Port: 80, Protocol: "tcp"}, {HostIP: "0.0.0.0", HostPort: 8080, Port: 80, Protocol: "tcp"},
				{HostIP: "127.0.0.1", HostPort: 8003, Port: 81, Protocol: "udp"},
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// blurred makes what differs from run to run the same.
func blurred(s string) string {
	s = regexp.MustCompile(`[0-9]{4}-[0-9-]+T[0-9:.]+(Z|[+-][0-9:]+)`).ReplaceAllString(s, "TIME")
	s = regexp.MustCompile(`\b[0-9a-f]{64}\b`).ReplaceAllString(s, "ID")
	s = regexp.MustCompile(`"[0-9a-f]{12}"`).ReplaceAllString(s, "SHORT")
	s = regexp.MustCompile(`([0-9a-f]{2}:){5}[0-9a-f]{2}`).ReplaceAllString(s, "MAC")
	return regexp.MustCompile(`(?m)^[0-9a-f]{12}\b`).ReplaceAllString(s, "SHORT")
}

func TestNetworkVerbs(t *testing.T) {
	dir := privateStores(t)
	webOn(t, dir)
	for _, test := range []struct {
		line, out, err string
	}{
		{"network ls", "NETWORK ID     NAME      DRIVER    SCOPE\nSHORT   bridge    bridge    local\nSHORT   host      host      local\nSHORT   my-net    bridge    local\nSHORT   none      null      local\n", ""},
		{"network list -q -f name=my --no-trunc", "ID\n", ""},
		{"network ls --format {{.Name}}|{{.Driver}}|{{.Scope}}|{{.IPv4}}|{{.IPv6}}|{{.Internal}}|{{.Labels}}|{{.Label~\"a\"}} -f type=custom", "my-net|bridge|local|true|false|false|a=b|b\n", ""},
		{"network ls -n -f type=custom", "SHORT   my-net    bridge    local\n", ""},
		{"network ls --format {{.Name}} -f dangling=true", "", ""},
		{"network ls --format {{.Name}} -f driver=null", "none\n", ""},
		{"network ls --format {{.Name}} -f label=a=c", "", ""},
		{"network ls --format {{.Name}} -f scope=global", "", ""},
		{"network ls -f type=x", "", "Error: invalid filter: 'type'='x'\n"},
		{"network ls -f dangling=x", "", "Error: invalid value for filter 'dangling', must be \"true\" (or \"1\"), or \"false\" (or \"0\")\n"},
		{"network ls -f x=y", "", "Error: invalid filter 'x'\n"},
		{"network inspect my-net nosuch", inspectedNetwork, "Error: network nosuch not found\n"},
		{"network inspect -f {{.Name}}:{{len~.Containers}} my-net none", "my-net:1\nnone:0\n", ""},
		{"inspect --type network -f {{.Name}} my-net", "my-net\n", ""},
		{"inspect -f {{.Name}} my-net", "my-net\n", ""},
		{"network exists my-net", "", ""},
		{"network exists nosuch", "", "!"},
		{"network rm my-net host nosuch", "", "Error: error while removing network: network my-net has active endpoints (name:\"web\" id:SHORT)\nError: host is a pre-defined network and cannot be removed\nError: network nosuch not found\n"},
		{"network rm -f nosuch", "", ""},
		{"network prune", "WARNING! This will remove all custom networks not used by at least one container.\nAre you sure you want to continue? [y/N] ", ""},
		{"network prune -f", "", ""},
		{"network create my-net", "", "Error: network with name my-net already exists\n"},
		{"network create --ignore my-net", "ID\n", ""},
		{"network create --subnet 10.89.8.0/24 --ip-range 10.89.8.128/25 --gateway 10.89.8.5 --aux-address r=10.89.8.6 -o com.docker.network.driver.mtu=1400 --internal --dns 10.0.0.1,10.0.0.2 --route 10.99.0.0/16,10.89.8.7,3 full", "ID\n", ""},
		{"network inspect full -f {{json~.IPAM}}{{.Options}}{{.Internal}}", `{"Driver":"default","Options":{},"Config":[{"Subnet":"10.89.8.0/24","IPRange":"10.89.8.128/25","Gateway":"10.89.8.5","AuxiliaryAddresses":{"r":"10.89.8.6"}}]}map[com.docker.network.driver.mtu:1400]true` + "\n", ""},
		{"network update full --dns-add 10.0.0.3 --dns-drop 10.0.0.1", "full\n", ""},
		{"network update full --dns-drop 10.0.0.1", "", "Error: network full has no DNS server 10.0.0.1\n"},
		{"network update full --dns-add x", "", "Error: IP address is not correctly formatted: x\n"},
		{"network create --subnet 10.89.8.0/25 x", "", "Error: invalid pool request: Pool overlaps with other one on this address space: subnet 10.89.8.0/24 of network \"full\"\n"},
		{"network create --subnet 10.89.9.5/24 x", "", "Error: invalid network config:\ninvalid subnet 10.89.9.5/24: it should be 10.89.9.0/24\n"},
		{"network create --subnet nonsense x", "", "Error: invalid network config:\ninvalid subnet nonsense: invalid CIDR block notation\n"},
		{"network create --subnet 10.89.9.0/24 --gateway 10.1.1.1 x", "", "Error: no matching subnet for gateway 10.1.1.1\n"},
		{"network create --gateway 10.1.1.1 x", "", "Error: every ip-range or gateway must have a corresponding subnet\n"},
		{"network create --subnet 10.89.9.0/24 --ip-range 10.1.1.0/25 x", "", "Error: no matching subnet for range 10.1.1.0/25\n"},
		{"network create --subnet 10.89.9.0/24 --subnet 10.90.0.0/24 --ip-range 10.89.9.0/25 --ip-range 10.89.9.128/25 x", "", "Error: cannot configure multiple ranges (10.89.9.128/25, 10.89.9.0/25) on the same subnet (10.89.9.0/24)\n"},
		{"network create --subnet 10.89.9.0/24,10.89.9.0/25 x", "", "Error: multiple overlapping subnet configuration is not supported\n"},
		{"network create --subnet 10.89.9.0/24 --aux-address a=1.1.1.1 x", "", "Error: no matching subnet for aux-address 1.1.1.1\n"},
		{"network create --scope swarm x", "", "Error: cannot create a swarm scoped network when swarm is not active\n"},
		{"network create --ingress x", "", "Error: Ingress network can only be global scope network\n"},
		{"network create --route 10.0.0.0/8 x", "", "Error: invalid route \"10.0.0.0/8\": a route is destination,gateway[,metric], as 10.1.0.0/16,10.0.0.254,5\n"},
		{"network create bridge", "", "Error: operation is not permitted on predefined bridge network\n"},
		{"network create -d nosuch x", "", "Error: plugin \"nosuch\" not found: the network drivers are bridge, ipvlan and macvlan\n"},
		{"network connect nosuch web", "", "Error: network nosuch not found\n"},
		{"network connect full nosuch", "", "Error: No such container: nosuch\n"},
		{"network connect host web", "", "Error: cannot connect container to host network - container must be created in host network mode\n"},
		{"network connect none web", "", "Error: container cannot be connected to multiple networks with one of the networks in private (none) mode\n"},
		{"network connect --ip x full web", "", "Error: invalid endpoint settings:\ninvalid IPv4 address: x\n"},
		{"network connect --ip 10.1.1.1 full web", "", "Error: invalid config for network full: invalid endpoint settings:\nno configured subnet or ip-range contain the IP address 10.1.1.1\n"},
		{"network connect --alias x bridge web", "", "Error: invalid endpoint settings:\nnetwork-scoped alias is supported only for containers in user defined networks\n"},
		{"network disconnect nosuch web", "", "Error: network nosuch not found\n"},
		{"network disconnect full nosuch", "", "Error: No such container: nosuch\n"},
		{"network reload", "", "Error: name the containers, or use --all or --latest\n"},
		{"network reload -a web", "", "Error: --all, --latest and containers' names exclude each other\n"},
		{"network prune -f --filter label=x", "", ""},
		{"network prune -f --filter until=nonsense", "", "Error: failed to parse value as time or duration: \"nonsense\"\n"},
		{"network prune -f", "Deleted Networks:\nfull\n\n", ""},
	} {
		words := strings.Fields(test.line)
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], "~", " ")
		}
		got := ctrIn(t, dir, words...)
		failed := test.err != ""
		if blurred(got.out) != test.out || blurred(got.err) != strings.TrimPrefix(test.err, "!") || (got.code != 0) != failed {
			t.Errorf("ctr %s: %d\n%s%s\nwant\n%s%s", test.line, got.code, blurred(got.out), blurred(got.err), test.out, test.err)
		}
	}
	events := ctrIn(t, dir, "events", "--since", "1h", "--until", "0s", "--format", "{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.type}}")
	if want := "create my-net bridge\n"; !strings.HasPrefix(events.out, want) || !strings.Contains(events.out, "destroy full bridge\n") {
		t.Errorf("events:\n%s", events.out)
	}
}

const inspectedNetwork = `[
    {
        "Name": "my-net",
        "Id": "ID",
        "Created": "TIME",
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv4": true,
        "EnableIPv6": false,
        "IPAM": {
            "Driver": "default",
            "Options": {},
            "Config": [
                {
                    "Subnet": "10.89.7.0/24",
                    "Gateway": "10.89.7.1"
                }
            ]
        },
        "Internal": false,
        "Attachable": false,
        "Ingress": false,
        "ConfigFrom": {
            "Network": ""
        },
        "ConfigOnly": false,
        "Containers": {
            "ID": {
                "Name": "web",
                "EndpointID": "ID",
                "MacAddress": "MAC",
                "IPv4Address": "10.89.7.9/24",
                "IPv6Address": ""
            }
        },
        "Options": {},
        "Labels": {
            "a": "b"
        }
    }
]
`

func TestARunningContainersPorts(t *testing.T) {
	dir := privateStores(t)
	c := webOn(t, dir)
	id := func(name string) string {
		n, err := network.Open(filepath.Join(dir, "data")).Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		return n.ID
	}
	for line, want := range map[string]string{
		"port web":                               "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n81/udp -> 127.0.0.1:8003\n",
		"port web 80":                            "0.0.0.0:8080\n[::]:8080\n",
		"port web 81/udp":                        "127.0.0.1:8003\n",
		"port web 81":                            "!Error: No public port '81' published for web\n",
		"port web 80/foo":                        "!Error: No public port '80/foo' published for web\n",
		"port web x":                             "!Error: invalid port (x): strconv.ParseUint: parsing \"x\": invalid syntax\n",
		"port nosuch":                            "!Error: No such container: nosuch\n",
		"ps --format {{.Ports}}|{{.Networks}}":   "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 127.0.0.1:8003->81/udp|bridge,my-net\n",
		"ps -f publish=8080 --format {{.Names}}": "web\n",
		"ps -f publish=80 --format {{.Names}}":   "",
		"ps -f publish=8000-8100/udp --format {{.Names}}":             "web\n",
		"ps -f expose=80 --format {{.Names}}":                         "web\n",
		"ps -f expose=82 --format {{.Names}}":                         "",
		"ps -f publish=x":                                             "!Error: error while looking up for publish x: it takes PORT[-PORT][/PROTOCOL]\n",
		"ps -f network=my-net --format {{.Names}}":                    "web\n",
		"ps -f network=my-ne --format {{.Names}}":                     "",
		"ps -f network=" + id("my-net")[:12] + " --format {{.Names}}": "web\n",
		"ps -f network=host --format {{.Names}}":                      "",
	} {
		got := ctrIn(t, dir, strings.Fields(line)...)
		if text, bad := strings.CutPrefix(want, "!"); bad && (got.err != text || got.code != 1) || !bad && (got.out != want || got.code != 0) {
			t.Errorf("ctr %s: %+v\nwant %s", line, got, want)
		}
	}
	for source, want := range map[string]string{
		"{{json .NetworkSettings.Ports}}":                                                                         `{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"},{"HostIp":"::","HostPort":"8080"}],"81/udp":[{"HostIp":"127.0.0.1","HostPort":"8003"}]}`,
		"{{json .HostConfig.PortBindings}}":                                                                       `{"80/tcp":[{"HostIp":"","HostPort":"8080"}],"81/udp":[{"HostIp":"127.0.0.1","HostPort":"8000-8010"}]}`,
		"{{.HostConfig.NetworkMode}} {{json .HostConfig.Links}}":                                                  `my-net ["/db:/web/dblink"]`,
		"{{.NetworkSettings.IPAddress}} {{.NetworkSettings.IPPrefixLen}} {{.NetworkSettings.Gateway}}":            "172.17.0.2 16 172.17.0.1",
		"{{.NetworkSettings.GlobalIPv6Address}} {{.NetworkSettings.IPv6Gateway}} {{.NetworkSettings.MacAddress}}": "fd00::2 fd00::1 02:42:ac:11:00:02",
		`{{with index .NetworkSettings.Networks "my-net"}}{{json .IPAMConfig}} {{.Aliases}} {{.IPAddress}}/{{.IPPrefixLen}} {{.Gateway}} {{.DNSNames}}{{end}}`: `{"IPv4Address":"10.89.7.9"} [www] 10.89.7.9/24 10.89.7.1 [web www 0123456789ab]`,
		"{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{end}}":                                                                                          "bridge my-net ",
	} {
		if got := ctrIn(t, dir, "inspect", "-f", source, c.ID); got.out != want+"\n" {
			t.Errorf("%s: %+v\nwant %s", source, got, want)
		}
	}
}

func TestNetworksOfWhatDoesNotRun(t *testing.T) {
	for mode, want := range map[string]string{
		"": "bridge|map[bridge:]", "host": "host|map[host:]", "none": "none|map[none:]", "container:x": "container:x|map[]", "pasta:-4": "pasta:-4|map[pasta:]",
	} {
		c := someContainer()
		if c.NS.Network = mode; mode != "" {
			c.Networks = nil
		}
		d := describe(c, state.State{Status: state.Created}, places{})
		addresses := map[string]string{}
		for name, e := range d.NetworkSettings.Networks {
			addresses[name] = e.IPAddress
		}
		text, _ := json.Marshal(d.NetworkSettings.Ports)
		if got := d.HostConfig.NetworkMode + "|" + strings.ReplaceAll("map["+joinKeys(addresses)+"]", " ]", "]"); got != want || string(text) != "{}" {
			t.Errorf("%s: got %s %s, want %s", mode, got, text, want)
		}
	}
}

func joinKeys(m map[string]string) string {
	var b strings.Builder
	for _, k := range sortedKeys(m) {
		b.WriteString(k + ":" + m[k])
	}
	return b.String()
}
