package bpf

import rspec "github.com/opencontainers/runtime-spec/specs-go"

const native = rspec.ArchX86_64
