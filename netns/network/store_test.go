package network

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// inEmptyNamespace puts the test into a network namespace without routes.
func inEmptyNamespace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("making a network namespace takes root: %v", err)
	}
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

func create(t *testing.T, s *Networks, n Network) *Network {
	t.Helper()
	made, err := s.Create(n)
	if err != nil {
		t.Fatalf("creating %s: %v", n.Name, err)
	}
	return made
}

func subnets(text ...string) (list []Subnet) {
	for _, s := range text {
		list = append(list, Subnet{Subnet: netip.MustParsePrefix(s)})
	}
	return list
}

func TestNetworksAreWhatWasStored(t *testing.T) {
	inEmptyNamespace(t)
	dir := t.TempDir()
	s := Open(dir)
	made := create(t, s, Network{Name: "web", IPv6: true, Labels: map[string]string{"a": "b"}})
	if len(made.ID) != 64 || made.Created.IsZero() || made.Driver != Bridge {
		t.Errorf("made %+v", made)
	}
	if got := made.Subnet4(); got.Subnet.String() != "172.18.0.0/16" || got.Gateway.String() != "172.18.0.1" || got.Chosen {
		t.Errorf("automatic IPv4 subnet %+v; the default network has the first", got)
	}
	if got := made.Subnet6(); got.Subnet.Bits() != 64 || got.Subnet.Addr().As16()[0] != 0xfd || got.Gateway != got.Subnet.Addr().Next() {
		t.Errorf("automatic IPv6 subnet %+v", got)
	}
	for _, by := range []string{"web", made.ID, made.ID[:12], made.ID[:6]} {
		found, err := Open(dir).Lookup(by)
		if err != nil {
			t.Fatalf("looking up %s: %v", by, err)
		}
		if !found.Created.Equal(made.Created) {
			t.Errorf("created at %v, was %v", found.Created, made.Created)
		}
		found.Created = made.Created
		if !reflect.DeepEqual(found, made) {
			t.Errorf("found\n%+v, made\n%+v", found, made)
		}
	}
	var exists *ExistsError
	if _, err := s.Create(Network{Name: "web"}); !errors.As(err, &exists) || err.Error() != "network with name web already exists" {
		t.Errorf("second of the name: %v", err)
	}
	info, err := os.Stat(s.file("web"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file: %v %v", info.Mode(), err)
	}
}

func TestPredefinedNetworks(t *testing.T) {
	inEmptyNamespace(t)
	dir := t.TempDir()
	s := Open(dir)
	for name, driver := range map[string]string{"bridge": Bridge, "host": Host, "none": Null} {
		n, err := s.Lookup(name)
		if err != nil || n.Driver != driver || !n.Predefined() || len(n.ID) != 64 {
			t.Fatalf("%s: %+v, %v", name, n, err)
		}
		for _, by := range []string{name, n.ID, n.ID[:12]} {
			if again, err := Open(dir).Lookup(by); err != nil || again.ID != n.ID {
				t.Errorf("%s has another ID the second time: %v", by, err)
			}
		}
		if err := s.Remove(n); err == nil || err.Error() != name+" is a pre-defined network and cannot be removed" {
			t.Errorf("removing %s: %v", name, err)
		}
		if err := s.Replace(n); err == nil {
			t.Errorf("%s was replaced", name)
		}
	}
	n, _ := s.Lookup("bridge")
	if got := n.Subnet4(); got.Subnet.String() != "172.17.0.0/16" || got.Gateway.String() != "172.17.0.1" || n.BridgeName() != "ctr0" {
		t.Errorf("default network %+v, %s", got, n.BridgeName())
	}
	if other, _ := Open(t.TempDir()).Lookup("host"); other.ID == func() string { n, _ := s.Lookup("host"); return n.ID }() {
		t.Error("two users' networks host have one ID")
	}
}

func TestListIsInDockersOrder(t *testing.T) {
	s := Open(t.TempDir())
	for i, name := range []string{"web10", "web9", "a", "Z", "web09"} {
		create(t, s, Network{Name: name, Subnets: subnets("10.9." + strconv.Itoa(i) + ".0/24")})
	}
	all, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range all {
		names = append(names, n.Name)
	}
	if got := strings.Join(names, " "); got != "Z a bridge host none web09 web9 web10" {
		t.Errorf("order %s", got)
	}
}

func TestLookupOfWhatIsNotThere(t *testing.T) {
	s := Open(t.TempDir())
	for _, name := range []string{"nosuch", "abc", "../bridge", "a/b", ".lock", strings.Repeat("0", 64), strings.Repeat("x", 5000), "\x00"} {
		var missing *NotFoundError
		if _, err := s.Lookup(name); !errors.As(err, &missing) || missing.Name != name || err.Error() != "network "+name+" not found" {
			t.Errorf("%.20q: %.200v", name, err)
		}
	}
	if _, err := s.Lookup(""); err == nil {
		t.Error("the empty name was found")
	}
	a := create(t, s, Network{Name: "one", Subnets: subnets("10.9.0.0/24")})
	b := create(t, s, Network{Name: "two", Subnets: subnets("10.9.1.0/24")})
	// give both the same beginning
	b.ID = a.ID[:8] + b.ID[8:]
	if err := s.write(b); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lookup(a.ID[:8]); err == nil || !strings.Contains(err.Error(), "is ambiguous (2 matches found based on ID prefix)") {
		t.Errorf("ambiguous: %v", err)
	}
}

func TestReplaceAndRemove(t *testing.T) {
	s := Open(t.TempDir())
	n := create(t, s, Network{Name: "web", Subnets: subnets("10.9.0.0/24")})
	n.DNS = []netip.Addr{netip.MustParseAddr("10.9.0.53")}
	if err := s.Replace(n); err != nil {
		t.Fatal(err)
	}
	if now, err := s.Lookup("web"); err != nil || len(now.DNS) != 1 || now.ID != n.ID {
		t.Errorf("replaced: %+v, %v", now, err)
	}
	bad := *n
	bad.DNS = []netip.Addr{netip.IPv4Unspecified()}
	if err := s.Replace(&bad); err == nil {
		t.Error("a bad definition was stored")
	}
	for range 2 {
		if err := s.Remove(n); err != nil {
			t.Fatalf("removing: %v", err)
		}
	}
	var missing *NotFoundError
	if err := s.Replace(n); !errors.As(err, &missing) {
		t.Errorf("replacing what is gone: %v", err)
	}
	again := create(t, s, Network{Name: "web", Subnets: subnets("10.9.0.0/24")})
	if err := s.Remove(n); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lookup("web"); err != nil {
		t.Errorf("removing an old network %s removed a new one of its name, %s: %v", n.ID, again.ID, err)
	}
}

func TestDamagedFilesAreNamedAndHideNothing(t *testing.T) {
	s := Open(t.TempDir())
	good := create(t, s, Network{Name: "good", Subnets: subnets("10.9.0.0/24")})
	text, err := os.ReadFile(s.file("good"))
	if err != nil {
		t.Fatal(err)
	}
	edit := func(old, new string) string { return strings.Replace(string(text), old, new, 1) }
	cases := map[string]string{
		"empty":     "",
		"cut":       string(text[:len(text)/2]),
		"nul":       strings.Repeat("\x00", 100),
		"list":      "[]",
		"null":      "null",
		"newer":     edit(`"version": 1`, `"version": 2`),
		"older":     edit(`"version": 1`, `"version": 0`),
		"othername": string(text),
		"id":        edit(good.ID, "../../etc"),
		"driver":    edit(`"driver": "bridge"`, `"driver": "overlay"`),
		"outside":   edit(`"gateway": "10.9.0.1"`, `"gateway": "10.8.0.1"`),
		"nogateway": edit(`"gateway": "10.9.0.1"`, `"gateway": ""`),
		"unmasked":  edit(`10.9.0.0/24`, `10.9.0.7/24`),
		"nosubnet":  edit(`"subnets"`, `"sub"`),
		"sixless":   edit(`"ipam"`, `"ipv6": true, "ipam"`),
		"interface": edit(`"ipam"`, `"interface": "../../x", "ipam"`),
		"option":    edit(`"ipam"`, `"options": {"mtu": "many"}, "ipam"`),
	}
	for name, content := range cases {
		if name != "othername" {
			content = strings.Replace(content, `"name": "good"`, `"name": "`+name+`"`, 1)
		}
		if err := os.WriteFile(s.file(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Lookup(name); err == nil || !strings.Contains(err.Error(), s.file(name)) {
			t.Errorf("%s: error %v does not name the file", name, err)
		}
	}
	all, err := s.List()
	if len(all) != 4 {
		t.Errorf("listed %d networks beside the damaged ones", len(all))
	}
	for name := range cases {
		if err == nil || !strings.Contains(err.Error(), s.file(name)) {
			t.Errorf("the list's error does not name %s", s.file(name))
		}
	}
	if _, err := s.Lookup(good.ID[:10]); err != nil {
		t.Errorf("damaged files hide a good one: %v", err)
	}
	if _, err := s.Create(Network{Name: "cut"}); err == nil {
		t.Error("a damaged file was overwritten")
	}
	create(t, s, Network{Name: "further", Subnets: subnets("10.7.0.0/24")})
	// what a newer ctr made is not understood, but its subnet is taken
	newer := strings.ReplaceAll(edit(`"version": 1`, `"version": 2`), "10.9.0.", "10.6.0.")
	if err := os.WriteFile(s.file("newer"), []byte(newer), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(Network{Name: "clash", Subnets: subnets("10.6.0.0/16")}); err == nil || !strings.Contains(err.Error(), `"newer"`) {
		t.Errorf("overlap with a newer ctr's network: %v", err)
	}
}

func TestWhatAKilledWriterLeftIsCleared(t *testing.T) {
	s := Open(t.TempDir())
	create(t, s, Network{Name: "a", Subnets: subnets("10.9.0.0/24")})
	left := filepath.Join(s.dir, ".b.json.tmp-123")
	if err := os.WriteFile(left, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.List(); err != nil {
		t.Fatal(err)
	}
	create(t, s, Network{Name: "b", Subnets: subnets("10.9.1.0/24")})
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", left, err)
	}
}

func TestConcurrentCreation(t *testing.T) {
	dir := t.TempDir()
	var wait sync.WaitGroup
	var mu sync.Mutex
	made := map[string]int{}
	ids := map[string]bool{}
	for i := range 30 {
		wait.Go(func() {
			name := "n" + strconv.Itoa(i/2)
			n, err := Open(dir).Create(Network{Name: name, Subnets: subnets("10.9." + strconv.Itoa(i) + ".0/24")})
			d, err2 := Open(dir).Lookup("bridge")
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made[n.Name]++
			} else if !errors.As(err, new(*ExistsError)) {
				t.Errorf("%s: %v", name, err)
			}
			if err2 != nil {
				t.Errorf("default network: %v", err2)
				return
			}
			ids[d.ID] = true
		})
	}
	wait.Wait()
	if len(made) != 15 || len(ids) != 1 {
		t.Errorf("%d of 15 names, %d default networks", len(made), len(ids))
	}
	for name, times := range made {
		if times != 1 {
			t.Errorf("%s was made %d times", name, times)
		}
	}
}

func TestConfigurationNetworks(t *testing.T) {
	s := Open(t.TempDir())
	c := create(t, s, Network{Name: "conf", ConfigOnly: true, Subnets: subnets("10.9.0.0/24"), Labels: map[string]string{"a": "b"}, Options: map[string]string{"mtu": "1400"}})
	if c.Driver != Null || c.Subnets[0].Gateway.IsValid() {
		t.Errorf("configuration %+v", c)
	}
	if _, err := s.Create(Network{Name: "bad", ConfigOnly: true, Internal: true}); err == nil {
		t.Error("an internal configuration was made")
	}
	if _, err := s.Create(Network{Name: "bad", ConfigFrom: "nosuch"}); err == nil || err.Error() != `configuration network "nosuch" does not exist` {
		t.Errorf("missing configuration: %v", err)
	}
	if _, err := s.Create(Network{Name: "bad", ConfigFrom: "conf", IPv6: true}); err == nil {
		t.Error("a configuration and flags were mixed")
	}
	n := create(t, s, Network{Name: "net", ConfigFrom: "conf"})
	if n.Subnet4().Gateway.String() != "10.9.0.1" || n.MTU() != 1400 || n.Labels["a"] != "b" {
		t.Errorf("made from a configuration: %+v", n)
	}
	if _, err := s.Create(Network{Name: "second", ConfigFrom: "conf"}); err == nil || !strings.Contains(err.Error(), `"net"`) {
		t.Errorf("same subnet twice: %v", err)
	}
	if err := s.Remove(c); err == nil || !strings.Contains(err.Error(), "is in use by network net") {
		t.Errorf("removing a configuration in use: %v", err)
	}
	if err := errors.Join(s.Remove(n), s.Remove(c)); err != nil {
		t.Error(err)
	}
}

func TestDefinitionsKeepUnknownOptions(t *testing.T) {
	s := Open(t.TempDir())
	n := create(t, s, Network{Name: "x", Subnets: subnets("10.9.0.0/24"), Options: map[string]string{"com.docker.network.bridge.unknown": "3", "foo": "bar"}})
	text, _ := json.Marshal(n)
	if again, err := s.Lookup("x"); err != nil || again.Options["foo"] != "bar" || !strings.Contains(string(text), "bridge.unknown") {
		t.Errorf("options: %+v, %v", again, err)
	}
}
