package verbs

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ctr/libpod"
)

// preservedFiles are the descriptors from 3 on that we were started with. One that
// closes on exec is none of them: it is our own.
func preservedFiles(n int) ([]*os.File, error) {
	if n < 0 {
		return nil, errors.New("--preserve-fds cannot be negative")
	}
	var files []*os.File
	for fd := 3; fd < 3+n; fd++ {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			return nil, fmt.Errorf("file descriptor %d is not open, so --preserve-fds %d cannot pass it on", fd, n)
		}
		files = append(files, os.NewFile(uintptr(fd), fmt.Sprintf("fd%d", fd)))
	}
	return files, nil
}

// noticeOnce tells the user what this machine lacks, the same thing once until the
// next boot: a file in the run directory remembers.
func (p *program) noticeOnce(runtime *libpod.Runtime) func(string) {
	return func(notice string) {
		sum := fnv.New64a()
		sum.Write([]byte(notice))
		f, err := os.OpenFile(filepath.Join(runtime.Run(), fmt.Sprintf("noticed-%x", sum.Sum64())), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return
		}
		if err == nil {
			f.Close()
		}
		fmt.Fprintf(p.Err, "%s: %s\n", p.name, notice)
	}
}
