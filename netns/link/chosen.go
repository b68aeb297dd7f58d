package link

// Chosen is the link that the next helper would use, by what the environment and
// containers.conf ask for, and why it is not a better one. It reads files only. The
// error is what a start on the bridge would say.
func Chosen() (name, note string, err error) {
	c, err := choose("")
	return c.link, c.note, err
}
