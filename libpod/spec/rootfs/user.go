// Package rootfs looks into a container's root file system before the container runs.
//
// The files there belong to whoever made the image and may be built to harm: they are
// reached only by paths that cannot leave the root, opened only when they are regular
// files, and read only up to a bound. Everything here runs in the monitor's mount
// namespace, with root the directory where the container's root is mounted.
package rootfs

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ctr/libpod/spec"
)

// maxID is the highest user or group id; what is above turns negative, and into 0, in programs with a 32-bit int.
const maxID = 1<<31 - 1

// ResolveUser finds the user of a container, or of an exec, in the container's
// /etc/passwd and /etc/group. user is name|uid[:group|gid]; "" is uid 0. A word that
// is a number is an id, whatever names the files contain, and needs no entry there.
// groupAdd are further groups by name or id. Supplementary groups come from
// /etc/group unless user names a group. Errors are Docker's, one line.
func ResolveUser(root, user string, groupAdd []string) (spec.User, error) {
	userWord, groupWord, _ := strings.Cut(user, ":")
	if strings.Contains(groupWord, ":") {
		return spec.User{}, fmt.Errorf("invalid user %q: it has more than one colon, use name|uid[:group|gid]", user)
	}
	dir, err := openRoot(root)
	if err != nil {
		return spec.User{}, err
	}
	defer dir.Close()
	passwd, err := readBounded(dir, "/etc/passwd")
	if err != nil {
		return spec.User{}, err
	}
	group, err := readBounded(dir, "/etc/group")
	if err != nil {
		return spec.User{}, err
	}
	return resolve(userWord, groupWord, groupAdd, passwd, group)
}

func resolve(userWord, groupWord string, groupAdd []string, passwd, group []byte) (spec.User, error) {
	name, u, err := findUser(userWord, passwd)
	if err != nil {
		return spec.User{}, err
	}
	if groupWord != "" {
		if u.GID, err = findGroup(groupWord, group); err != nil {
			return spec.User{}, err
		}
	} else if name != "" {
		if u.Groups, err = memberships(name, group); err != nil {
			return spec.User{}, err
		}
	}
	for _, word := range groupAdd {
		gid, err := findGroup(word, group)
		if err != nil {
			return spec.User{}, err
		}
		if !slices.Contains(u.Groups, gid) {
			u.Groups = append(u.Groups, gid)
		}
	}
	if u.Home == "" || !strings.HasPrefix(u.Home, "/") {
		u.Home = "/"
	}
	return u, nil
}

// findUser returns the user and the name of its entry, "" when it has none.
func findUser(word string, passwd []byte) (name string, u spec.User, err error) {
	if word == "" {
		word = "0"
	}
	id, numeric, err := parseID(word)
	if err != nil {
		return "", u, fmt.Errorf("user %s: %w", word, err)
	}
	for fields := range entries(passwd, 7) {
		uid, uidErr := entryID(fields[2])
		if numeric && (uidErr != nil || uid != id) || !numeric && fields[0] != word {
			continue
		}
		gid, gidErr := entryID(fields[3])
		if err := errors.Join(uidErr, gidErr); err != nil {
			return "", u, fmt.Errorf("user %s in the container's /etc/passwd: %w", word, firstLine(err))
		}
		return fields[0], spec.User{UID: uid, GID: gid, Home: fields[5]}, nil
	}
	if !numeric {
		return "", u, fmt.Errorf("unable to find user %s: no matching entries in passwd file", word)
	}
	return "", spec.User{UID: id}, nil
}

func findGroup(word string, group []byte) (uint32, error) {
	id, numeric, err := parseID(word)
	if err != nil {
		return 0, fmt.Errorf("group %s: %w", word, err)
	}
	if numeric {
		return id, nil
	}
	for fields := range entries(group, 4) {
		if fields[0] == word {
			gid, err := entryID(fields[2])
			if err != nil {
				return 0, fmt.Errorf("group %s in the container's /etc/group: %w", word, err)
			}
			return gid, nil
		}
	}
	return 0, fmt.Errorf("unable to find group %s: no matching entries in group file", word)
}

// memberships are the groups that list a user.
func memberships(name string, group []byte) ([]uint32, error) {
	var gids []uint32
	seen := map[uint32]bool{}
	for fields := range entries(group, 4) {
		if !slices.Contains(strings.Split(fields[3], ","), name) {
			continue
		}
		gid, err := entryID(fields[2])
		if err != nil {
			return nil, fmt.Errorf("group %s in the container's /etc/group: %w", fields[0], err)
		}
		if seen[gid] {
			continue
		}
		seen[gid] = true
		if gids = append(gids, gid); len(gids) > maxGroups {
			return nil, fmt.Errorf("user %s is in more than %d groups of the container's /etc/group", name, maxGroups)
		}
	}
	return gids, nil
}

// maxGroups is how many supplementary groups the kernel lets a process have.
const maxGroups = 65536

// entries yields the lines of a passwd or group file, cut into n fields; missing ones are "".
func entries(data []byte, n int) func(func([]string) bool) {
	return func(yield func([]string) bool) {
		for line := range strings.Lines(string(data)) {
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			fields := make([]string, n)
			copy(fields, strings.SplitN(line, ":", n))
			if !yield(fields) {
				return
			}
		}
	}
}

var errRange = fmt.Errorf("uids and gids must be in range 0-%d", maxID)

// parseID reads a word of --user. A number that is too large is an error, never a name.
func parseID(word string) (id uint32, numeric bool, err error) {
	n, err := strconv.Atoi(word)
	switch {
	case errors.Is(err, strconv.ErrSyntax):
		return 0, false, nil
	case err != nil || n < 0 || n > maxID:
		return 0, true, errRange
	}
	return uint32(n), true, nil
}

// entryID reads an id of a passwd or group file. What is no number is an error: read as 0 it would be root.
func entryID(field string) (uint32, error) {
	id, numeric, err := parseID(field)
	if err == nil && !numeric {
		err = fmt.Errorf("%q is no id", field)
	}
	return id, err
}

func firstLine(err error) error {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return errors.New(line)
}
