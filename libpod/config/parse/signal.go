package parse

import (
	"syscall"

	"ctr/libpod/config"
)

// Signal reads a signal's name, with or without SIG, or its number.
func Signal(s string) (syscall.Signal, error) { return config.ParseSignal(s) }

// StopSignal checks the value of --stop-signal, which is kept as it was typed.
func StopSignal(s string) (string, error) {
	_, err := config.ParseSignal(s)
	return s, err
}
