package network

import "strings"

// natural compares names as Docker sorts them: runs of digits by their value, so
// that net10 comes after net9. It is 0 for equal strings only.
func natural(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		numberX, restX := cutNumber(x)
		numberY, restY := cutNumber(y)
		if numberX == "" || numberY == "" {
			if x[0] != y[0] {
				return int(x[0]) - int(y[0])
			}
			x, y = x[1:], y[1:]
			continue
		}
		valueX, valueY := strings.TrimLeft(numberX, "0"), strings.TrimLeft(numberY, "0")
		if len(valueX) != len(valueY) {
			return len(valueX) - len(valueY)
		}
		if valueX != valueY {
			return strings.Compare(valueX, valueY)
		}
		x, y = restX, restY
	}
	if len(x) != len(y) {
		return len(x) - len(y)
	}
	return strings.Compare(a, b)
}

// cutNumber splits off the digits that s begins with.
func cutNumber(s string) (number, rest string) {
	rest = strings.TrimLeft(s, "0123456789")
	return s[:len(s)-len(rest)], rest
}
