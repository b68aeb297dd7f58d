// Package format prints what Docker's --format asks for: its table layout, its
// JSON lines, and Go templates with its functions. Nothing of text/template runs
// unless a template was given.
package format

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"text/template"
)

// Format is a parsed --format value.
type Format struct {
	Table    bool   // aligned columns with a header
	JSON     bool   // one JSON value per row
	Template string // with real tabs and line breaks; "" for the verb's own layout
}

// Parse reads a --format value: "", "table", "table TEMPLATE", "json" or a template.
func Parse(s string) Format {
	unescape := strings.NewReplacer(`\t`, "\t", `\n`, "\n")
	switch rest, isTable := strings.CutPrefix(s, "table"); {
	case s == "":
		return Format{Table: true}
	case s == "json" || s == "{{json .}}":
		return Format{JSON: true}
	case isTable && (rest == "" || rest[0] == ' ' || rest[0] == '\t' || strings.HasPrefix(rest, `\t`)):
		return Format{Table: true, Template: unescape.Replace(strings.TrimSpace(rest))}
	}
	return Format{Template: unescape.Replace(s)}
}

// Mentions tells whether the output shows the field, so that values which are
// expensive to find out need not be.
func (f Format) Mentions(field string) bool {
	return f.JSON || strings.Contains(f.Template, "."+field)
}

// Column is one column of a verb's own table.
type Column[T any] struct {
	Header string
	Cell   func(T) string
}

// Headers names the columns of `table TEMPLATE`, by field.
type Headers map[string]string

// Label is the header of a column that shows one label: its last word.
func (h Headers) Label(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return r == '.' || r == '-' || r == '_' })
	if len(words) == 0 {
		return ""
	}
	return strings.ToUpper(words[len(words)-1])
}

// Print writes rows to w as f says; columns are the verb's own table. A row's
// exported fields are what templates and JSON see.
func Print[T any](w io.Writer, f Format, columns []Column[T], headers Headers, rows []T) error {
	switch {
	case f.JSON:
		return printJSON(w, rows)
	case f.Template == "":
		return printColumns(w, columns, rows)
	}
	return printTemplate(w, f, headers, rows)
}

func printJSON[T any](w io.Writer, rows []T) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, row := range rows {
		if err := enc.Encode(row); err != nil {
			return fmt.Errorf("writing JSON: %w", err)
		}
	}
	return nil
}

// Tabs returns a writer that aligns columns as Docker's tables are; Flush it.
func Tabs(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 10, 1, 3, ' ', 0) }

func printColumns[T any](w io.Writer, columns []Column[T], rows []T) error {
	out := bufio.NewWriter(w) // a tabwriter writes every cell by itself
	tabs := Tabs(out)
	cells := make([]string, len(columns))
	for i, c := range columns {
		cells[i] = c.Header
	}
	fmt.Fprintln(tabs, strings.Join(cells, "\t"))
	for _, row := range rows {
		for i, c := range columns {
			cells[i] = c.Cell(row)
		}
		fmt.Fprintln(tabs, strings.Join(cells, "\t"))
	}
	if err := tabs.Flush(); err != nil {
		return err
	}
	return out.Flush()
}

func printTemplate[T any](w io.Writer, f Format, headers Headers, rows []T) error {
	t, err := Template(f.Template)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if f.Table {
		if err := header(&out, f.Template, headers); err != nil {
			return err
		}
	}
	if len(rows) == 0 {
		if err := tryOut[T](t); err != nil {
			return err
		}
	}
	for _, row := range rows {
		if err := t.Execute(&out, row); err != nil {
			return fmt.Errorf("failed to execute template: %w", err)
		}
		out.WriteByte('\n')
	}
	if !f.Table {
		_, err = w.Write(out.Bytes())
		return err
	}
	tabs := Tabs(w)
	if _, err := tabs.Write(out.Bytes()); err != nil {
		return err
	}
	return tabs.Flush()
}

// tryOut finds a mistake in the template although there is no row to show.
func tryOut[T any](t *template.Template) error {
	var empty T
	if err := t.Execute(io.Discard, empty); err != nil {
		return fmt.Errorf("failed to execute template: %w", err)
	}
	return nil
}

// header executes the template once over the columns' names.
func header(w *bytes.Buffer, text string, headers Headers) error {
	same := func(s string, _ ...any) string { return s }
	t, err := template.New("").Funcs(functions()).Funcs(template.FuncMap{
		"json": same, "title": same, "lower": same, "upper": same, "truncate": same, "pad": same, "split": same,
		"join": func(s string, _ ...any) string { return s },
	}).Parse(text)
	if err != nil {
		return fmt.Errorf("failed to parse template: %w", err)
	}
	if err := t.Execute(w, headers); err != nil {
		return fmt.Errorf("failed to execute template: %w", err)
	}
	w.WriteByte('\n')
	return nil
}

// Template parses text with Docker's functions.
func Template(text string) (*template.Template, error) {
	t, err := template.New("").Funcs(functions()).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("failed to parse template: %w", err)
	}
	return t, nil
}

// functions are what Docker's templates may call beside Go's own.
func functions() template.FuncMap {
	return template.FuncMap{
		"json":     toJSON,
		"split":    strings.Split,
		"join":     strings.Join,
		"title":    title,
		"lower":    strings.ToLower,
		"upper":    strings.ToUpper,
		"pad":      pad,
		"truncate": truncate,
	}
}

func toJSON(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", err
	}
	return strings.TrimRight(b.String(), "\n"), nil
}

// title makes the first letter of every word a capital.
func title(s string) string {
	words := strings.SplitAfter(s, " ")
	for i, word := range words {
		if word != "" {
			words[i] = strings.ToUpper(word[:1]) + word[1:]
		}
	}
	return strings.Join(words, "")
}

// pad puts spaces before and after s, unless it is empty.
func pad(s string, before, after int) string {
	if s == "" {
		return ""
	}
	return strings.Repeat(" ", max(before, 0)) + s + strings.Repeat(" ", max(after, 0))
}

func truncate(s string, length int) string {
	if length < 0 || len(s) <= length {
		return s
	}
	return s[:length]
}
