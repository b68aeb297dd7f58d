package parse

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ctr/libpod/config"
)

// check runs a parser over a table of inputs. A wanted value that begins with "!" is
// an error's whole text; any other is the result as %+v prints it.
func check[T any](t *testing.T, parse func(string) (T, error), table [][2]string) {
	t.Helper()
	for _, row := range table {
		got, err := parse(row[0])
		if text, isError := strings.CutPrefix(row[1], "!"); isError {
			if err == nil || err.Error() != text {
				t.Errorf("%q: %+v, error %v\n\twant error %s", row[0], got, err, text)
			}
		} else if text := fmt.Sprintf("%+v", got); err != nil || text != row[1] {
			t.Errorf("%q: %s, error %v\n\twant %s", row[0], text, err, row[1])
		}
	}
}

// show prints the fields of a mount that differ from a plain one.
func show(parse func(string) (config.Mount, error)) func(string) (string, error) {
	return func(s string) (string, error) {
		m, err := parse(s)
		out := fmt.Sprintf("%s %s %s", m.Type, m.Source, m.Destination)
		for _, field := range []struct {
			name string
			set  bool
		}{{"ro", m.ReadOnly}, {"nocopy", m.NoCopy}, {"create", m.Create}, {"anonymous", m.Anonymous}} {
			if field.set {
				out += " " + field.name
			}
		}
		for _, word := range append([]string{m.Propagation, m.Recursive, m.Subpath}, m.Options...) {
			if word != "" {
				out += " " + word
			}
		}
		return out, err
	}
}

func TestVolume(t *testing.T) {
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	check(t, show(Volume), [][2]string{
		{"/a:/b", "bind /a /b create"},
		{"/a/../c/:/b//d/", "bind /c /b/d create"},
		{"/a:/b:ro", "bind /a /b ro create"},
		{"/a:/b:ro,rslave,z", "bind /a /b ro create rslave z"},
		{"/a:/b:bind,noexec,U", "bind /a /b create disabled noexec U"},
		{"/a:/b:cached", "bind /a /b create"},
		{".:/b", "bind " + wd + " /b create"},
		{"./x:/b", "bind " + wd + "/x /b create"},
		{"/data", "volume  /data"},
		{"data:/b", "volume data /b"},
		{"data:/b:nocopy,ro", "volume data /b ro nocopy"},
		{"", "!invalid empty volume spec"},
		{":/b", "!invalid spec: :/b: empty section between colons"},
		{"/a:", "!invalid spec: /a:: empty section between colons"},
		{"a:b:c:d", "!invalid volume specification: 'a:b:c:d'"},
		{"/a:ro", "!invalid volume specification: '/a:ro'"},
		{"/a:/b:foo", "!invalid mode: foo"},
		{"/a:/b:ro,rw", "!invalid mode: ro,rw"},
		{"/a:/", `!invalid volume specification: '/a:/': invalid mount config for type "bind": invalid specification: destination can't be '/'`},
		{"/a:b", `!invalid volume specification: '/a:b': invalid mount config for type "bind": invalid mount path: 'b' mount path must be absolute`},
		{"data:/b:rslave", `!invalid volume specification: 'data:/b:rslave': invalid mount config for type "volume": field BindOptions must not be specified`},
		{"/a:/b:nocopy", `!invalid volume specification: '/a:/b:nocopy': invalid mount config for type "bind": field VolumeOptions must not be specified`},
		{"a/b:/c", `!invalid volume specification: 'a/b:/c': create a/b: "a/b" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`},
	})
}

func TestPrepareSource(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "a", "b")
	m := config.Mount{Type: config.MountBind, Source: missing, Destination: "/x"}
	if err := PrepareSource(m); err == nil || err.Error() != `invalid mount config for type "bind": bind source path does not exist: `+missing {
		t.Errorf("error %v", err)
	}
	m.Create = true
	for range 2 {
		if err := PrepareSource(m); err != nil {
			t.Error(err)
		}
	}
	if info, err := os.Stat(missing); err != nil || !info.IsDir() {
		t.Errorf("%v, %v", info, err)
	}
	if err := PrepareSource(config.Mount{Type: config.MountVolume, Source: "/nowhere"}); err != nil {
		t.Error(err)
	}
}

func TestMount(t *testing.T) {
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	check(t, show(Mount), [][2]string{
		{"type=bind,src=/a,dst=/b", "bind /a /b"},
		{"type=bind,source=.,target=/b,readonly", "bind " + wd + " /b ro"},
		{"TYPE=bind,source=/a,destination=/b,ro=true,bind-propagation=rslave", "bind /a /b ro rslave"},
		{"type=bind,src=/a,dst=/b,ro=false,bind-recursive=disabled,bind-create-src", "bind /a /b create disabled"},
		{"type=bind,src=/a,dst=/b,bind-nonrecursive", "bind /a /b disabled"},
		{"type=bind,src=/a,dst=/b,ro,bind-recursive=readonly,bind-propagation=rprivate", "bind /a /b ro rprivate readonly"},
		{`type=bind,"src=/a,b",dst=/b`, "bind /a,b /b"},
		{"src=data,dst=/b,volume-nocopy,volume-subpath=x", "volume data /b nocopy x"},
		{"dst=/b", "volume  /b"},
		{"type=tmpfs,dst=/b,tmpfs-size=1m,tmpfs-mode=1770", "tmpfs  /b size=1048576 mode=1770"},
		{"", "!value is empty"},
		{"bind", "!invalid field 'bind' must be a key=value pair"},
		{"type=bind,src=/a", "!target is required"},
		{"type=bind,src=/a,dst=/b,foo=1", "!unexpected key 'foo' in 'foo=1'"},
		{"type=bind,src=/a,dst=/b,readonly=foo", "!invalid value for readonly: foo"},
		{"type=bind,src=/a,dst=/b,volume-nocopy=yes", "!invalid value for volume-nocopy: yes"},
		{"type=bind,src=,dst=/b", "!invalid value for 'src': value is empty"},
		{"type=bind, src=/a,dst=/b", "!invalid option 'src' in ' src=/a': option should not have whitespace"},
		{"type=tmpfs,dst=/x,tmpfs-size=foo", "!invalid value for tmpfs-size: foo"},
		{"type=tmpfs,dst=/x,tmpfs-mode=999", "!invalid value for tmpfs-mode: 999"},
		{"type=volume,dst=/x,bind-propagation=rslave", "!cannot mix 'bind-*' options with mount type 'volume'"},
		{"type=tmpfs,dst=/x,volume-nocopy", "!cannot mix 'volume-*' options with mount type 'tmpfs'"},
		{"type=bind,src=/a,dst=/b,bind-recursive=foo", `!invalid value for bind-recursive: foo (must be "enabled", "disabled", "writable", or "readonly")`},
		{"type=bind,src=/a,dst=/b,bind-recursive=readonly", "!option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction"},
		{"type=bind,src=/a,dst=/b,bind-recursive=writable", "!option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction"},
		{"type=bind,src=/a,dst=/b,ro,bind-recursive=readonly", "!option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction"},
		{"type=foo,dst=/x", `!invalid mount config for type "foo": mount type unknown`},
		{"type=bind,dst=/x", `!invalid mount config for type "bind": field Source must not be empty`},
		{"type=tmpfs,src=x,dst=/x", `!invalid mount config for type "tmpfs": field Source must not be specified`},
		{"dst=/x,volume-driver=nfs", `!volume driver "nfs" is not supported, only local is`},
	})
}

func TestTmpfs(t *testing.T) {
	check(t, show(Tmpfs), [][2]string{
		{"/run", "tmpfs  /run"},
		{"/run/:size=64m,exec", "tmpfs  /run size=64m exec"},
		{"run", "!invalid mount path: 'run' mount path must be absolute"},
		{"/", "!invalid specification: destination can't be '/'"},
		{"", "!field Target must not be empty"},
		{"/run:foo", `!invalid tmpfs option "foo"`},
	})
}

func TestUlimit(t *testing.T) {
	check(t, Ulimit, [][2]string{
		{"nofile=1024", "{Name:nofile Soft:1024 Hard:1024}"},
		{"nofile=1024:2048", "{Name:nofile Soft:1024 Hard:2048}"},
		{"core=-1", "{Name:core Soft:-1 Hard:-1}"},
		{"core=5:-1", "{Name:core Soft:5 Hard:-1}"},
		{"nofile", "!invalid ulimit argument: nofile"},
		{"foo=1", "!invalid ulimit type: foo"},
		{"nofile=5:2", "!ulimit soft limit must be less than or equal to hard limit: 5 > 2"},
		{"nofile=-1:5", "!ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), hard: 5"},
		{"nofile=a", `!strconv.ParseInt: parsing "a": invalid syntax`},
		{"nofile=1:2:3", "!too many limit value arguments - 1:2:3, can only have up to two, `soft[:hard]`"},
		{"nofile=-2", "!invalid ulimit nofile: a limit is a positive number, or -1 for unlimited"},
	})
}

func TestDevice(t *testing.T) {
	check(t, Device, [][2]string{
		{"/dev/fuse", "{Host:/dev/fuse Container:/dev/fuse Permissions:rwm}"},
		{"/dev/fuse:r", "{Host:/dev/fuse Container:/dev/fuse Permissions:r}"},
		{"/dev/fuse:/dev//f", "{Host:/dev/fuse Container:/dev/f Permissions:rwm}"},
		{"/dev/fuse:/dev/f:rw", "{Host:/dev/fuse Container:/dev/f Permissions:rw}"},
		{"fuse", "!fuse is not an absolute path"},
		{"/dev/fuse:f", "!f is not an absolute path"},
		{"/dev/fuse:/dev/f:q", "!bad mode specified: q"},
		{"/dev/fuse:/dev/f:rr", "!bad mode specified: rr"},
		{"/a:/b:r:x", "!bad format for path: /a:/b:r:x"},
		{"", "!bad format for path: "},
	})
}

func TestEnv(t *testing.T) {
	t.Setenv("CTR_TEST", "here")
	check(t, Env, [][2]string{
		{"A=1", "A=1"}, {"A=", "A="}, {"A= b = c ", "A= b = c "},
		{"CTR_TEST", "CTR_TEST=here"}, {"CTR_TEST_MISSING", "CTR_TEST_MISSING"},
		{"*", "*"}, {"CTR_*", "CTR_*"},
		{"=x", "!invalid environment variable: =x"}, {"", "!invalid environment variable: "},
		{"A=\x00", `!invalid environment variable: "A" contains NUL`},
	})
}

func TestFiles(t *testing.T) {
	t.Setenv("CTR_TEST", "here")
	file := filepath.Join(t.TempDir(), "env")
	read := func(parse func(string) ([]string, error)) func(string) (string, error) {
		return func(content string) (string, error) {
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			lines, err := parse(file)
			return strings.Join(lines, "|"), err
		}
	}
	check(t, read(EnvFile), [][2]string{
		{"\xef\xbb\xbfA=1\n\n# no\n  B= x \r\nCTR_TEST\nCTR_TEST_MISSING\n", "A=1|B= x |CTR_TEST=here"},
		{"A='q'\nA=\"w\"#c", `A='q'|A="w"#c`},
		{"a b=c", "!invalid env file (" + file + "): variable 'a b' contains whitespaces"},
		{"=c", "!invalid env file (" + file + "): no variable name on line '=c'"},
		{"A=1\nB=\xff", "!invalid env file (" + file + "): invalid utf8 bytes at line 2: [66 61 255]"},
		{"A=" + strings.Repeat("x", 70000), "!invalid env file (" + file + "): bufio.Scanner: token too long"},
	})
	check(t, read(LabelFile), [][2]string{{"a=b\nCTR_TEST\n", "a=b"}})
	if _, err := EnvFile("/nope"); err == nil || err.Error() != "open /nope: no such file or directory" {
		t.Errorf("error %v", err)
	}
}

func TestLabel(t *testing.T) {
	check(t, Label, [][2]string{
		{"a=b", "a=b"}, {"a", "a"}, {"a= b c ", "a= b c "},
		{"=x", "!invalid label '=x': empty name"}, {"a b=c", "!label 'a b' contains whitespaces"},
	})
	check(t, Annotation, [][2]string{{"a=b", "a=b"}, {"=b", "!invalid annotation '=b': empty name"}})
}

func TestCapability(t *testing.T) {
	check(t, CapAdd, [][2]string{
		{"net_admin", "CAP_NET_ADMIN"}, {"CAP_SYS_PTRACE", "CAP_SYS_PTRACE"}, {"cap_bpf", "CAP_BPF"}, {"all", "ALL"},
		{"FOO", `!invalid CapAdd: unknown capability: "CAP_FOO"`}, {"", `!invalid CapAdd: unknown capability: "CAP_"`},
	})
	check(t, CapDrop, [][2]string{{"FOO", `!invalid CapDrop: unknown capability: "CAP_FOO"`}})
}

func TestSecurityOpts(t *testing.T) {
	profile := filepath.Join(t.TempDir(), "p.json")
	if err := os.WriteFile(profile, []byte("{ \"defaultAction\" :\n\"SCMP_ACT_ALLOW\" }"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "b.json")
	if err := os.WriteFile(broken, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	one := func(s string) (string, error) {
		got, err := SecurityOpts(strings.Fields(s))
		if err == nil && len(got.Opts) != len(strings.Fields(s)) {
			t.Errorf("%q: keeps %q", s, got.Opts)
		}
		got.Opts = nil
		return strings.NewReplacer(" AppArmor:", "", " Privileged:false CapAdd:[] CapDrop:[]", "", "{", "", "}", "").Replace(fmt.Sprintf("%+v", got)), err
	}
	plain := func(seccomp, nnp, mask, unmask, apparmor, label string) string {
		return fmt.Sprintf("Privileged:false CapAdd:[] CapDrop:[] Seccomp:%s NoNewPrivileges:%s Mask:[%s] Unmask:[%s]%s Label:[%s] Opts:[]", seccomp, nnp, mask, unmask, apparmor, label)
	}
	check(t, one, [][2]string{
		{"no-new-privileges", plain("", "true", "", "", "", "")},
		{"no-new-privileges:true", plain("", "true", "", "", "", "")},
		{"no-new-privileges=false", plain("", "false", "", "", "", "")},
		{"seccomp=unconfined label=disable label:type:x", plain("unconfined", "false", "", "", "", "disable type:x")},
		{"seccomp=" + profile, plain(`"defaultAction":"SCMP_ACT_ALLOW"`, "false", "", "", "", "")},
		{"unmask=/proc/a:/sys/b mask=/x unmask=all", plain("", "false", "/x", "/proc/a /sys/b ALL", "", "")},
		{"systempaths=unconfined apparmor=mine", plain("", "false", "", "ALL", "mine", "")},
		{"foo", `!invalid --security-opt: "foo"`},
		{"foo=bar", `!invalid --security-opt: "foo=bar"`},
		{"seccomp=", `!invalid --security-opt: "seccomp="`},
		{"no-new-privileges=maybe", `!invalid --security-opt: "no-new-privileges=maybe"`},
		{"systempaths=x", `!invalid --security-opt: "systempaths=x"`},
		{"seccomp=/nope", "!opening seccomp profile (/nope) failed: open /nope: no such file or directory"},
		{"seccomp=" + broken, "!compacting json for seccomp profile (" + broken + ") failed: unexpected end of JSON input"},
	})
}

func TestSysctl(t *testing.T) {
	check(t, Sysctl, [][2]string{
		{"net.ipv4.ip_forward=1", "net.ipv4.ip_forward=1"}, {"kernel.shmmax=1", "kernel.shmmax=1"}, {"fs.mqueue.msg_max=9", "fs.mqueue.msg_max=9"},
		{"foo=1", "!sysctl 'foo=1' is not allowed"}, {"net.x", "!sysctl 'net.x' is not allowed"}, {"=1", "!sysctl '=1' is not allowed"},
		{"net/../kernel/core_pattern=|x", "!sysctl 'net/../kernel/core_pattern=|x' is not allowed"},
	})
}

func TestRestart(t *testing.T) {
	check(t, Restart, [][2]string{
		{"", "{Policy: Retries:0}"}, {"no", "{Policy:no Retries:0}"}, {"always", "{Policy:always Retries:0}"},
		{"on-failure:3", "{Policy:on-failure Retries:3}"}, {"on-failure", "{Policy:on-failure Retries:0}"}, {"unless-stopped", "{Policy:unless-stopped Retries:0}"},
		{":3", "!invalid restart policy format: no policy provided before colon"},
		{"on-failure:x", "!invalid restart policy format: maximum retry count must be an integer"},
		{"on-failure:-1", "!invalid restart policy: maximum retry count cannot be negative"},
		{"always:3", "!invalid restart policy: maximum retry count can only be used with 'on-failure'"},
		{"foo", "!invalid restart policy: unknown policy 'foo'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"},
	})
}

func TestBytes(t *testing.T) {
	check(t, Bytes, [][2]string{
		{"64m", "67108864"}, {"1.5g", "1610612736"}, {"4096", "4096"}, {"2KiB", "2048"}, {"10B", "10"},
		{"x", "!invalid size: 'x'"}, {"-1", "!invalid size: '-1'"}, {"10x", "!invalid suffix: 'x'"},
	})
}

func TestHealthDuration(t *testing.T) {
	check(t, func(s string) (string, error) {
		d, err := HealthDuration("--health-interval", s)
		return d.String(), err
	}, [][2]string{
		{"1m30s", "1m30s"}, {"0", "0s"},
		{"-1s", "!--health-interval cannot be negative"}, {"foo", `!time: invalid duration "foo"`}, {"10", `!time: missing unit in duration "10"`},
	})
}

func TestSignal(t *testing.T) {
	check(t, Signal, [][2]string{{"KILL", "killed"}, {"15", "terminated"}, {"FOO", "!invalid signal: FOO"}})
	check(t, StopSignal, [][2]string{{"SIGQUIT", "SIGQUIT"}, {"RTMIN+3", "RTMIN+3"}, {"FOO", "!invalid signal: FOO"}})
}

func TestLog(t *testing.T) {
	one := func(s string) (config.Log, error) {
		words := strings.Fields(s)
		return Log(words[0], words[1:])
	}
	check(t, one, [][2]string{
		{"json-file max-size=10m max-file=3", "{Driver:json-file Opts:map[max-file:3 max-size:10m]}"},
		{"none", "{Driver:none Opts:map[]}"}, {"journald tag=x", "{Driver:journald Opts:map[tag:x]}"}, {"passthrough", "{Driver:passthrough Opts:map[]}"},
		{"none a=b", "!invalid logging opts for driver none"},
		{"json-file a", "!unknown log opt 'a' for json-file log driver"},
		{"json-file =a", "!invalid log option '=a': empty name"},
		{"syslog", "!logger: no log driver named 'syslog' is registered"},
		{"json-file mode=x", "!logger: logging mode not supported: x"},
	})
}

func TestNetwork(t *testing.T) {
	check(t, AddHost, [][2]string{
		{"a:1.2.3.4", "a:1.2.3.4"}, {"a=1.2.3.4", "a:1.2.3.4"}, {"a:::1", "a:::1"}, {"a=[::1]", "a:::1"}, {"a:host-gateway", "a:host-gateway"},
		{"foo", `!bad format for add-host: "foo"`}, {":1.2.3.4", `!bad format for add-host: ":1.2.3.4"`},
		{"foo:bar", `!invalid IP address in add-host: "bar"`}, {"foo:1.2.3.4.5", `!invalid IP address in add-host: "1.2.3.4.5"`},
		{"a b:1.2.3.4", `!bad format for add-host: "a b:1.2.3.4"`},
	})
	check(t, DNS, [][2]string{{"1.1.1.1", "1.1.1.1"}, {" ::1 ", "::1"}, {"foo", "!IP address is not correctly formatted: foo"}})
	check(t, DNSSearch, [][2]string{
		{"example.org", "example.org"}, {".", "."}, {"a.b.", "a.b"}, {"1", "!1 is not a valid domain"}, {"a..b", "!a..b is not a valid domain"}, {"-a", "!-a is not a valid domain"},
	})
}

func TestNamespaceModes(t *testing.T) {
	check(t, IPC, [][2]string{{"shareable", "shareable"}, {"container:a", "container:a"}, {"foo", "!invalid IPC mode: foo"}})
	check(t, PID, [][2]string{{"host", "host"}, {"foo", "!--pid: invalid PID mode"}, {"container:", "!--pid: invalid PID mode"}})
	check(t, UTS, [][2]string{{"host", "host"}, {"foo", "!--uts: invalid UTS mode"}})
	check(t, Cgroup, [][2]string{{"private", "private"}, {"foo", "!--cgroupns: invalid CGROUP mode"}})
	check(t, Userns, [][2]string{{"host", "host"}, {"foo", "!--userns: invalid USER mode"}})
}

func TestNames(t *testing.T) {
	check(t, Name, [][2]string{
		{"web-1_x.y", "web-1_x.y"}, {"/web", "web"},
		{"a", "!Invalid container name (a), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"},
		{"a b", "!Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"},
		{"../x", "!Invalid container name (../x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"},
		{"-a", "!Invalid container name (-a), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"},
	})
	check(t, User, [][2]string{{"bob:wheel", "bob:wheel"}, {"0", "0"}, {"a:b:c", `!invalid user "a:b:c": it has more than one colon, use name|uid[:group|gid]`}})
	check(t, Hostname, [][2]string{{"web.example", "web.example"}, {"a b", `!invalid hostname "a b": it may not contain white space, '#' or control characters`}})
}
