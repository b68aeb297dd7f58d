// Package seccomp compiles system call filters. It stands in for the package of the
// same import path, which calls the C library libseccomp: ctr's go.mod replaces that
// by this one, so that libcontainer compiles its filters here.
//
// The reason is time. libseccomp takes 10 to 30 ms for Docker's default profile, and
// libcontainer does it anew in every process that it starts, where the rest of a
// start takes less. This package takes a fraction of a millisecond, and its programs
// find a call's rule by binary search.
//
// What is here is what libcontainer uses, with libseccomp's meaning; the tests
// compare the two. Where they differ:
//
//   - Rules of one call with several conditions each are the union that libseccomp's
//     manual promises. libseccomp 2.5.4 sometimes loses one of several that overlap, or
//     does not come to an end; and where the first rule that it tries has conditions,
//     it can forget to load the call's number, so that no rule works.
//   - When rules of one call overlap and return different things, the one that was
//     added first counts. libseccomp goes by an order of its own.
//   - Calls are known by the name and number of Linux 6.1 to 7.0; the library knows
//     those that were new when it was built.
//   - An architecture that this machine's kernel cannot run is accepted and ignored,
//     as are the calls that only such an architecture has.
//
// Machines other than amd64 and arm64 have no tables yet: on them NewFilter fails.
//
// Nothing in this package is safe for use by several goroutines at once, except the
// functions that look up names.
package seccomp

//go:generate go run ./internal/gen
