package seccomp

// abis are the machine's, the native one first.
var abis = [...]abi{
	{arch: ArchARM64, audit: 0xc00000b7, wide: true},
	{arch: ArchARM, audit: 0x40000028},
}
