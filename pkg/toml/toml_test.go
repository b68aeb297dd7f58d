package toml

import (
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	got := map[string]Value{}
	err := Parse(`# a comment
[network]
default_rootless_network_cmd = "pasta" # another
number=3
[engine]
list = ["a", 'b', # in between
 "c", {append=true}]
'quoted' = "x\ty"
`, func(key string, v Value) { got[key] = v })
	want := map[string]Value{
		"network.default_rootless_network_cmd": {Scalar: "pasta"}, "network.number": {Scalar: "3"},
		"engine.list": {List: []string{"a", "b", "c"}, Append: true}, "engine.quoted": {Scalar: "x\ty"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestBrokenTextNamesTheLine(t *testing.T) {
	for text, line := range map[string]string{"a = 1\nb": "line 2", "[open": "line 1", "\n\na = \"open\n": "line 3"} {
		if err := Parse(text, func(string, Value) {}); err == nil || !strings.Contains(err.Error(), line) {
			t.Errorf("%q: got %v", text, err)
		}
	}
}
