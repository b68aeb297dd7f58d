// Package parse turns the words of a command line into the types of package config.
//
// It is used at the edge only: what it returns needs no parsing again. Every error
// is one line in the words of the Docker command line, without the flag's name,
// which the caller knows. Only the functions that say so read files, the
// environment or the working directory.
package parse
