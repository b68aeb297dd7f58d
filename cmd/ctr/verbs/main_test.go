package verbs

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// outcome is what a command line came to.
type outcome struct {
	code     int
	out, err string
}

// ctr runs a command line with empty stores of its own.
func ctr(t *testing.T, args ...string) outcome {
	t.Helper()
	return ctrIn(t, privateStores(t), args...)
}

// privateStores points every store at empty directories and returns their parent.
func privateStores(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	run := filepath.Join(dir, "run")
	if err := os.Mkdir(run, 0o700); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "storage.conf")
	text := "[storage]\ndriver = \"overlay\"\ngraphroot = \"" + dir + "/images\"\nrunroot = \"" + dir + "/imagesrun\"\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CONTAINERS_STORAGE_CONF", conf)
	t.Setenv("CTR_ROOT", filepath.Join(dir, "data"))
	t.Setenv("CTR_RUNROOT", run)
	return dir
}

func ctrIn(t *testing.T, dir string, args ...string) outcome {
	t.Helper()
	open := func(name string) *os.File {
		f, err := os.CreateTemp(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	in, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	s := Streams{In: in, Out: open("out"), Err: open("err")}
	code := Main(append([]string{"ctr"}, args...), s, nil)
	read := func(f *os.File) string {
		f.Seek(0, io.SeekStart)
		b, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	return outcome{code, read(s.Out), read(s.Err)}
}

const runUsage = "\n\nUsage:  ctr run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\nRun 'ctr run --help' for more information\n"

// The expected texts and codes are those of docker 28.2.2 with its name replaced.
func TestUsageErrors(t *testing.T) {
	for line, want := range map[string]outcome{
		"run":                                   {1, "", "ctr: 'ctr run' requires at least 1 argument" + runUsage},
		"run --x":                               {125, "", "unknown flag: --x" + runUsage},
		"run --memory=1m busybox":               {125, "", "unknown flag: --memory" + runUsage},
		"run -itX busybox":                      {125, "", "unknown shorthand flag: 'X' in -X" + runUsage},
		"run --rm=foo busybox":                  {125, "", "invalid argument \"foo\" for \"--rm\" flag: strconv.ParseBool: parsing \"foo\": invalid syntax" + runUsage},
		"run --name":                            {125, "", "flag needs an argument: --name" + runUsage},
		"run -e =x busybox":                     {125, "", "invalid argument \"=x\" for \"-e, --env\" flag: invalid environment variable: =x" + runUsage},
		"run -a foo busybox":                    {125, "", "invalid argument \"foo\" for \"-a, --attach\" flag: valid streams are STDIN, STDOUT and STDERR" + runUsage},
		"run --mount foo busybox":               {125, "", "invalid argument \"foo\" for \"--mount\" flag: invalid field 'foo' must be a key=value pair" + runUsage},
		"run --mount type=bind busybox":         {125, "", "invalid argument \"type=bind\" for \"--mount\" flag: target is required" + runUsage},
		"run --ulimit x busybox":                {125, "", "invalid argument \"x\" for \"--ulimit\" flag: invalid ulimit argument: x" + runUsage},
		"run --health-interval=x img":           {125, "", "invalid argument \"x\" for \"--health-interval\" flag: time: invalid duration \"x\"" + runUsage},
		"run --pull bad busybox":                {125, "", "ctr: invalid pull option: 'bad': must be one of \"always\", \"missing\" or \"never\"\n\nRun 'ctr run --help' for more information\n"},
		"run --rm --restart=always b":           {125, "", "ctr: conflicting options: cannot specify both --restart and --rm\n\nRun 'ctr run --help' for more information\n"},
		"run --restart=on-failure:x b":          {125, "", "ctr: invalid restart policy format: maximum retry count must be an integer\n\nRun 'ctr run --help' for more information\n"},
		"create --network-alias x b":            {125, "", "ctr: network-scoped aliases are only supported for user-defined networks\n\nRun 'ctr create --help' for more information\n"},
		"create --network alias=x b":            {125, "", "invalid argument \"alias=x\" for \"--network\" flag: network name/id is not specified\n\nUsage:  ctr create [OPTIONS] IMAGE [COMMAND] [ARG...]\n\nRun 'ctr create --help' for more information\n"},
		"create --link a:b:c b":                 {125, "", "invalid argument \"a:b:c\" for \"--link\" flag: bad format for links: a:b:c\n\nUsage:  ctr create [OPTIONS] IMAGE [COMMAND] [ARG...]\n\nRun 'ctr create --help' for more information\n"},
		"network":                               {0, "*Manage networks*", ""},
		"network foo":                           {1, "", "ctr: unknown command: ctr network foo\n\nUsage:  ctr network\n\nRun 'ctr network --help' for more information\n"},
		"network create":                        {1, "", "ctr: 'ctr network create' requires 1 argument\n\nUsage:  ctr network create [OPTIONS] NETWORK\n\nRun 'ctr network create --help' for more information\n"},
		"network connect a":                     {1, "", "ctr: 'ctr network connect' requires 2 arguments\n\nUsage:  ctr network connect [OPTIONS] NETWORK CONTAINER\n\nRun 'ctr network connect --help' for more information\n"},
		"run --env-file /nonexist b":            {125, "", "ctr: open /nonexist: no such file or directory\n\nRun 'ctr run --help' for more information\n"},
		"run --cidfile /etc/passwd b":           {125, "", "ctr: container ID file found, make sure the other container isn't running or delete /etc/passwd\n\nRun 'ctr run --help' for more information\n"},
		"run --health-cmd=x --no-healthcheck b": {125, "", "ctr: --no-healthcheck conflicts with --health-* options\n\nRun 'ctr run --help' for more information\n"},
		"run -d -a stdout busybox":              {1, "", "conflicting options: cannot specify both --attach and --detach\n"},
		"run -it busybox":                       {1, "", "the input device is not a TTY\n"},
		"run --pull never nosuch":               {125, "", "ctr: No such image: nosuch:latest\n\nRun 'ctr run --help' for more information\n"},
		"run INVALID":                           {125, "", "ctr: invalid reference format: repository name (library/INVALID) must be lowercase\n\nRun 'ctr run --help' for more information\n"},
		"rm":                                    {1, "", "ctr: 'ctr rm' requires at least 1 argument\n\nUsage:  ctr rm [OPTIONS] CONTAINER [CONTAINER...]\n\nRun 'ctr rm --help' for more information\n"},
		"container rm":                          {1, "", "ctr: 'ctr container rm' requires at least 1 argument\n\nUsage:  ctr container rm [OPTIONS] CONTAINER [CONTAINER...]\n\nRun 'ctr container rm --help' for more information\n"},
		"ps foo":                                {1, "", "ctr: 'ctr ps' accepts no arguments\n\nUsage:  ctr ps [OPTIONS]\n\nRun 'ctr ps --help' for more information\n"},
		"ps --filter foo":                       {125, "", "invalid argument \"foo\" for \"-f, --filter\" flag: bad format of filter (expected name=value)\n\nUsage:  ctr ps [OPTIONS]\n\nRun 'ctr ps --help' for more information\n"},
		"ps --filter foo=bar":                   {1, "", "Error: invalid filter 'foo'\n"},
		"ps --format {{.Foo":                    {1, "", "Error: failed to parse template: template: :1: unclosed action\n"},
		"images a b":                            {1, "", "ctr: 'ctr images' requires at most 1 argument\n\nUsage:  ctr images [OPTIONS] [REPOSITORY[:TAG]]\n\nRun 'ctr images --help' for more information\n"},
		"rename a":                              {1, "", "ctr: 'ctr rename' requires 2 arguments\n\nUsage:  ctr rename CONTAINER NEW_NAME\n\nRun 'ctr rename --help' for more information\n"},
		"port":                                  {1, "", "ctr: 'ctr port' requires at least 1 and at most 2 arguments\n\nUsage:  ctr port CONTAINER [PRIVATE_PORT[/PROTO]]\n\nRun 'ctr port --help' for more information\n"},
		"foo":                                   {1, "", "ctr: unknown command: ctr foo\n\nRun 'ctr --help' for more information\n"},
		"container foo":                         {1, "", "ctr: unknown command: ctr container foo\n\nUsage:  ctr container\n\nRun 'ctr container --help' for more information\n"},
		"--x":                                   {125, "", "unknown flag: --x\n\nUsage:  ctr [OPTIONS] COMMAND [ARG...]\n\nRun 'ctr --help' for more information\n"},
		"-X":                                    {125, "", "unknown shorthand flag: 'X' in -X\n\nUsage:  ctr [OPTIONS] COMMAND [ARG...]\n\nRun 'ctr --help' for more information\n"},
		"rm a b":                                {1, "", "Error: No such container: a\nError: No such container: b\n"},
		"rm a -f":                               {0, "", "Error: No such container: a\n"},
		"stop -t 1 a":                           {1, "", "Error: No such container: a\n"},
		"exec a true":                           {1, "", "Error: No such container: a\n"},
		"inspect x":                             {1, "[]\n", "Error: No such object: x\n"},
		"inspect --type foo x":                  {1, "", "Error: unknown type: \"foo\": must be one of \"container\", \"image\", \"network\"\n"},
		"image inspect x":                       {1, "[]\n", "Error: No such image: x:latest\n"},
		"start -a a b":                          {1, "", "Error: you cannot start and attach multiple containers at once\n"},
		"pull x":                                {1, "", "*ctr-full is not installed beside*"},
	} {
		got := ctr(t, strings.Fields(line)...)
		if pattern, ok := strings.CutPrefix(want.err, "*"); ok && strings.Contains(got.err, strings.TrimSuffix(pattern, "*")) {
			got.err = want.err
		}
		if pattern, ok := strings.CutPrefix(want.out, "*"); ok && strings.Contains(got.out, strings.TrimSuffix(pattern, "*")) {
			got.out = want.out
		}
		if got != want {
			t.Errorf("ctr %s:\ngot  %d %q %q\nwant %d %q %q", line, got.code, got.out, got.err, want.code, want.out, want.err)
		}
	}
}

func TestHelp(t *testing.T) {
	for line, want := range map[string]string{
		"rm --help":     rmHelp,
		"rm -h":         rmHelp,
		"help rm":       rmHelp,
		"rm x --help":   rmHelp,
		"pause --help":  "Usage:  ctr pause CONTAINER [CONTAINER...]\n\nPause all processes within one or more containers\n\nAliases:\n  ctr container pause, ctr pause\n",
		"images --help": "*  -f, --filter filter   Filter output based on conditions provided\n*",
		"run --help":    "*  -h, --hostname string                  Container host name\n*",
		"image --help":  "*  pull        Download an image from a registry\n*",
		"image":         "*Usage:  ctr image COMMAND\n\nManage images\n\nCommands:\n*",
		"--help":        "*Management Commands:\n  container   Manage containers\n  image       Manage images\n*",
		"":              "*Usage:  ctr [OPTIONS] COMMAND\n*",
		"help":          "*Usage:  ctr [OPTIONS] COMMAND\n*",
	} {
		got := ctr(t, strings.Fields(line)...)
		pattern, loose := strings.CutPrefix(want, "*")
		fits := got.out == want || loose && strings.Contains(got.out, strings.TrimSuffix(pattern, "*"))
		if got.code != 0 || got.err != "" || !fits {
			t.Errorf("ctr %s: %d %q\n%s\nwant\n%s", line, got.code, got.err, got.out, want)
		}
	}
}

const rmHelp = `Usage:  ctr rm [OPTIONS] CONTAINER [CONTAINER...]

Remove one or more containers

Aliases:
  ctr container rm, ctr container remove, ctr rm

Options:
  -f, --force     Force the removal of a running container (uses SIGKILL)
  -v, --volumes   Remove anonymous volumes associated with the container
`
