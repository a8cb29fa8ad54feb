//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"syscall"
)

// The marks lie on the logged disk itself, behind the file system, so that the
// log has them in order with all other writes: from a mark's entry on, what it
// says had returned.
const (
	fsBytes    = 24 << 20 // as powercut.sh makes it
	markAt     = 28 << 20
	markLen    = 4096 // a page, which direct I/O wants aligned
	sectorSize = 512
)

var markMagic = []byte("egret powercut 1")

// mark is how far the writer is.
type mark struct {
	Boot    uint64 // Open returned this
	Flushed uint64 // Flush returned nil with records 1 to this appended
	Acking  uint64 // records 1 to this may have been acknowledged
}

// marker writes marks, past every cache of the guest.
type marker struct {
	disk *os.File
	page []byte
}

func openMarker(disk string) (*marker, error) {
	f, err := os.OpenFile(disk, os.O_WRONLY|syscall.O_DIRECT, 0)
	if err != nil {
		return nil, err
	}
	page, err := syscall.Mmap(-1, 0, markLen, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	return &marker{disk: f, page: page}, err
}

func (w *marker) write(m mark) error {
	n := copy(w.page, markMagic)
	if _, err := binary.Encode(w.page[n:], binary.LittleEndian, m); err != nil {
		return err
	}
	_, err := w.disk.WriteAt(w.page, markAt)
	return err
}

// readMark gives the mark in a log entry, if it is one.
func readMark(e entry) (m mark, ok bool) {
	if e.sector*sectorSize != markAt || !bytes.HasPrefix(e.data, markMagic) {
		return m, false
	}
	_, err := binary.Decode(e.data[len(markMagic):], binary.LittleEndian, &m)
	return m, err == nil
}
