package parse

import "github.com/docker/go-units"

// Bytes reads an amount of memory such as 64m, 1.5g or 4096: bytes without a unit,
// else powers of 1024; a final b or ib changes nothing.
func Bytes(s string) (int64, error) {
	n, err := units.RAMInBytes(s)
	if err != nil {
		return 0, err
	}
	return n, nil
}
