package verbs

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"ctr/pkg/term"
)

// helpWidth is the line length of help where the terminal's is unknown or less.
const helpWidth = 80

// print writes the help of one command in Docker's layout.
func (u usage) print(w io.Writer) {
	fmt.Fprintf(w, "%s\n\n%s\n", u.line(), u.verb.about)
	if len(u.verb.paths) > 1 {
		var names []string
		for _, path := range u.verb.paths {
			names = append(names, u.program+" "+path)
		}
		fmt.Fprintf(w, "\nAliases:\n  %s\n", strings.Join(names, ", "))
	}
	var shown []flag
	for _, f := range u.cmd.flags {
		if !f.hidden {
			shown = append(shown, f)
		}
	}
	slices.SortFunc(shown, func(a, b flag) int { return strings.Compare(a.Name, b.Name) })
	if len(shown) > 0 {
		fmt.Fprint(w, "\nOptions:\n")
		printFlags(w, shown, width(w))
	}
	if u.verb.more != "" {
		fmt.Fprintf(w, "\n%s\n", u.verb.more)
	}
}

// printFlags writes one entry per flag, the descriptions in a column of their own.
func printFlags(w io.Writer, flags []flag, width int) {
	column := 0
	for _, f := range flags {
		column = max(column, len(f.synopsis()))
	}
	column += 3
	for _, f := range flags {
		about := f.about
		if f.def != "" {
			about += " (default " + f.def + ")"
		}
		lines := wrapText(about, width-column)
		fmt.Fprintf(w, "%-*s%s\n", column, f.synopsis(), lines[0])
		for _, line := range lines[1:] {
			fmt.Fprintf(w, "%*s%s\n", column, "", line)
		}
	}
}

// synopsis is "  -e, --env list".
func (f flag) synopsis() string {
	s := "      --" + f.Name
	if f.Short != "" {
		s = "  -" + f.Short + ", --" + f.Name
	}
	if f.kind != "" {
		s += " " + f.kind
	}
	return s
}

// wrapText breaks s at spaces into lines of at most width; its own line breaks stay.
func wrapText(s string, width int) []string {
	var lines []string
	for _, paragraph := range strings.Split(s, "\n") {
		line := ""
		for _, word := range strings.Split(paragraph, " ") {
			switch {
			case line == "":
				line = word
			case len(line)+1+len(word) > width:
				lines = append(lines, line)
				line = word
			default:
				line += " " + word
			}
		}
		lines = append(lines, line)
	}
	return lines
}

func width(w io.Writer) int {
	f, ok := w.(interface{ Fd() uintptr })
	if !ok {
		return helpWidth
	}
	return max(helpWidth, term.Columns(f.Fd()))
}

// rootHelp writes `ctr --help`.
func (p *program) rootHelp() {
	fmt.Fprintf(p.Out, "Usage:  %s [OPTIONS] COMMAND\n\nRun containers without a daemon and without root\n", p.name)
	p.listVerbs("Common Commands", func(v *verb) bool { return v.common })
	fmt.Fprint(p.Out, "\nManagement Commands:\n")
	for _, g := range groups {
		fmt.Fprintf(p.Out, "  %-*s  %s\n", verbColumn, g.name, g.about)
	}
	p.listVerbs("Commands", func(v *verb) bool { return !v.common })
	fmt.Fprintf(p.Out, "\nGlobal Options:\n      --help      Print usage\n  -v, --version   Print version information and quit\n")
	fmt.Fprintf(p.Out, "\nRun '%s COMMAND --help' for more information on a command.\n", p.name)
}

// verbColumn is the width of the verbs' names in lists of commands.
const verbColumn = 10

func (p *program) listVerbs(title string, wanted func(*verb) bool) {
	fmt.Fprintf(p.Out, "\n%s:\n", title)
	for i := range verbTable {
		v := &verbTable[i]
		if name := v.top(); name != "" && wanted(v) {
			fmt.Fprintf(p.Out, "  %-*s  %s\n", verbColumn, name, v.about)
		}
	}
}

// groupHelp writes `ctr container --help` and its like.
func (p *program) groupHelp(group string) {
	fmt.Fprintf(p.Out, "Usage:  %s %s COMMAND\n\n", p.name, group)
	for _, g := range groups {
		if g.name == group {
			fmt.Fprintf(p.Out, "%s\n\nCommands:\n", g.about)
		}
	}
	for _, v := range groupVerbs(group) {
		fmt.Fprintf(p.Out, "  %-*s  %s\n", verbColumn, v.in(group), v.about)
	}
	fmt.Fprintf(p.Out, "\nRun '%s %s COMMAND --help' for more information on a command.\n", p.name, group)
}
