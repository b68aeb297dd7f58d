// Package storage reads images from containers/storage's on-disk store and gives
// containers their root file systems.
//
// The reading half ([Open], [Store]) takes no lock, starts no user namespace and
// writes nothing: the store replaces its JSON files by rename, so each read sees
// one consistent version, and a layer's directory is complete before an image
// that names it appears. It works as the plain user and inside ctr's user
// namespace alike. Whatever changes the store is ctr-full's business.
//
// The other half ([Rootfs], [RemoveTree], [DirSize]) works on a container's own
// directory, in the namespaces that each function's comment names.
package storage
