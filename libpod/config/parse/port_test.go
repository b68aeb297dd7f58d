package parse

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"ctr/libpod/config"
)

// brief writes mappings as address|port-last|port/protocol.
func brief(s string) (string, error) {
	ports, err := Publish(s)
	var words []string
	for _, m := range ports {
		host := fmt.Sprint(m.HostPort)
		if m.HostLast != 0 {
			host += fmt.Sprint("-", m.HostLast)
		}
		words = append(words, fmt.Sprintf("%s|%s|%d/%s", m.HostIP, host, m.Port, m.Protocol))
	}
	return strings.Join(words, " "), err
}

// The words of the errors are those of docker 28.5, but for what is said of SCTP, of
// port 0 in the container and of unknown keys, all of which it takes.
func TestPublish(t *testing.T) {
	check(t, brief, [][2]string{
		{"8080:80", "|8080|80/tcp"},
		{"127.0.0.1:8080:80", "127.0.0.1|8080|80/tcp"},
		{"127.0.0.1::80", "127.0.0.1|0|80/tcp"},
		{"80", "|0|80/tcp"},
		{":80", "|0|80/tcp"},
		{":8080:80", "|8080|80/tcp"},
		{"0:80", "|0|80/tcp"},
		{"0-0:80", "|0|80/tcp"},
		{"0080:80", "|80|80/tcp"},
		{"8000-8010:80", "|8000-8010|80/tcp"},
		{"8000-8001:9000-9001", "|8000|9000/tcp |8001|9001/tcp"},
		{"127.0.0.1:8000-8001:9000-9001/udp", "127.0.0.1|8000|9000/udp 127.0.0.1|8001|9001/udp"},
		{"80-82", "|0|80/tcp |0|81/tcp |0|82/tcp"},
		{"8080:80/udp", "|8080|80/udp"},
		{"8080:80/UDP", "|8080|80/udp"},
		{"8080:80/", "|8080|80/tcp"},
		{"[::1]:8080:80", "::1|8080|80/tcp"},
		{"[::]::80", "::|0|80/tcp"},
		{"[0:0::1]:8080:80", "::1|8080|80/tcp"},
		{"[::ffff:127.0.0.1]:8080:80", "127.0.0.1|8080|80/tcp"},
		{"[127.0.0.1]:8080:80", "127.0.0.1|8080|80/tcp"},
		{"0.0.0.0:8080:80", "0.0.0.0|8080|80/tcp"},
		{"[]:8080:80", "|8080|80/tcp"},
		{"target=80,published=8080", "|8080|80/tcp"},
		{"target=80", "|0|80/tcp"},
		{"target=80,published=8080,protocol=udp,mode=host", "|8080|80/udp"},
		{"target=80-81,published=90-91", "|90|80/tcp |91|81/tcp"},
		{"65535:65535", "|65535|65535/tcp"},
		{"8000-8003:9000-9001", "!Invalid ranges specified for container and host Ports: 9000-9001 and 8000-8003"},
		{"9000:8000-8001", "!Invalid ranges specified for container and host Ports: 8000-8001 and 9000"},
		{"0-10:80", "!invalid port range: 0-10"},
		{"0-1:80-81", "!invalid port range: 0-1"},
		{"8080:80/foo", "!Invalid proto: foo"},
		{"::1:8080:80", "!Invalid ip address ::1: address ::1:: too many colons in address"},
		{"[::1:8080:80", "!Invalid ip address [::1: address [::1:: missing ']' in address"},
		{"[fe80::1%eth0]:80:80", "!Invalid ip address: fe80::1%eth0"},
		{"localhost:80:80", "!Invalid ip address: localhost"},
		{"10.0.0.0/8:80:80", "!Invalid ip address: 10.0.0.0/8"},
		{"8080:80:", "!Invalid ip address: 8080"},
		{"", "!No port specified: <empty>"},
		{":", "!No port specified: :<empty>"},
		{"8080:", "!No port specified: 8080:<empty>"},
		{"80-90:", "!No port specified: 80-90:<empty>"},
		{"published=8080", "!No port specified: 8080:/tcp<empty>"},
		{"70000:80", "!Invalid hostPort: 70000"},
		{"80:65536", "!Invalid containerPort: 65536"},
		{"a:80", "!Invalid hostPort: a"},
		{"80:a", "!Invalid containerPort: a"},
		{"80/tcp:80", "!Invalid hostPort: 80/tcp"},
		{"80-79:80", "!Invalid hostPort: 80-79"},
		{"80:90-89", "!Invalid containerPort: 90-89"},
		{"-80", "!Invalid containerPort: -80"},
		{"80-", "!Invalid containerPort: 80-"},
		{"+80:80", "!Invalid hostPort: +80"},
		{" 80:80", "!Invalid hostPort:  80"},
		{"80,90", "!Invalid containerPort: 80,90"},
		{"80:0", "!Invalid containerPort: 0"},
		{"80:0-1", "!Invalid ranges specified for container and host Ports: 0-1 and 80"},
		{"0-1", "!Invalid containerPort: 0"},
		{"target=80,8080", "!invalid publish opts format (should be name=value but got '8080')"},
		{"target=80,mode=foo", "!invalid publish mode 'foo' in 'target=80,mode=foo': use host or ingress"},
		{"target=80,host_ip=::1", "!unexpected key 'host_ip' in 'target=80,host_ip=::1': use target, published, protocol and mode"},
	})
	for _, s := range []string{"8080:80/sctp", "80/SCTP", "target=80,protocol=sctp"} {
		if _, err := Publish(s); err == nil || !strings.HasPrefix(err.Error(), "port 80/sctp cannot be published: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", s, err)
		}
	}
	if ports, err := Publish("1-65535:1-65535"); err != nil || len(ports) != 65535 {
		t.Errorf("all ports: %d, %v", len(ports), err)
	}
}

func TestExpose(t *testing.T) {
	one := func(s string) ([]string, error) { return Expose(strings.Fields(s)) }
	check(t, one, [][2]string{
		{"80", "[80/tcp]"},
		{"80 81-82/udp", "[80/tcp 81/udp 82/udp]"},
		{"80/", "[80/tcp]"},
		{"80/TCP 65535/sctp", "[80/tcp 65535/sctp]"},
		{"80:90", "!invalid port format for --expose: 80:90"},
		{"90-80", "!invalid range format for --expose: 90-80"},
		{"70000", "!invalid range format for --expose: 70000"},
		{"0", "!invalid range format for --expose: 0"},
		{"/udp", "!invalid range format for --expose: /udp"},
		{"80/foo", "!invalid range format for --expose: 80/foo"},
	})
}

func TestPublishAll(t *testing.T) {
	given := []config.PortMapping{{HostPort: 8080, Port: 80, Protocol: "tcp"}}
	want := append(given[:1:1],
		config.PortMapping{Port: 53, Protocol: "tcp"}, config.PortMapping{Port: 53, Protocol: "udp"},
		config.PortMapping{Port: 80, Protocol: "udp"}, config.PortMapping{Port: 81, Protocol: "tcp"})
	got := PublishAll([]string{"81", "80/tcp", "80-80/udp", "53/udp", "53/tcp", "nonsense", "81/tcp"}, given)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if len(given) != 1 || len(PublishAll(nil, nil)) != 0 {
		t.Error("the given ports changed")
	}
	if got := PublishAll([]string{"80/sctp"}, nil); len(got) != 1 || config.CheckPort(got[0]) == nil {
		t.Errorf("an exposed SCTP port is silently left out: %v", got)
	}
}
