package verbs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"ctr/pkg/format"
)

func buildTop(p *program) *command {
	return &command{
		min: 1, max: anyNumber, stop: true,
		run: func(ctx context.Context, args []string) error { return p.top(ctx, args[0], args[1:]) },
	}
}

// top lists the container's processes: as `ps -ef` does, read from /proc, or with
// options of its own through the host's ps.
func (p *program) top(ctx context.Context, name string, options []string) error {
	c, err := lookup(name)
	if err != nil {
		return err
	}
	pids, err := c.Top(ctx)
	if err != nil {
		return err
	}
	var rows [][]string
	if len(options) == 0 {
		rows = append(rows, []string{"UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"})
		rows = append(rows, listProcesses(pids)...)
	} else if rows, err = hostPs(ctx, options, pids); err != nil {
		return err
	}
	tabs := format.Tabs(p.Out)
	for _, row := range rows {
		fmt.Fprintln(tabs, strings.Join(row, "\t"))
	}
	return tabs.Flush()
}

// hostPs runs ps with the user's options and keeps the lines of our processes.
func hostPs(ctx context.Context, options []string, pids []int) ([][]string, error) {
	path, err := exec.LookPath("ps")
	if err != nil {
		return nil, fmt.Errorf("listing processes with options of ps: %w; install it (Debian: apt install procps) or leave the options out", err)
	}
	out, err := exec.CommandContext(ctx, path, options...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && len(exit.Stderr) > 0 {
			return nil, fmt.Errorf("running ps: %s", bytes.TrimSpace(exit.Stderr))
		}
		return nil, fmt.Errorf("running ps: %w", err)
	}
	return filterPs(string(out), pids)
}

// filterPs splits the output of ps into its columns, the last of which is the rest of the line.
func filterPs(out string, pids []int) ([][]string, error) {
	lines := strings.Split(strings.TrimRight(out, "\n"), "\n")
	header := strings.Fields(lines[0])
	column := slices.Index(header, "PID")
	if column < 0 {
		return nil, errors.New("couldn't find PID field in ps output")
	}
	rows := [][]string{header}
	for _, line := range lines[1:] {
		fields := strings.Fields(line)
		if len(fields) <= column {
			continue
		}
		pid, err := strconv.Atoi(fields[column])
		if err != nil || !slices.Contains(pids, pid) {
			continue
		}
		if last := len(header) - 1; len(fields) > last {
			fields = append(fields[:last:last], strings.Join(fields[last:], " "))
		}
		rows = append(rows, fields)
	}
	return rows, nil
}
