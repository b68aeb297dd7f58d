// Package cgroups knows control groups: the limits a user can ask for, whether
// this process may create a group for a container, and what such a group offers.
package cgroups

// Limits are a container's resource limits. They are given by the flags of the
// resource issue; the field has its place in a container's configuration now so
// that the format does not change then.
type Limits struct {
	PidsLimit int64 `json:"pidsLimit,omitempty"` // 0 is unlimited
}
