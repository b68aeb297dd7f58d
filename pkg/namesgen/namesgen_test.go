package namesgen

import (
	"regexp"
	"strings"
	"testing"
)

func TestWordsMakeValidNames(t *testing.T) {
	word := regexp.MustCompile(`^[a-z]{2,}$`)
	for _, list := range []string{adjectives, surnames} {
		seen := map[string]bool{}
		for _, w := range strings.Fields(list) {
			if !word.MatchString(w) {
				t.Errorf("%q cannot be part of a name", w)
			}
			if seen[w] {
				t.Errorf("%q is listed twice", w)
			}
			seen[w] = true
		}
	}
	if n := len(strings.Fields(adjectives)) * len(strings.Fields(surnames)); n < 20000 {
		t.Errorf("only %d names: 10,000 containers would collide all the time", n)
	}
}

func TestNamesDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		name := Name()
		if a, b, ok := strings.Cut(name, "_"); !ok || a == "" || b == "" {
			t.Fatalf("%q is no adjective_surname", name)
		}
		seen[name] = true
	}
	if len(seen) < 50 {
		t.Errorf("100 names, only %d different", len(seen))
	}
}
