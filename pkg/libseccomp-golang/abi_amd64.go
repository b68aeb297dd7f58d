package seccomp

// abis are the machine's, the native one first. x32 has arguments of 32 bits, as
// libseccomp sees it.
var abis = [...]abi{
	{arch: ArchAMD64, audit: 0xc000003e, wide: true},
	{arch: ArchX86, audit: 0x40000003, multi: true},
	{arch: ArchX32, audit: 0xc000003e, bit: x32Bit},
}
