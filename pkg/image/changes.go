package image

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.podman.io/image/v5/manifest"
)

// ParseChanges makes an image's configuration of Dockerfile instructions: CMD,
// ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and
// WORKDIR. Later ones win. Any other instruction is an error.
func ParseChanges(changes []string) (*manifest.Schema2Config, error) {
	c := &manifest.Schema2Config{}
	for _, change := range changes {
		if err := apply(c, change); err != nil {
			return nil, fmt.Errorf("invalid change %q: %w", change, err)
		}
	}
	return c, nil
}

func apply(c *manifest.Schema2Config, change string) error {
	name, rest, _ := strings.Cut(strings.TrimSpace(change), " ")
	rest = strings.TrimSpace(rest)
	name = strings.ToUpper(name)
	if rest == "" {
		return fmt.Errorf("%s requires at least one argument", name)
	}
	switch name {
	case "CMD":
		c.Cmd = command(rest)
	case "ENTRYPOINT":
		c.Entrypoint = command(rest)
	case "ENV":
		return pairs(rest, func(k, v string) { c.Env = setEnv(c.Env, k, v) })
	case "LABEL":
		if c.Labels == nil {
			c.Labels = map[string]string{}
		}
		return pairs(rest, func(k, v string) { c.Labels[k] = v })
	case "EXPOSE":
		return expose(c, strings.Fields(rest))
	case "VOLUME":
		if c.Volumes == nil {
			c.Volumes = map[string]struct{}{}
		}
		for _, v := range listOf(rest) {
			c.Volumes[v] = struct{}{}
		}
	case "WORKDIR":
		c.WorkingDir = absolute(c.WorkingDir, rest)
	case "USER":
		c.User = rest
	case "STOPSIGNAL":
		c.StopSignal = rest
	case "ONBUILD":
		c.OnBuild = append(c.OnBuild, rest)
	case "HEALTHCHECK":
		return healthcheck(c, rest)
	default:
		return fmt.Errorf("%s is not one of CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR", name)
	}
	return nil
}

// command is the exec form (a JSON list) or else the shell form of a command.
func command(text string) []string {
	var list []string
	if json.Unmarshal([]byte(text), &list) == nil {
		return list
	}
	return []string{"/bin/sh", "-c", text}
}

func listOf(text string) []string {
	var list []string
	if json.Unmarshal([]byte(text), &list) == nil {
		return list
	}
	return strings.Fields(text)
}

func absolute(base, dir string) string {
	if strings.HasPrefix(dir, "/") {
		return dir
	}
	return strings.TrimSuffix(base, "/") + "/" + dir
}

func setEnv(env []string, key, value string) []string {
	env = slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, key+"=") })
	return append(env, key+"="+value)
}

func expose(c *manifest.Schema2Config, ports []string) error {
	if c.ExposedPorts == nil {
		c.ExposedPorts = manifest.Schema2PortSet{}
	}
	for _, p := range ports {
		number, protocol, ok := strings.Cut(p, "/")
		if !ok {
			protocol = "tcp"
		}
		if n, err := strconv.ParseUint(number, 10, 16); err != nil || n == 0 || !slices.Contains([]string{"tcp", "udp", "sctp"}, protocol) {
			return fmt.Errorf("invalid port %q", p)
		}
		c.ExposedPorts[manifest.Schema2Port(number+"/"+protocol)] = struct{}{}
	}
	return nil
}

// pairs reads key=value words, or the old form "key the value".
func pairs(text string, set func(key, value string)) error {
	words, err := split(text)
	if err != nil {
		return err
	}
	if !strings.Contains(words[0], "=") {
		key, value, _ := strings.Cut(text, " ")
		if value = strings.TrimSpace(value); value == "" {
			return fmt.Errorf("%q has no value", key)
		}
		set(key, value)
		return nil
	}
	for _, w := range words {
		key, value, ok := strings.Cut(w, "=")
		if !ok || key == "" {
			return fmt.Errorf("can't find = in %q", w)
		}
		set(key, value)
	}
	return nil
}

// split cuts text into words as a shell does, with quotes and backslashes.
func split(text string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote rune
	inWord, escaped := false, false
	for _, r := range text {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, inWord = true, true
		case quote != 0:
			if r == quote {
				quote = 0
			} else {
				word.WriteRune(r)
			}
		case r == '"' || r == '\'':
			quote, inWord = r, true
		case r == ' ' || r == '\t':
			if inWord {
				words = append(words, word.String())
				word.Reset()
			}
			inWord = false
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if quote != 0 || escaped {
		return nil, fmt.Errorf("unexpected end of %q", text)
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

// healthcheck reads "NONE" or "[--interval=… …] CMD command".
func healthcheck(c *manifest.Schema2Config, text string) error {
	h := &manifest.Schema2HealthConfig{}
	for strings.HasPrefix(text, "--") {
		option, rest, _ := strings.Cut(text, " ")
		text = strings.TrimSpace(rest)
		if err := healthOption(h, option); err != nil {
			return err
		}
	}
	kind, rest, _ := strings.Cut(text, " ")
	rest = strings.TrimSpace(rest)
	var list []string
	switch {
	case strings.EqualFold(kind, "NONE"):
		h.Test = []string{"NONE"}
	case !strings.EqualFold(kind, "CMD") || rest == "":
		return fmt.Errorf("HEALTHCHECK wants NONE or CMD with a command")
	case json.Unmarshal([]byte(rest), &list) == nil:
		h.Test = append([]string{"CMD"}, list...)
	default:
		h.Test = []string{"CMD-SHELL", rest}
	}
	c.Healthcheck = h
	return nil
}

func healthOption(h *manifest.Schema2HealthConfig, option string) error {
	name, value, _ := strings.Cut(option, "=")
	if name == "--retries" {
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return fmt.Errorf("invalid value %q for %s", value, name)
		}
		h.Retries = n
		return nil
	}
	targets := map[string]*time.Duration{
		"--interval": &h.Interval, "--timeout": &h.Timeout, "--start-period": &h.StartPeriod, "--start-interval": &h.StartInterval,
	}
	target, ok := targets[name]
	if !ok {
		return fmt.Errorf("unknown option %s", name)
	}
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 {
		return fmt.Errorf("invalid value %q for %s", value, name)
	}
	*target = d
	return nil
}
