package rootfs

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// CheckPlaces refuses a root in which the place of one of the kernel's file systems is
// no directory. Through a link, what runtimes do below that place, from mounting to
// making device nodes, would happen somewhere else.
func CheckPlaces(root string) error {
	dir, err := openRoot(root)
	if err != nil {
		return err
	}
	defer dir.Close()
	for _, name := range []string{"proc", "sys", "dev"} {
		var st unix.Stat_t
		err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return fmt.Errorf("looking at the container's /%s: %w", name, err)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return fmt.Errorf("the image is refused: its /%s is not a directory", name)
		}
	}
	return nil
}
