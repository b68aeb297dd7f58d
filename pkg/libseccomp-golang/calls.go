package seccomp

import (
	"errors"
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

// Some calls are, on 32-bit x86, also or only functions of one of these two.
const (
	socketcall = "socketcall"
	ipc        = "ipc"
)

// The functions by their numbers in <linux/net.h> and <linux/ipc.h>.
var socketFunctions = [...]string{
	"", "socket", "bind", "connect", "listen", "accept", "getsockname", "getpeername", "socketpair", "send", "recv",
	"sendto", "recvfrom", "shutdown", "setsockopt", "getsockopt", "sendmsg", "recvmsg", "accept4", "recvmmsg", "sendmmsg",
}

var ipcFunctions = [...]string{
	1: "semop", 2: "semget", 3: "semctl", 4: "semtimedop",
	11: "msgsnd", 12: "msgrcv", 13: "msgget", 14: "msgctl",
	21: "shmat", 22: "shmdt", 23: "shmget", 24: "shmctl",
}

// route is the way to a call as a function of another.
type route struct {
	through  int // place of socketcall or ipc in calls, plus one; 0 when there is none
	function uint64
}

// index is made when it is first needed: most programs that link this package never do.
// Its slices are by place in calls, or by native number.
var index struct {
	once     sync.Once
	byName   map[string]int
	byNumber []int // place plus one
	routes   []route
}

func makeIndex() {
	index.byName = make(map[string]int, len(calls))
	index.byNumber = make([]int, 1024)
	index.routes = make([]route, len(calls))
	for i := range calls {
		index.byName[calls[i].name] = i
		if n := numberIn(i, 0); n >= 0 && int(n) < len(index.byNumber) {
			index.byNumber[n] = i + 1
		}
	}
	addRoutes(socketcall, socketFunctions[:])
	addRoutes(ipc, ipcFunctions[:])
}

func addRoutes(through string, functions []string) {
	at, ok := index.byName[through]
	for number, name := range functions {
		if i, known := index.byName[name]; ok && known {
			index.routes[i] = route{at + 1, uint64(number)}
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
	if number < 0 || int(number) >= len(index.byNumber) {
		return -1
	}
	return index.byNumber[number] - 1
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
	if abis[n].multi && index.routes[i].through > 0 {
		return ScmpSyscall(absent - i), nil
	}
	return numberIn(i, n), nil
}
