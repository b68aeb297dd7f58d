package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"ctr/pkg/paths"
	"ctr/pkg/toml"
)

// confEnv names a storage.conf to read instead of the usual ones; with _OVERRIDE
// appended, one to read after them.
const confEnv = "CONTAINERS_STORAGE_CONF"

// settings is what storage.conf says, as far as reading a store needs it.
type settings struct {
	driver, graphRoot, rootlessPath, imageStore string
	additional                                  []string
	mountProgram                                string
}

// loadSettings reads the files that containers/storage reads, in its order, for
// the user whose containers these are: one main file, then the drop-ins.
func loadSettings() (settings, error) {
	var s settings
	uid := paths.RootlessUID()
	files, err := configFiles(uid)
	if err != nil {
		return s, err
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return s, fmt.Errorf("reading the storage configuration: %w", err)
		}
		if err := toml.Parse(string(data), s.set); err != nil {
			return s, fmt.Errorf("reading %s: %w", file, err)
		}
	}
	s.environment()
	return s, s.locate(uid)
}

func (s *settings) set(key string, v toml.Value) {
	switch key {
	case "storage.driver":
		s.driver = v.Scalar
	case "storage.graphroot":
		s.graphRoot = v.Scalar
	case "storage.rootless_storage_path":
		s.rootlessPath = v.Scalar
	case "storage.imagestore":
		s.imageStore = v.Scalar
	case "storage.options.additionalimagestores":
		if !v.Append {
			s.additional = nil
		}
		s.additional = append(s.additional, v.List...)
	case "storage.options.mount_program", "storage.options.overlay.mount_program":
		s.mountProgram = v.Scalar
	}
}

// environment applies the variables that win over the files.
func (s *settings) environment() {
	if driver := os.Getenv("STORAGE_DRIVER"); driver != "" {
		s.driver = driver
	}
	options, set := os.LookupEnv("STORAGE_OPTS")
	if !set {
		return
	}
	s.additional, s.mountProgram = nil, ""
	for option := range strings.SplitSeq(options, ",") {
		key, value, _ := strings.Cut(option, "=")
		_, key, found := strings.Cut(key, ".")
		if !found {
			key, _, _ = strings.Cut(option, "=")
		}
		switch key {
		case "imagestore", "additionalimagestore":
			s.additional = append(s.additional, value)
		case "mount_program":
			s.mountProgram = value
		}
	}
}

// locate settles where the store is.
func (s *settings) locate(uid int) error {
	if s.driver == "overlay2" {
		s.driver = "overlay"
	}
	switch {
	case s.graphRoot != "":
		s.graphRoot = expand(s.graphRoot, uid)
	case uid != 0 && s.rootlessPath != "":
		s.graphRoot = expand(s.rootlessPath, uid)
	case uid != 0:
		data := os.Getenv("XDG_DATA_HOME")
		if data == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return fmt.Errorf("finding the image store: %w; set HOME or XDG_DATA_HOME", err)
			}
			data = filepath.Join(home, ".local/share")
		}
		s.graphRoot = filepath.Join(data, "containers/storage")
	default:
		s.graphRoot = "/var/lib/containers/storage"
	}
	return nil
}

func expand(path string, uid int) string {
	path = os.ExpandEnv(strings.ReplaceAll(path, "$UID", strconv.Itoa(uid)))
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return filepath.Clean(path)
}

// configFiles lists the files to read, the ones that win last.
func configFiles(uid int) ([]string, error) {
	files := []string{}
	if file := os.Getenv(confEnv); file != "" {
		files = append(files, file)
	} else {
		user := os.Getenv("XDG_CONFIG_HOME")
		if user == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return nil, fmt.Errorf("finding storage.conf: %w; set HOME or XDG_CONFIG_HOME", err)
			}
			user = filepath.Join(home, ".config")
		}
		user = filepath.Join(user, "containers/storage")
		for _, main := range []string{user, "/etc/containers/storage", "/usr/share/containers/storage"} {
			if _, err := os.Lstat(main + ".conf"); err == nil {
				files = append(files, main+".conf")
				break
			}
		}
		dropIns, err := dropIns(user, uid)
		if err != nil {
			return nil, err
		}
		files = append(files, dropIns...)
	}
	if file := os.Getenv(confEnv + "_OVERRIDE"); file != "" {
		files = append(files, file)
	}
	return files, nil
}

// dropIns lists the *.conf files of the drop-in directories by name; of two with
// the same name, the one in the directory nearer to the user counts.
func dropIns(user string, uid int) ([]string, error) {
	dirs := []string{}
	for _, main := range []string{"/usr/share/containers/storage", "/etc/containers/storage"} {
		kind := ".rootful"
		if uid != 0 {
			kind = ".rootless"
		}
		dirs = append(dirs, main+".conf.d", main+kind+".conf.d")
		if uid != 0 {
			dirs = append(dirs, main+kind+".conf.d/"+strconv.Itoa(uid))
		}
	}
	byName := map[string]string{}
	for _, dir := range append(dirs, user+".conf.d") {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading the storage configuration: %w", err)
		}
		for _, entry := range entries {
			if !entry.IsDir() && strings.HasSuffix(entry.Name(), ".conf") {
				byName[entry.Name()] = filepath.Join(dir, entry.Name())
			}
		}
	}
	names := []string{}
	for name := range byName {
		names = append(names, name)
	}
	sort.Strings(names)
	for i, name := range names {
		names[i] = byName[name]
	}
	return names, nil
}
