package parse

import "ctr/libpod/config"

// IPC reads an --ipc: none, private, shareable, host or container:NAME.
func IPC(s string) (string, error) { return s, config.Namespaces{IPC: s}.Check() }

// PID reads a --pid: private, host or container:NAME.
func PID(s string) (string, error) { return s, config.Namespaces{PID: s}.Check() }

// UTS reads a --uts: private, host or container:NAME.
func UTS(s string) (string, error) { return s, config.Namespaces{UTS: s}.Check() }

// Cgroup reads a --cgroupns: private, host or container:NAME.
func Cgroup(s string) (string, error) { return s, config.Namespaces{Cgroup: s}.Check() }

// Userns reads a --userns: host.
func Userns(s string) (string, error) { return s, config.Namespaces{User: s}.Check() }
