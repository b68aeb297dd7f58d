// Package version knows what this program is called and when it was built.
package version

// Version is set by the linker from git describe.
var Version = "unknown"
