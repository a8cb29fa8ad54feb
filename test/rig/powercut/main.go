//go:build linux

// Command powercut proves that the outbox survives power cuts. In a guest,
// `powercut write` works on an outbox while every write to its disk is logged.
// On the host, `powercut check` rebuilds the disk as a cut after each of those
// writes would leave it, opens the outbox on it, and looks for all that was
// flushed by then. test/rig/powercut.sh runs both.
package main

import (
	"bytes"
	"crypto/sha512"
	"fmt"
	"os"
)

func main() {
	var err error
	switch {
	case len(os.Args) == 4 && os.Args[1] == "write":
		err = write(os.Args[2], os.Args[3])
	case len(os.Args) == 4 && os.Args[1] == "check":
		err = check(os.Args[2], os.Args[3])
	default:
		fmt.Fprintln(os.Stderr, "usage: powercut write FOLDER DISK | powercut check LOG IMAGE")
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "powercut:", err)
		os.Exit(1)
	}
}

// record is the n-th record, from 1. Half of it no compressor makes less of.
func record(n uint64) []byte {
	return fmt.Appendf(nil, `{"id":"dev/0/%d","camera":"front","task":"classify","label":"military uniform","pad":"%x"}`,
		n, sha512.Sum512(fmt.Append(nil, n)))
}

// numberOf is the n of a record, if it is exactly what record gave.
func numberOf(rec []byte) (n uint64, ok bool) {
	_, err := fmt.Sscanf(string(rec), `{"id":"dev/0/%d"`, &n)
	return n, err == nil && bytes.Equal(rec, record(n))
}
