package argv

import (
	"reflect"
	"strings"
	"testing"
)

var flags = []Flag{
	{Name: "interactive", Short: "i", Bool: true},
	{Name: "tty", Short: "t", Bool: true},
	{Name: "detach", Short: "d", Bool: true},
	{Name: "force", Short: "f", Bool: true},
	{Name: "rm", Bool: true},
	{Name: "env", Short: "e"},
	{Name: "publish", Short: "p"},
	{Name: "tail", Short: "n"},
	{Name: "network", Also: []string{"net"}},
	{Name: "name"},
}

// show writes a result as one line: settings as name=value, then a bar, then arguments.
func show(r Result) string {
	var words []string
	for _, s := range r.Settings {
		words = append(words, s.Name+"="+s.Value)
	}
	words = append(words, "|")
	return strings.Join(append(words, r.Args...), " ")
}

func TestParse(t *testing.T) {
	anywhere, stop := Table{Flags: flags}, Table{Flags: flags, StopAtArgument: true}
	for _, c := range []struct {
		table Table
		line  string
		want  string
	}{
		{anywhere, "", "|"},
		{anywhere, "web -f", "force=true | web"},
		{anywhere, "-f web", "force=true | web"},
		{anywhere, "a -f b --rm c", "force=true rm=true | a b c"},
		{anywhere, "a -- -f b", "| a -f b"},
		{anywhere, "-- --rm", "| --rm"},
		{anywhere, "a -- b -- c", "| a b -- c"},
		{anywhere, "-", "| -"},
		{anywhere, "--rm=false x", "rm=false | x"},
		{anywhere, "--rm false", "rm=true | false"},
		{anywhere, "--name web", "name=web |"},
		{anywhere, "--name=web", "name=web |"},
		{anywhere, "--name= x", "name= | x"},
		{anywhere, "--name --rm", "name=--rm |"},
		{anywhere, "--name -- x", "name=-- | x"},
		{anywhere, "--net host --network=none", "network=host network=none |"},
		{anywhere, "-n5", "tail=5 |"},
		{anywhere, "-n=5", "tail=5 |"},
		{anywhere, "-n 5", "tail=5 |"},
		{anywhere, "-n -1", "tail=-1 |"},
		{anywhere, "-n=", "tail== |"}, // as Docker: the sign alone is the value
		{anywhere, "-t=false", "tty=false |"},
		{anywhere, "-it=false", "interactive=true tty=false |"},
		{anywhere, "-itd x", "interactive=true tty=true detach=true | x"},
		{anywhere, "-it x", "interactive=true tty=true | x"},
		{anywhere, "-ite A=B x", "interactive=true tty=true env=A=B | x"},
		{anywhere, "-iteA=B x", "interactive=true tty=true env=A=B | x"},
		{anywhere, "-eA=B", "env=A=B |"},
		{anywhere, "-e=A=B", "env=A=B |"},
		{anywhere, "-e A=1,2 -e B", "env=A=1,2 env=B |"},
		{anywhere, "-p8080:80", "publish=8080:80 |"},
		{stop, "-it img sh -c ls", "interactive=true tty=true | img sh -c ls"},
		{stop, "--rm img --rm -f", "rm=true | img --rm -f"},
		{stop, "img -- x", "| img -- x"},
		{stop, "-- img -f", "| img -f"},
		{stop, "- -f", "| - -f"},
	} {
		got, err := Parse(c.table, strings.Fields(c.line))
		if err != nil {
			t.Errorf("%q: %v", c.line, err)
		} else if show(got) != c.want {
			t.Errorf("%q: got %q, want %q", c.line, show(got), c.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for line, want := range map[string]string{
		"--x":       "unknown flag: --x",
		"--x=1":     "unknown flag: --x",
		"a --x":     "unknown flag: --x",
		"-X":        "unknown shorthand flag: 'X' in -X",
		"-itX":      "unknown shorthand flag: 'X' in -X",
		"-itXd":     "unknown shorthand flag: 'X' in -Xd",
		"-é":        "unknown shorthand flag: 'é' in -é",
		"--name":    "flag needs an argument: --name",
		"--net":     "flag needs an argument: --net",
		"-p":        "flag needs an argument: 'p' in -p",
		"-itp":      "flag needs an argument: 'p' in -p",
		"---x":      "bad flag syntax: ---x",
		"--=x":      "bad flag syntax: --=x",
		"--rm --no": "unknown flag: --no",
	} {
		_, err := Parse(Table{Flags: flags}, strings.Fields(line))
		if _, ok := err.(*Error); !ok || err.Error() != want {
			t.Errorf("%q: got error %v, want %q", line, err, want)
		}
	}
}

func TestEmptyWords(t *testing.T) {
	got, err := Parse(Table{Flags: flags}, []string{"--name", "", "", "-e", ""})
	if err != nil || show(got) != "name= env= | " {
		t.Errorf("got %q, %v", show(got), err)
	}
}

func TestCanonical(t *testing.T) {
	r, err := Parse(Table{Flags: flags}, []string{"web", "-fe", "A=B", "--", "-x"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"--force=true", "--env=A=B", "--", "web", "-x"}
	if got := r.Canonical(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("-it --name=x -- y")
	f.Fuzz(func(t *testing.T, line string) {
		table := Table{Flags: flags}
		first, err := Parse(table, strings.Fields(line))
		if err != nil {
			return
		}
		again, err := Parse(table, first.Canonical())
		if err != nil || show(first) != show(again) {
			t.Errorf("%q: canonical form %q reads differently: %q, %v", line, first.Canonical(), show(again), err)
		}
	})
}
