package tree

import (
	"context"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Copy fills the empty directory dst with the content of src, and gives dst src's
// own attributes: owners, modes, extended attributes, times, links between files
// within the tree, holes. What the caller's namespace cannot give (owners that are
// not mapped, device nodes, some extended attributes) is left out. The caller closes
// both files; dst must be the caller's alone until Copy returns.
func Copy(ctx context.Context, dst, src *os.File) error {
	return merge(ctx, dst, []*os.File{src}, false)
}

// Merge is [Copy] for the directories of an overlay, top first: dst becomes what
// overlay would show.
func Merge(ctx context.Context, dst *os.File, layers []*os.File) error {
	return merge(ctx, dst, layers, true)
}

func merge(ctx context.Context, dst *os.File, sources []*os.File, layered bool) error {
	c := copier{ctx: ctx, layered: layered, top: int(dst.Fd()), links: map[inode]string{}}
	var fds []int
	for _, src := range sources {
		fds = append(fds, int(src.Fd()))
	}
	if err := c.dir(c.top, fds, ""); err != nil {
		return fmt.Errorf("copying %s: %w", sources[0].Name(), err)
	}
	return nil
}

type copier struct {
	ctx     context.Context
	layered bool             // whiteouts and opaque directories mean something
	top     int              // the destination's root
	links   map[inode]string // where files with several names went, relative to top
}

// dir fills dst from directories that are open as srcs, top first.
func (c *copier) dir(dst int, srcs []int, path string) error {
	for i := 0; c.layered && i < len(srcs); i++ {
		if isOpaque(srcs[i]) {
			srcs = srcs[:i+1]
		}
	}
	done := map[string]bool{}
	for i, src := range srcs {
		entries, err := readAll(src)
		if err != nil {
			return step("read", path, err)
		}
		hidden := []string{}
		for _, e := range entries {
			if c.layered && strings.HasPrefix(e.name, whiteoutPrefix) {
				hidden = append(hidden, strings.TrimPrefix(e.name, whiteoutPrefix))
				continue
			}
			if done[e.name] {
				continue
			}
			done[e.name] = true
			if err := c.entry(dst, src, srcs[i+1:], e.name, path+"/"+e.name); err != nil {
				return err
			}
		}
		for _, name := range hidden {
			done[name] = true
		}
	}
	return step("copy attributes of", path, CopyAttributes(dst, srcs[0]))
}

// entry copies name, which src has and nothing above it; below are the directories
// that may have more of it when it is a directory.
func (c *copier) entry(dst, src int, below []int, name, path string) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstatat(src, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return step("stat", path, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return c.subdir(dst, src, below, name, path)
	}
	if c.layered && isWhiteout(&st) {
		return nil
	}
	if first, found := c.links[inodeOf(&st)]; found && st.Nlink > 1 {
		return step("link", path, unix.Linkat(c.top, first, dst, name, 0))
	}
	var err error
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		err = c.file(dst, src, name)
	case unix.S_IFLNK:
		err = copyLink(dst, src, name, &st)
	default:
		err = copyNode(dst, name, &st)
	}
	if st.Nlink > 1 && err == nil {
		c.links[inodeOf(&st)] = strings.TrimPrefix(path, "/")
	}
	return step("copy", path, err)
}

func (c *copier) subdir(dst, src int, below []int, name, path string) error {
	sources := []int{}
	defer func() {
		for _, fd := range sources {
			unix.Close(fd)
		}
	}()
	for _, parent := range append([]int{src}, below...) {
		fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err == unix.ENOENT {
			if c.layered && unix.Faccessat(parent, whiteoutPrefix+name, unix.F_OK, unix.AT_SYMLINK_NOFOLLOW) == nil {
				break
			}
			continue
		}
		if (err == unix.ENOTDIR || err == unix.ELOOP) && len(sources) > 0 {
			break // a file or a whiteout here hides what is further down
		}
		if err != nil {
			return step("open", path, err)
		}
		sources = append(sources, fd)
	}
	if err := unix.Mkdirat(dst, name, 0o700); err != nil {
		return step("create", path, err)
	}
	fd, err := unix.Openat(dst, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return step("open", path, err)
	}
	defer unix.Close(fd)
	return c.dir(fd, sources, path)
}

func (c *copier) file(dst, src int, name string) error {
	in, err := unix.Openat(src, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(in)
	var st unix.Stat_t
	if err := unix.Fstat(in, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("it changed while it was copied")
	}
	out, err := unix.Openat(dst, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(out)
	if err := c.content(out, in, st.Size); err != nil {
		return err
	}
	return CopyAttributes(out, in)
}

// content copies a file's data, leaving its holes; file systems that can, share the blocks.
func (c *copier) content(out, in int, size int64) error {
	if size == 0 || unix.IoctlFileClone(out, in) == nil {
		return nil
	}
	if err := unix.Ftruncate(out, size); err != nil {
		return err
	}
	for at := int64(0); at < size; {
		start, err := unix.Seek(in, at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			return nil
		}
		if err != nil {
			start = at
		}
		end, err := unix.Seek(in, start, unix.SEEK_HOLE)
		if err != nil {
			end = size
		}
		if err := c.extent(out, in, start, end); err != nil {
			return err
		}
		at = end
	}
	return nil
}

func (c *copier) extent(out, in int, start, end int64) error {
	const most = 16 << 20
	var buf []byte // used where the kernel cannot copy between these file systems
	for start < end {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		from, to := start, start
		n, err := 0, error(nil)
		if buf == nil {
			n, err = unix.CopyFileRange(in, &from, out, &to, int(min(end-start, most)), 0)
		} else if n, err = unix.Pread(in, buf[:min(end-start, int64(len(buf)))], start); err == nil {
			n, err = unix.Pwrite(out, buf[:n], start)
		}
		switch {
		case err == unix.EINTR:
		case err == nil && n > 0:
			start += int64(n)
		case err == nil && buf != nil:
			return nil // the file became shorter
		case buf == nil && err != unix.ENOSPC && err != unix.EDQUOT && err != unix.EIO:
			buf = make([]byte, 1<<20)
		default:
			return err
		}
	}
	return nil
}
