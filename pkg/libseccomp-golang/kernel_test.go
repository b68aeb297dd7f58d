//go:build amd64

package seccomp

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The kernel takes the programs, and finds the calls in them that it is asked for, on
// both ways in.
func TestKernelEnforcesDockerProfile(t *testing.T) {
	program := filepath.Join(t.TempDir(), "calls")
	if out, err := exec.Command("gcc", "-O1", "-Wall", "-o", program, "testdata/calls.c").CombinedOutput(); err != nil {
		t.Skipf("needs gcc to make calls in: %v\n%s", err, out)
	}
	p := dockerProfile(t, dockerCapabilities)
	f, err := NewFilter(p.fallback)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range p.archs {
		if err := f.AddArch(a); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range p.rules {
		if number, err := GetSyscallFromName(r.name); err == nil {
			if err := f.AddRuleConditional(number, r.action, r.conds); err != nil {
				t.Fatal(err)
			}
		}
	}
	code, err := f.ExportBPFMem()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		what, call string
		want       []string
	}{
		{"umask", "64 95 0 0 0", []string{"18", "0", "2", "63"}},
		{"umask by int 0x80", "32 60 0 0 0", []string{"0"}},
		{"umask by x32", "64 0x4000005f 0 0 0", []string{"-38", "0"}}, // as the kernel has x32 or not
		{"unshare", "64 272 0 0 0", []string{"-1"}},
		{"unshare by int 0x80", "32 310 0 0 0", []string{"-1"}},
		{"unshare by x32", "64 0x40000110 0 0 0", []string{"-1"}},
		{"clone3", "64 435 0 0 0", []string{"-38"}},
		{"clone3 by int 0x80", "32 435 0 0 0", []string{"-38"}},
		{"clone of a user namespace", "64 56 0x10000000 0 0", []string{"-1"}},
		{"socket of AF_ALG", "64 41 38 5 0", []string{"-1"}},
		{"socket of AF_ALG by int 0x80", "32 359 38 5 0", []string{"-1"}},
		{"socket of AF_VSOCK", "64 41 40 1 0", []string{"-1"}},
		{"socket of no family", "64 41 60 1 0", []string{"-97"}},
		{"socket of no family by int 0x80", "32 359 60 1 0", []string{"-97"}},
		{"the present personality", "64 135 0xffffffff 0 0", []string{"0"}},
		{"another personality", "64 135 0x40000 0 0", []string{"-1"}},
		{"a call that nobody knows", "64 1000 0 0 0", []string{"-1"}},
	}
	var args []string
	for _, test := range tests {
		args = append(args, strings.Fields(test.call)...)
	}
	cmd := exec.Command(program, args...)
	cmd.Stdin = bytes.NewReader(code)
	out, err := cmd.CombinedOutput()
	got := strings.Fields(string(out))
	if err != nil || len(got) != len(tests) {
		t.Fatalf("%v\n%s", err, out)
	}
	for i, test := range tests {
		if !slices.Contains(test.want, got[i]) {
			t.Errorf("%s: %s, want %v", test.what, got[i], test.want)
		}
	}
}
