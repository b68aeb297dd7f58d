// Package paths says where ctr keeps its files. It follows the XDG base directory
// specification for ordinary users and the file hierarchy standard for root.
package paths

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// RootlessUIDEnv names the variable in which a process inside ctr's user namespace
// (where every user is uid 0) finds the uid of the user who started it. It is
// containers/storage's, so that its libraries find the user's store there too.
const RootlessUIDEnv = "_CONTAINERS_ROOTLESS_UID"

// RootlessUID is the uid of the user whose containers these are: the caller's, or
// inside ctr's user namespace that of the user who entered it.
func RootlessUID() int {
	if uid, err := strconv.Atoi(os.Getenv(RootlessUIDEnv)); err == nil && os.Getuid() == 0 {
		return uid
	}
	return os.Getuid()
}

// Data is the directory of what must survive a reboot: containers, volumes, events.
// It is not created. CTR_ROOT overrides it.
func Data() (string, error) {
	if dir := os.Getenv("CTR_ROOT"); dir != "" {
		return filepath.Abs(dir)
	}
	if RootlessUID() == 0 {
		return "/var/lib/ctr", nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "ctr"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding the data directory: %w; set HOME or XDG_DATA_HOME", err)
	}
	return filepath.Join(home, ".local/share/ctr"), nil
}

// Run is the directory of what a reboot ends: sockets and run state. It exists on
// return, belongs to the user and is closed to others; CTR_RUNROOT overrides its place.
// Where XDG_RUNTIME_DIR is not set, /run/user/UID is used if it is the user's, else
// a directory in /tmp. A directory that is somebody else's, or open to others, is an error.
func Run() (string, error) {
	uid := RootlessUID()
	dir, err := runDir(uid)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("making the run directory: %w; set XDG_RUNTIME_DIR to a directory that you can write", err)
	}
	st, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("checking the run directory: %w", err)
	}
	switch sys := st.Sys().(*syscall.Stat_t); {
	case !st.IsDir():
		return "", fmt.Errorf("run directory %s is not a directory; remove it", dir)
	case int(sys.Uid) != os.Getuid():
		return "", fmt.Errorf("run directory %s belongs to uid %d, not to you (uid %d); set XDG_RUNTIME_DIR to a directory of your own", dir, sys.Uid, os.Getuid())
	case st.Mode().Perm()&0o077 != 0:
		return "", fmt.Errorf("run directory %s is open to other users; run: chmod 700 %s", dir, dir)
	}
	return dir, nil
}

func runDir(uid int) (string, error) {
	if dir := os.Getenv("CTR_RUNROOT"); dir != "" {
		return filepath.Abs(dir)
	}
	if uid == 0 {
		return "/run/ctr", nil
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		if !filepath.IsAbs(dir) {
			return "", fmt.Errorf("XDG_RUNTIME_DIR %q is not an absolute path", dir)
		}
		st, err := os.Stat(dir)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return "", fmt.Errorf("XDG_RUNTIME_DIR %s does not exist; log in through a session manager, or create it with mode 700", dir)
		case err != nil:
			return "", fmt.Errorf("checking XDG_RUNTIME_DIR: %w", err)
		case int(st.Sys().(*syscall.Stat_t).Uid) != os.Getuid():
			return "", fmt.Errorf("XDG_RUNTIME_DIR %s belongs to another user (uid %d); unset it or set it to your own", dir, st.Sys().(*syscall.Stat_t).Uid)
		}
		return filepath.Join(dir, "ctr"), nil
	}
	dir := fmt.Sprintf("/run/user/%d", uid)
	if st, err := os.Stat(dir); err == nil && int(st.Sys().(*syscall.Stat_t).Uid) == os.Getuid() {
		return filepath.Join(dir, "ctr"), nil
	}
	return fmt.Sprintf("/tmp/ctr-run-%d", uid), nil
}

// FullProgram is the name of the program with the heavy verbs linked in.
const FullProgram = "ctr-full"

// Full is the path of that program: beside this one, or in the libexec directory of
// the same installation. The error says how to install it.
func Full() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding this program's directory: %w", err)
	}
	dir := filepath.Dir(self)
	for _, path := range []string{filepath.Join(dir, FullProgram), filepath.Join(dir, "../libexec/ctr", FullProgram)} {
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed beside %s; install both programs (make install)", FullProgram, self)
}
