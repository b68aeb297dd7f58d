package parse

import (
	"fmt"
	"testing"
)

func TestAttachment(t *testing.T) {
	show := func(s string) (string, error) {
		a, err := Network(s)
		if err != nil {
			return "", err
		}
		e := a.Endpoint
		return fmt.Sprintf("%s|%s|%v|%s|%s|%s|%v|%v|%s|%d|%t", a.Mode, e.Network, e.Aliases, e.IPv4, e.IPv6, e.MAC, e.LinkLocal, e.DriverOpts, e.Interface, e.Priority, a.UserDefined()), nil
	}
	check(t, show, [][2]string{
		{"bridge", "|bridge|[]||||[]|map[]||0|false"}, {"default", "|bridge|[]||||[]|map[]||0|false"},
		{"my-net", "|my-net|[]||||[]|map[]||0|true"}, {"name=", "|name=|[]||||[]|map[]||0|true"},
		{"none", "none||[]||||[]|map[]||0|false"}, {"container:web", "container:web||[]||||[]|map[]||0|false"},
		{"container:", "container:||[]||||[]|map[]||0|false"}, {"ns:/run/a=b", "ns:/run/a=b||[]||||[]|map[]||0|false"},
		{"pasta:--mtu=1500,-4", "pasta:--mtu=1500,-4||[]||||[]|map[]||0|false"}, {"slirp4netns:mtu=1500", "slirp4netns:mtu=1500||[]||||[]|map[]||0|false"},
		{
			"name=n,alias=a,alias=b,ip=1.2.3.4,ip6=fd00::1,mac-address=02:42:ac:11:00:02,link-local-ip=169.254.1.1,driver-opt=k=v,gw-priority=-3,interface=e0",
			"|n|[a b]|1.2.3.4|fd00::1|02:42:ac:11:00:02|[169.254.1.1]|map[k:v]|e0|-3|true",
		},
		{"alias=a,name=n", "|n|[a]||||[]|map[]||0|true"}, {"name=n,\"alias=a\"", "|n|[a]||||[]|map[]||0|true"},
		{"n:ip=1.2.3.4,mac=02:42:ac:11:00:02,alias=a,interface_name=e0", "|n|[a]|1.2.3.4||02:42:ac:11:00:02|[]|map[]|e0|0|true"},
		{"bridge:mac=02:42:ac:11:00:02", "|bridge|[]|||02:42:ac:11:00:02|[]|map[]||0|false"},
		{"name=n,driver-opt=com.docker.network.endpoint.ifname=e7", "|n|[]||||[]|map[com.docker.network.endpoint.ifname:e7]|e7|0|true"},
		{"name=host,alias=a", "host||[a]||||[]|map[]||0|false"},
		{"alias=foo", "!network name/id is not specified"}, {"name=n,foo=bar", "!invalid field key foo"}, {"n:foo=bar", "!invalid field key foo"},
		{"name=n,alias", "!invalid field alias"}, {"name=n,gw-priority=foo", "!invalid gw-priority (foo): invalid syntax"},
		{"name=n,driver-opt=foo", "!invalid key value pair format in driver options"}, {"name=n,link=a:b", "!invalid field key link"},
	})
}

func TestLinkAndMAC(t *testing.T) {
	check(t, Link, [][2]string{
		{"db", "db:db"}, {"db:dblink", "db:dblink"}, {"db:", "db:db"}, {"/db", "db:db"},
		{"", "!empty string specified for links"}, {"a:b:c", "!bad format for links: a:b:c"}, {":b", "!bad format for links: :b"},
	})
	check(t, MAC, [][2]string{
		{"02:42:ac:11:00:02", "02:42:ac:11:00:02"}, {"02-42-AC-11-00-02", "02:42:ac:11:00:02"},
		{"foo", "!foo is not a valid mac address"}, {"02:42:ac:11:00:02:00:00", "!02:42:ac:11:00:02:00:00 is not a valid mac address"},
	})
}
