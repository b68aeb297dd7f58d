//go:build !amd64 && !arm64

package bpf

import rspec "github.com/opencontainers/runtime-spec/specs-go"

const native = rspec.Arch("")
