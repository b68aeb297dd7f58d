package security

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The container's files are another's to arrange: closed directories, files of
// subordinate ids, links out. All goes, and nothing else.
func TestRemovalOfHostileTrees(t *testing.T) {
	v := victim(t)
	script := `mkdir -p /d/e/f /d/g; touch /d/e/f/file /d/g/file; busybox ln -s ` + v + ` /d/e/out; busybox ln -s ../../../../../.. /d/up
chown -R 1234:1234 /d/g 2>/dev/null; mkfifo /d/fifo; chmod 0 /d/e/f/file /d/e/f /d/e /d/g; chmod 1000 /d; true`
	if r := ctr("run", "--name", "hostile", "--network", "none", base, "sh", "-c", script); r.code != 0 {
		t.Fatal(r)
	}
	must(t, ctr("rm", "hostile"))
	must(t, run(base, "sh", "-c", script)) // by the monitor
	nothingLeft(t)
}

func nothingLeft(t *testing.T) {
	t.Helper()
	eventually(t, "the containers' files are gone", func() bool {
		return len(mustGlob(here.dir+"/data/containers/*"))+len(mustGlob(here.dir+"/data/trash/*")) == 0
	})
}

// After a crash the first command puts a container's files aside and does not wait
// for their removal.
func TestRemovalAfterACrash(t *testing.T) {
	r := must(t, ctr("run", "-d", "--rm", "--name", "large", "--network", "none", base, "sh", "-c", "mkdir /d && cd /d && seq 8000 | xargs touch && touch /ready && sleep 1000"))
	id := strings.TrimSpace(r)
	eventually(t, "the container is large", func() bool { return ctr("exec", id, "stat", "/ready").code == 0 })
	if err := syscall.Kill(monitorOf(t, id), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var remover string
	eventually(t, "the container is put aside", func() bool {
		must(t, ctr("ps", "-a"))
		for _, path := range mustGlob("/proc/[0-9]*/cmdline") { // a process of its own does it
			if line, _ := os.ReadFile(path); strings.HasPrefix(string(line), "ctr-clean\x00") && strings.Contains(string(line), id) {
				remover = path
			}
		}
		_, err := os.Stat(filepath.Join(here.dir, "data/containers", id))
		return os.IsNotExist(err)
	})
	if remover == "" {
		t.Error("the command that found the container removed its files itself")
	}
	if r := ctr("create", "--name", "large", base, "true"); r.code != 0 {
		t.Error("its name is not free: ", r)
	} else {
		must(t, ctr("rm", "large"))
	}
	nothingLeft(t)
}
