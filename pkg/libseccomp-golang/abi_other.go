//go:build !amd64 && !arm64

package seccomp

// abis are the machine's: none is known.
var abis = [...]abi{}

var calls = [...]call{}
