package lease

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"ctr/pkg/process"
)

func TestDamagedFilesAreNamed(t *testing.T) {
	l := Open(t.TempDir())
	n := testNetwork("10.9.0.0/24")
	take(t, l, n, Lease{Container: "c1", Names: []string{"web"}})
	text, err := os.ReadFile(l.File(n.ID))
	if err != nil {
		t.Fatal(err)
	}
	line := strings.TrimPrefix(string(text), header+"\n")
	for _, damaged := range []string{
		"", "\x00\x00", "ctr leases 2\n" + line, header, header + "\n" + strings.TrimSuffix(line, "\n"), header + "\n\n", header + "\n" + strings.Repeat("\t", 8) + "\n",
		strings.Replace(string(text), "10.9.0.2", "10.9.0.256", 1), strings.Replace(string(text), "\tweb", "\tweb\tx", 1),
		strings.Replace(string(text), "\t0\t", "\t-1x\t", 1), "{}", string(text) + string(text),
	} {
		if damaged == header { // no line ends, no lease
			continue
		}
		if err := os.WriteFile(l.File(n.ID), []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err1 := l.Of(n.ID)
		_, err2 := l.Take(n, Lease{Container: "c2", Holder: process.This()})
		_, err3 := l.All()
		for _, err := range []error{err1, err2, err3, l.Prune(), l.Release(n.ID, "c1")} {
			if err == nil || !strings.Contains(err.Error(), l.File(n.ID)) {
				t.Errorf("%q: error %v does not name the file", damaged, err)
			}
		}
	}
	// one damaged file does not hide the other
	other := testNetwork("10.8.0.0/24")
	other.ID = strings.Repeat("cd", 32)
	take(t, l, other, Lease{Container: "c1"})
	if all, err := l.All(); err == nil || len(all) != 1 {
		t.Errorf("all: %v, %v", all, err)
	}
}

func FuzzTable(f *testing.F) {
	f.Add(string(encode([]Lease{{Container: "c", Names: []string{"a", "%", ""}, IPv4: addr("10.0.0.1"), MAC: "02:42:00:00:00:01"}})))
	f.Add(header + "\nc\t-\t-\t-\t-\t1\t2\t3\t%zz %4 %\n")
	f.Fuzz(func(t *testing.T, text string) {
		leases, err := decode([]byte(text))
		if err != nil {
			return
		}
		again, err := decode(encode(leases))
		if err != nil || !reflect.DeepEqual(again, leases) {
			t.Errorf("%q: %+v became %+v, %v", text, leases, again, err)
		}
	})
}
