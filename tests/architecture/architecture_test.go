// Package architecture holds the rules of docs/design.md that a test can check:
// which way imports point, what the lean program may link, what its start may
// cost, and that every package and exported name says what it is for.
package architecture

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

type pkg struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

func list(t *testing.T, args ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,Standard"}, args...)...)
	cmd.Dir = root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	return pkgs
}

// layer orders the tree: a package imports only packages of a higher number, or of
// its own top-level folder.
func layer(path string) int {
	path = strings.TrimPrefix(path, "ctr/")
	switch first, _, _ := strings.Cut(path, "/"); first {
	case "cmd":
		return 0
	case "libpod":
		return 2
	case "storage", "netns", "cgroups":
		return 3
	case "tests":
		return -1
	}
	for _, heavy := range []string{"pkg/image", "pkg/build", "pkg/api", "pkg/kube", "pkg/systemd"} {
		if path == heavy || strings.HasPrefix(path, heavy+"/") {
			return 1
		}
	}
	return 4
}

// leaves below libpod that the middle layer may name: they describe, and do nothing.
var described = map[string]bool{"ctr/libpod/config": true}

func TestImportsPointOneWay(t *testing.T) {
	for _, p := range list(t, "./...") {
		for _, dep := range p.Imports {
			if !strings.HasPrefix(dep, "ctr/") || described[dep] {
				continue
			}
			from, to := layer(p.ImportPath), layer(dep)
			if top(p.ImportPath) == top(dep) && from == to {
				continue
			}
			if to <= from {
				t.Errorf("%s imports %s, which points the wrong way", p.ImportPath, dep)
			}
		}
	}
}

func top(path string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "ctr/"), "/")
	return first
}

func TestLeanProgramLinksNothingHeavy(t *testing.T) {
	heavy := []string{
		"net/http", "go.podman.io/image/v5", "github.com/moby/buildkit", "k8s.io/", "gvisor.dev/gvisor",
		"github.com/containers/gvisor-tap-vsock", "ctr/pkg/image",
	}
	for _, p := range list(t, "-deps", "./cmd/ctr") {
		for _, h := range heavy {
			if p.ImportPath == strings.TrimSuffix(h, "/") || strings.HasPrefix(p.ImportPath, strings.TrimSuffix(h, "/")+"/") && !p.Standard {
				t.Errorf("the lean program links %s", p.ImportPath)
			}
		}
	}
}

// initBudget is what the package initialisation of the lean program may allocate.
// Bytes and allocations are the same on every machine, milliseconds are not; on the
// machine of the first measurement this much took 0.6 ms (docs/design.md).
const (
	initBytes  = 200_000
	initAllocs = 1_200
)

func TestLeanProgramInitialisesWithinItsBudget(t *testing.T) {
	bin, err := filepath.Abs(filepath.Join(root, "bin/ctr"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(bin); err != nil {
		t.Fatalf("%v; build it with make", err)
	}
	cmd := exec.Command(bin, "--version")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("ctr --version: %v: %s", err, out)
	}
	bytes, allocs, packages := 0, 0, 0
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line) // init PKG @0.1 ms, 0.01 ms clock, 123 bytes, 4 allocs
		if len(f) < 11 || f[0] != "init" {
			continue
		}
		packages++
		b, _ := strconv.Atoi(f[7])
		a, _ := strconv.Atoi(f[9])
		bytes, allocs = bytes+b, allocs+a
	}
	if packages == 0 {
		t.Fatalf("no initialisation was traced:\n%s", out)
	}
	if bytes > initBytes || allocs > initAllocs {
		t.Errorf("initialisation takes %d bytes in %d allocations, the budget is %d in %d:\n%s", bytes, allocs, initBytes, initAllocs, out)
	}
}

func TestEverythingExportedIsDocumented(t *testing.T) {
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "testdata" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		if d.IsDir() {
			return checkPackage(t, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkPackage(t *testing.T, dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return err
	}
	documented, code := false, false
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		code = true
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		documented = documented || f.Doc != nil
		checkFile(t, name, f)
	}
	if code && !documented {
		t.Errorf("%s: the package has no comment", dir)
	}
	if filepath.Base(dir) == "util" || filepath.Base(dir) == "utils" {
		t.Errorf("%s: a package is named after what it does", dir)
	}
	return nil
}

func checkFile(t *testing.T, name string, f *ast.File) {
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && exportedReceiver(d) && d.Doc == nil && !wellKnown[d.Name.Name] {
				t.Errorf("%s: %s has no comment", name, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				checkSpec(t, name, d, spec)
			}
		}
	}
}

// wellKnown methods say by their name what their interface's documentation says.
var wellKnown = map[string]bool{
	"Error": true, "String": true, "Is": true, "Unwrap": true, "Read": true, "Write": true, "Close": true,
	"MarshalJSON": true, "UnmarshalJSON": true, "Set": true, "Len": true, "Less": true, "Swap": true,
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	expr := d.Recv.List[0].Type
	if star, ok := expr.(*ast.StarExpr); ok {
		expr = star.X
	}
	id, ok := expr.(*ast.Ident)
	return ok && id.IsExported()
}

func checkSpec(t *testing.T, name string, d *ast.GenDecl, spec ast.Spec) {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
			t.Errorf("%s: type %s has no comment", name, s.Name.Name)
		}
	case *ast.ValueSpec:
		for _, id := range s.Names {
			if id.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
				t.Errorf("%s: %s has no comment", name, id.Name)
			}
		}
	}
}

func TestCommandPagesAreCurrent(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "docs/commands/*.md"))
	if err != nil || len(pages) < 20 {
		t.Fatalf("%d pages, %v; write them with script/docs", len(pages), err)
	}
	for _, page := range pages {
		verb := strings.ReplaceAll(strings.TrimSuffix(filepath.Base(page), ".md"), "-", " ")
		help, err := exec.Command(filepath.Join(root, "bin/ctr"), append(strings.Fields(verb), "--help")...).Output()
		if err != nil {
			t.Errorf("ctr %s --help: %v", verb, err)
		}
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "```\n"+string(help)+"```\n") {
			t.Errorf("%s is not what `ctr %s --help` says; run script/docs", page, verb)
		}
	}
}
