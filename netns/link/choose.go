package link

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ctr/pkg/paths"
	"ctr/pkg/toml"
)

// The links. Builtin connects the hub only, the others also single containers.
const (
	Pasta       = "pasta"
	Slirp4netns = "slirp4netns"
	Builtin     = "builtin"
)

// order is the links that the hub may have, best first, by measurement: docs/networking.md.
var order = []string{Builtin, Pasta, Slirp4netns}

// chooseEnv names the link that is wanted, before what containers.conf says.
const chooseEnv = "CTR_NETWORK_LINK"

// AskedError says that the link that somebody named cannot be had: no other is taken
// in its place.
type AskedError struct{ Err error }

func (e *AskedError) Error() string { return e.Err.Error() }

// Unwrap is the reason.
func (e *AskedError) Unwrap() error { return e.Err }

// choice is the link to use.
type choice struct {
	link string
	note string // why a better one is passed over, for the user; usually empty
	// chosen says that the user named it: then it is that one or an error.
	chosen bool
}

// choose takes the link that was asked for, by the caller, the environment or
// containers.conf, or else the best that this machine has.
func choose(wanted string) (choice, error) {
	wanted, by, note, err := wish(wanted)
	if err != nil {
		return choice{}, err
	}
	if wanted != "" {
		if !slices.Contains(order, wanted) {
			return choice{}, &AskedError{fmt.Errorf("unknown network link %q%s: use %s", wanted, by, strings.Join(order, ", "))}
		}
		if err := unavailable(wanted); err != nil {
			return choice{}, &AskedError{fmt.Errorf("%w%s", err, by)}
		}
		return choice{link: wanted, note: note, chosen: true}, nil
	}
	c, err := bestOf(order)
	if note != "" && c.note == "" {
		c.note = note
	}
	return c, err
}

// bestOf is the first link that is available.
func bestOf(links []string) (choice, error) {
	var passed []error
	for _, name := range links {
		err := unavailable(name)
		if err == nil {
			return choice{link: name, note: noteOn(name, passed)}, nil
		}
		passed = append(passed, err)
	}
	return choice{}, fmt.Errorf("no network link works (%s)", joinLines(passed))
}

func noteOn(used string, passed []error) string {
	if len(passed) == 0 {
		return ""
	}
	return fmt.Sprintf("network through %s, because %s", used, joinLines(passed))
}

func joinLines(errs []error) string {
	words := make([]string, len(errs))
	for i, err := range errs {
		words[i] = err.Error()
	}
	return strings.Join(words, "; ")
}

// wish is the link that was asked for, "" for none, and by what, as the end of a sentence.
func wish(wanted string) (name, by, note string, err error) {
	if wanted != "" {
		return wanted, "", "", nil
	}
	if name := os.Getenv(chooseEnv); name != "" {
		return name, ", which the variable " + chooseEnv + " asks for", "", nil
	}
	files, err := confFiles()
	if err != nil {
		return "", "", "", err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				note = fmt.Sprintf("which network link to use is not known for sure: %v", err)
			}
			continue
		}
		err = toml.Parse(string(text), func(key string, v toml.Value) {
			if key == "network.default_rootless_network_cmd" && v.Scalar != "" {
				name, by = v.Scalar, ", which default_rootless_network_cmd in "+file+" asks for"
			}
		})
		if err != nil { // perhaps TOML that the small reader does not know
			note = fmt.Sprintf("the rest of %s is ignored: %v", file, err)
		}
	}
	return name, by, note, nil
}

// confFiles lists the files of containers.conf(5), those that win last. Most do not exist.
func confFiles() ([]string, error) {
	var files []string
	if file := os.Getenv("CONTAINERS_CONF"); file != "" {
		files = append(files, file)
	} else {
		user := os.Getenv("XDG_CONFIG_HOME")
		if home, err := os.UserHomeDir(); user == "" && err == nil {
			user = filepath.Join(home, ".config")
		}
		dirs := []string{"/usr/share/containers", "/etc/containers"}
		if user != "" && paths.RootlessUID() != 0 {
			dirs = append(dirs, filepath.Join(user, "containers"))
		}
		for _, dir := range dirs {
			files = append(files, dir+"/containers.conf")
			more, err := filepath.Glob(dir + "/containers.conf.d/*.conf") // sorted
			if err != nil {
				return nil, fmt.Errorf("listing %s/containers.conf.d: %w", dir, err)
			}
			files = append(files, more...)
		}
	}
	if file := os.Getenv("CONTAINERS_CONF_OVERRIDE"); file != "" {
		files = append(files, file)
	}
	return files, nil
}

// Available says of each link that the hub may have why it cannot be used, "" when
// it can. It reads files only; the processor time is a millisecond.
func Available() map[string]string {
	found := make(map[string]string, len(order))
	for _, name := range order {
		found[name] = ""
		if err := unavailable(name); err != nil {
			found[name] = err.Error()
		}
	}
	return found
}

// Order is the names of the links that the hub may have, best first.
func Order() []string { return slices.Clone(order) }

// unavailable is why a link cannot be used here; nil when it can.
func unavailable(name string) error {
	if name == Builtin {
		return nil // also without a TUN device
	}
	if _, err := program(name); err != nil {
		return err
	}
	return checkTun()
}

// program finds the program of a link.
//
// A pasta from before August 2024 (Debian 12, Ubuntu 24.04) is not used: Debian
// 12's lets crafted packets through to the host's loopback, never tells the
// container that a connection was refused, and stalls in large transfers.
func program(name string) (string, error) {
	packaged := map[string]string{Pasta: "passt", Slirp4netns: "slirp4netns"}[name]
	path, err := exec.LookPath(name)
	if err != nil {
		return "", missingError{name: name, why: "not installed; Debian: apt install " + packaged}
	}
	if name == Pasta && lacksOption(path, "map-host-loopback") {
		return "", missingError{name: name, why: path + " is from before August 2024, which does not keep the host's loopback safe; install a newer one"}
	}
	return path, nil
}

// missingError says that a link's program is not there, or of no use, and why.
type missingError struct{ name, why string }

func (e missingError) Error() string {
	return fmt.Sprintf("network link %s is not available (%s)", e.name, e.why)
}

// lacksOption reports whether a program does not know an option, by the words in
// it: to run it and see costs 20 times as much as to read it. A script may stand
// for anything and is given the benefit of the doubt.
func lacksOption(path, option string) bool {
	text, err := os.ReadFile(path)
	return err == nil && bytes.HasPrefix(text, []byte("\x7fELF")) && !bytes.Contains(text, []byte(option))
}

// checkTun reports why the device that pasta and slirp4netns need cannot be used.
func checkTun() error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	switch {
	case err == nil:
		return unix.Close(fd)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("opening /dev/net/tun, which this network link needs: %w; run as root: chmod 666 /dev/net/tun", err)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV):
		return fmt.Errorf("opening /dev/net/tun, which this network link needs: %w; run as root: modprobe tun (inside a container, start that with --device /dev/net/tun)", err)
	}
	return fmt.Errorf("opening /dev/net/tun, which this network link needs: %w", err)
}
