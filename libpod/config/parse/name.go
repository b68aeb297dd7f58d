package parse

import "ctr/libpod/config"

// Name reads a --name: two characters or more of those that Docker allows. A
// leading slash, as inspect shows it, is dropped.
func Name(s string) (string, error) {
	if len(s) > 1 && s[0] == '/' {
		s = s[1:]
	}
	return s, config.CheckName(s)
}

// User reads a --user: name|uid[:group|gid].
func User(s string) (string, error) { return s, config.CheckUser(s) }

// Hostname reads a --hostname or --domainname.
func Hostname(s string) (string, error) { return s, config.CheckHostname(s) }
