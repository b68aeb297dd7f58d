package userns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/rootless-containers/rootlesskit/v3/pkg/parent/dynidtools"
	"github.com/rootless-containers/rootlesskit/v3/pkg/parent/idtools"
)

// Range maps Size consecutive ids from Inside the namespace to Outside it.
type Range struct{ Inside, Outside, Size int }

// Map is how a user's ids appear in the user namespace. The user is always its id 0.
type Map struct {
	UIDs, GIDs []Range
	// Missing says, when only the user's own id is mapped, what is missing for more
	// and how to get it. Empty for a full map.
	Missing string
}

// Single reports whether only one uid and gid are mapped.
func (m Map) Single() bool { return m.Missing != "" }

// Plan finds the ids that this user may map: the ranges of subuid(5) and subgid(5)
// through newuidmap(1), or else the user's own id alone. It starts no program
// unless the files have no entry and getsubids(1) can be asked for other sources.
func Plan() Map {
	uid, gid := os.Geteuid(), os.Getegid()
	single := Map{UIDs: []Range{{0, uid, 1}}, GIDs: []Range{{0, gid, 1}}}
	name := strconv.Itoa(uid)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	for _, program := range []string{"newuidmap", "newgidmap"} {
		if helperPath(program) == "" {
			single.Missing = fmt.Sprintf("%s is not installed, so only your own id exists in containers; install it (Debian: apt install uidmap)", program)
			return single
		}
	}
	subuids, subgids, err := idtools.GetSubIDRanges(uid, name)
	if err != nil || len(subuids) == 0 || len(subgids) == 0 {
		if _, lookErr := exec.LookPath("getsubids"); lookErr == nil {
			subuids, subgids, err = dynidtools.GetSubIDRanges(uid, name)
		}
	}
	if err != nil || len(subuids) == 0 || len(subgids) == 0 {
		single.Missing = fmt.Sprintf("no subordinate ids for %s in /etc/subuid and /etc/subgid, so only your own id exists in containers; run as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 %s", name, name)
		return single
	}
	return Map{UIDs: append(single.UIDs, ranges(subuids)...), GIDs: append(single.GIDs, ranges(subgids)...)}
}

func ranges(sub []idtools.SubIDRange) []Range {
	next, out := 1, make([]Range, 0, len(sub))
	for _, s := range sub {
		out = append(out, Range{Inside: next, Outside: s.Start, Size: s.Length})
		next += s.Length
	}
	return out
}

// helperPath finds a set-uid helper, also where PATH lacks the sbin directories.
func helperPath(name string) string {
	if p, err := exec.LookPath(name); err == nil {
		return p
	}
	for _, dir := range []string{"/usr/bin", "/usr/sbin", "/sbin"} {
		p := filepath.Join(dir, name)
		if st, err := os.Stat(p); err == nil && st.Mode()&0o111 != 0 {
			return p
		}
	}
	return ""
}

// write gives process pid its maps. With a single id it writes the files itself
// (setgroups(2) is shut first, as the kernel demands and as CVE-2014-8989 teaches);
// otherwise the set-uid helpers do, both at once.
func (m Map) write(pid int) error {
	if m.Single() {
		proc := fmt.Sprintf("/proc/%d/", pid)
		for _, f := range []struct{ name, text string }{
			{"setgroups", "deny"}, {"gid_map", line(m.GIDs[0])}, {"uid_map", line(m.UIDs[0])},
		} {
			if err := os.WriteFile(proc+f.name, []byte(f.text), 0); err != nil && !(f.name == "setgroups" && errors.Is(err, os.ErrNotExist)) {
				return fmt.Errorf("writing the id map: %w", err)
			}
		}
		return nil
	}
	gids := make(chan error, 1)
	go func() { gids <- runHelper("newgidmap", pid, m.GIDs) }()
	return errors.Join(runHelper("newuidmap", pid, m.UIDs), <-gids)
}

func line(r Range) string { return fmt.Sprintf("%d %d %d", r.Inside, r.Outside, r.Size) }

func runHelper(name string, pid int, rs []Range) error {
	args := []string{strconv.Itoa(pid)}
	for _, r := range rs {
		args = append(args, strconv.Itoa(r.Inside), strconv.Itoa(r.Outside), strconv.Itoa(r.Size))
	}
	out, err := exec.Command(helperPath(name), args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mapping ids: %s %v: %w: %s", name, args, err, firstLine(out))
	}
	return nil
}

func firstLine(b []byte) string {
	for i, c := range b {
		if c == '\n' {
			return string(b[:i])
		}
	}
	return string(b)
}
