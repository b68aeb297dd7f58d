package spec

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	rspec "github.com/opencontainers/runtime-spec/specs-go"

	"ctr/libpod/config"
)

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func (b *builder) process() error {
	argv := b.c.Argv()
	if len(argv) == 0 {
		return errors.New("no command specified")
	}
	if b.c.Init && b.private(rspec.PIDNamespace) { // elsewhere PID 1 is another's
		argv = append([]string{InitPath, "--"}, argv...)
	}
	p := b.g.Config.Process
	p.Args = argv
	p.Cwd = b.c.WorkingDir
	if p.Cwd == "" {
		p.Cwd = "/"
	}
	p.Terminal = b.c.TTY
	p.NoNewPrivileges = b.c.Security.NoNewPrivileges
	p.User = processUser(b.User, b.singleID())
	p.Env = withHome(environment(b.c, b.c.TTY, b.Host), b.User.Home)
	if profile := b.c.Security.AppArmor; profile != "unconfined" {
		p.ApparmorProfile = profile
	}
	if adj := b.c.OOMScoreAdj; adj != nil {
		score := *adj
		if b.Host.Confined { // only the host's root may make itself less likely to be killed
			score = max(score, b.Host.OOMScoreAdj)
		}
		p.OOMScoreAdj = &score
	}
	return nil
}

// processUser is a user in the spec's form. With a single id there is no other id to
// become and setgroups is forbidden, so neither user nor groups remain.
func processUser(u User, singleID bool) rspec.User {
	if singleID {
		return rspec.User{}
	}
	groups := []uint32{u.GID}
	for _, g := range u.Groups {
		if !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	return rspec.User{UID: u.UID, GID: u.GID, AdditionalGids: groups}
}

// environment is Docker's: PATH, HOSTNAME, with a terminal TERM, then the container's.
// ctr's own environment is never looked at, whatever an entry says.
func environment(c *config.Container, tty bool, h Host) []string {
	env := []string{defaultPath, "HOSTNAME=" + hostname(c, h)}
	if tty {
		env = append(env, "TERM=xterm")
	}
	return mergeEnv(env, c.Env)
}

// mergeEnv lays entries over env. A KEY alone takes the variable away. What cannot
// be a variable (no name, a NUL) is left out: it can only come from an image.
func mergeEnv(env, entries []string) []string {
	for _, entry := range entries {
		key, _, hasValue := strings.Cut(entry, "=")
		if key == "" || strings.Contains(entry, "\x00") {
			continue
		}
		i := slices.IndexFunc(env, func(e string) bool {
			return len(e) > len(key) && e[len(key)] == '=' && e[:len(key)] == key
		})
		switch {
		case hasValue && i < 0:
			env = append(env, entry)
		case hasValue:
			env[i] = entry
		case i >= 0:
			env = slices.Delete(env, i, i+1)
		}
	}
	return env
}

// withHome adds HOME when env has none, or an empty one.
func withHome(env []string, home string) []string {
	if home == "" {
		home = "/"
	}
	i := slices.IndexFunc(env, func(e string) bool { return strings.HasPrefix(e, "HOME=") })
	switch {
	case i < 0:
		return append(env, "HOME="+home)
	case env[i] == "HOME=":
		env[i] = "HOME=" + home
	}
	return env
}

func (b *builder) rlimits() error {
	for _, u := range b.c.Ulimits {
		if err := config.CheckUlimit(u); err != nil {
			return err
		}
		soft, hard := limit(u.Soft), limit(u.Hard)
		if ours, known := b.Host.HardLimits[u.Name]; known && b.Host.Confined && hard > ours {
			return fmt.Errorf("--ulimit %s: hard limit %s is above ctr's own of %s, which only root can raise (limits.conf, or systemd's Limit settings)",
				u.Name, limitWord(hard), limitWord(ours))
		}
		b.g.AddProcessRlimits("RLIMIT_"+strings.ToUpper(u.Name), hard, soft)
	}
	return nil
}

func limit(n int64) uint64 {
	if n == -1 {
		return math.MaxUint64
	}
	return uint64(n)
}

func limitWord(n uint64) string {
	if n == math.MaxUint64 {
		return "unlimited"
	}
	return fmt.Sprint(n)
}
