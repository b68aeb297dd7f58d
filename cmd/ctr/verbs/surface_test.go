package verbs

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// dockerFlag is a row of testdata/docker.tsv, which is what `docker X --help` lists.
type dockerFlag struct{ verb, name, short, kind string }

func dockerSurface(t *testing.T) []dockerFlag {
	t.Helper()
	data, err := os.ReadFile("testdata/docker.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var rows []dockerFlag
	for line := range strings.Lines(string(data)) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(f) == 4 && strings.HasPrefix(f[1], "--") {
			rows = append(rows, dockerFlag{f[0], f[1][2:], strings.TrimPrefix(f[2], "-"), f[3]})
		}
	}
	if len(rows) < 100 {
		t.Fatalf("only %d rows in testdata/docker.tsv", len(rows))
	}
	return rows
}

// later are the flags of Docker that are issues of their own: limits,
// and what belongs to swarm, Windows or the daemon.
var later = map[string]string{
	"create": "blkio-weight blkio-weight-device cgroup-parent cpu-count cpu-percent cpu-period cpu-quota cpu-rt-period cpu-rt-runtime " +
		"cpu-shares cpus cpuset-cpus cpuset-mems device-cgroup-rule device-read-bps device-read-iops device-write-bps device-write-iops " +
		"gpus io-maxbandwidth io-maxiops isolation kernel-memory memory memory-reservation memory-swap " +
		"memory-swappiness oom-kill-disable pids-limit storage-opt use-api-socket volume-driver volumes-from",
	"start":  "checkpoint checkpoint-dir",
	"images": "tree",
	"info":   "",
}

func TestFlagsAreDockers(t *testing.T) {
	later["run"] = later["create"]
	p := &program{name: "ctr"}
	commands := map[string]*command{}
	for _, row := range dockerSurface(t) {
		if row.name == "help" || slices.Contains(strings.Fields(later[row.verb]), row.name) {
			continue
		}
		cmd := commands[row.verb]
		if cmd == nil {
			v := findVerb(row.verb)
			if v == nil {
				t.Errorf("no verb %s", row.verb)
				continue
			}
			cmd = v.build(p)
			commands[row.verb] = cmd
		}
		i := slices.IndexFunc(cmd.flags, func(f flag) bool { return f.Name == row.name })
		if i < 0 {
			t.Errorf("%s has no --%s", row.verb, row.name)
			continue
		}
		f := cmd.flags[i]
		if f.Short != row.short {
			t.Errorf("%s --%s has the letter %q, Docker %q", row.verb, row.name, f.Short, row.short)
		}
		if f.Bool != (row.kind == "") || f.kind != row.kind {
			t.Errorf("%s --%s takes %q, Docker %q", row.verb, row.name, f.kind, row.kind)
		}
	}
}

func TestFlagTablesAreSound(t *testing.T) {
	p := &program{name: "ctr"}
	for i := range verbTable {
		v := &verbTable[i]
		seen := map[string]bool{}
		for _, f := range v.build(p).flags {
			names := append([]string{f.Name}, f.Also...)
			if f.Short != "" {
				names = append(names, f.Short)
			}
			for _, name := range names {
				if seen[name] {
					t.Errorf("%s has two flags called %s", v.paths[0], name)
				}
				seen[name] = true
			}
			if f.about == "" {
				t.Errorf("%s --%s says nothing about itself", v.paths[0], f.Name)
			}
		}
	}
}

func TestEveryVerbIsReached(t *testing.T) {
	seen := map[string]bool{}
	for i := range verbTable {
		for _, path := range verbTable[i].paths {
			if seen[path] {
				t.Errorf("two verbs are called %q", path)
			}
			seen[path] = true
		}
	}
	for _, name := range strings.Fields("run create start stop restart kill rm logs exec attach wait rename top pause unpause port inspect ls ps") {
		if !seen["container "+name] {
			t.Errorf("no `ctr container %s`", name)
		}
	}
	for _, name := range strings.Fields("connect create disconnect exists inspect ls list prune reload rm remove update") {
		if !seen["network "+name] {
			t.Errorf("no `ctr network %s`", name)
		}
	}
	for _, name := range strings.Fields("ls rm tag pull load import inspect") {
		if !seen["image "+name] {
			t.Errorf("no `ctr image %s`", name)
		}
	}
}
