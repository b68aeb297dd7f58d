package seccomp

import (
	"errors"
	"slices"
	"sync"
)

// ScmpSyscall is the number of a system call in some architecture. Negative numbers
// are calls that the architecture does not have, or that it has in a roundabout way.
type ScmpSyscall int32

// ErrSyscallDoesNotExist is returned for names of calls that no architecture of this
// machine has.
var ErrSyscallDoesNotExist = errors.New("could not resolve syscall name")

// call is a system call and its numbers in the machine's abis, without their bits; -1
// where it does not exist.
type call struct {
	name    string
	numbers [len(abis)]int32
}

// absent is subtracted from a call's place in calls to get the number that it has
// where it does not exist.
const absent = -10000

// multiplexed are the calls that 32-bit x86 has, or has besides their own numbers,
// as functions of one call. The functions' numbers are in <linux/net.h> and
// <linux/ipc.h>.
type multiplexed struct {
	through  string
	function uint64
}

// multiplexedBy has the function, and the call that it is a function of.
func multiplexedBy(name string) (multiplexed, bool) {
	if i := slices.Index(socketFunctions[:], name); i > 0 {
		return multiplexed{"socketcall", uint64(i)}, true
	}
	if i := slices.Index(ipcFunctions[:], name); i > 0 {
		return multiplexed{"ipc", uint64(i)}, true
	}
	return multiplexed{}, false
}

var socketFunctions = [...]string{
	"", "socket", "bind", "connect", "listen", "accept", "getsockname", "getpeername", "socketpair", "send", "recv",
	"sendto", "recvfrom", "shutdown", "setsockopt", "getsockopt", "sendmsg", "recvmsg", "accept4", "recvmmsg", "sendmmsg",
}

var ipcFunctions = [...]string{
	1: "semop", 2: "semget", 3: "semctl", 4: "semtimedop",
	11: "msgsnd", 12: "msgrcv", 13: "msgget", 14: "msgctl",
	21: "shmat", 22: "shmdt", 23: "shmget", 24: "shmctl",
}

// index is made when it is first needed: most programs that link this package never do.
var index struct {
	once     sync.Once
	byName   map[string]int
	byNumber map[ScmpSyscall]int // native numbers
}

func makeIndex() {
	index.byName = make(map[string]int, len(calls))
	index.byNumber = make(map[ScmpSyscall]int, len(calls))
	for i := range calls {
		index.byName[calls[i].name] = i
		if n := numberIn(i, 0); n >= 0 {
			index.byNumber[n] = i
		}
	}
}

// numberIn is the number of the i-th call in the n-th abi, or a negative one.
func numberIn(i, n int) ScmpSyscall {
	if number := calls[i].numbers[n]; number >= 0 {
		return ScmpSyscall(number | int32(abis[n].bit))
	}
	return ScmpSyscall(absent - i)
}

// find is the place in calls of a native number, or -1.
func find(number ScmpSyscall) int {
	index.once.Do(makeIndex)
	if number <= absent && int(absent-number) < len(calls) {
		return int(absent - number)
	}
	if i, ok := index.byNumber[number]; ok {
		return i
	}
	return -1
}

// GetSyscallFromName is the native number of a call, or a negative number that stands
// for a call of another of the machine's architectures.
func GetSyscallFromName(name string) (ScmpSyscall, error) {
	return GetSyscallFromNameByArch(name, ArchNative)
}

// GetSyscallFromNameByArch is the number that a call has in an architecture. It is
// negative when the call only exists in another of the machine's architectures, or
// is reached through socketcall or ipc.
func GetSyscallFromNameByArch(name string, arch ScmpArch) (ScmpSyscall, error) {
	n := findABI(arch)
	if n < 0 {
		return 0, ErrSyscallDoesNotExist
	}
	index.once.Do(makeIndex)
	i, ok := index.byName[name]
	if !ok {
		return 0, ErrSyscallDoesNotExist
	}
	if abis[n].multi {
		if _, ok := multiplexedBy(name); ok {
			return ScmpSyscall(absent - i), nil
		}
	}
	return numberIn(i, n), nil
}
