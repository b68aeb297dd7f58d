package rootfs

import "testing"

func TestSecurityPlacesOfKernelFileSystems(t *testing.T) {
	for _, root := range []map[string]string{
		{"proc": "->etc", "etc/x": ""}, {"sys": "->/"}, {"dev": "->/nowhere"}, {"dev": "->dev"}, {"proc": "a file"},
	} {
		if CheckPlaces(tree(t, root)) == nil {
			t.Errorf("%v is accepted", root)
		}
	}
	for _, root := range []map[string]string{{}, {"proc/self": "->/", "dev/null": "", "etc/x": ""}} {
		if err := CheckPlaces(tree(t, root)); err != nil {
			t.Errorf("%v: %v", root, err)
		}
	}
}
