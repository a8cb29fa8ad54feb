//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"os"
)

// The flags of an entry, and the magic, of the dm-log-writes format: see
// Documentation/admin-guide/device-mapper/log-writes.rst of Linux.
const (
	logMagic    = 0x6a736677736872
	flagFlush   = 1
	flagFUA     = 2
	flagDiscard = 4
)

// entry is one request to the logged disk, in the order of completion.
type entry struct {
	sector, sectors, flags uint64
	data                   []byte // empty for a flush and a discard
}

func readLog(path string) ([]entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, 28)
	if _, err := f.ReadAt(head, 0); err != nil {
		return nil, fmt.Errorf("read log %q: %w", path, err)
	}
	le := binary.LittleEndian
	if le.Uint64(head) != logMagic || le.Uint32(head[24:]) != sectorSize {
		return nil, fmt.Errorf("%q is no log of %d-byte sectors", path, sectorSize)
	}
	log := make([]entry, le.Uint64(head[16:]))
	at := int64(sectorSize)
	for i := range log {
		h := make([]byte, 32)
		if _, err := f.ReadAt(h, at); err != nil {
			return nil, fmt.Errorf("read entry %d of log %q: %w", i, path, err)
		}
		at += sectorSize
		e := entry{sector: le.Uint64(h), sectors: le.Uint64(h[8:]), flags: le.Uint64(h[16:])}
		if e.flags&flagDiscard == 0 {
			e.data = make([]byte, e.sectors*sectorSize)
			if _, err := f.ReadAt(e.data, at); err != nil {
				return nil, fmt.Errorf("read entry %d of log %q: %w", i, path, err)
			}
			at += int64(len(e.data))
		}
		log[i] = e
	}
	return log, nil
}

// apply does to an image what the entry did to the disk. Chunks of a page for
// which keep is false stay as they were; nil keeps all.
func (e entry) apply(image []byte, keep func() bool) {
	at := e.sector * sectorSize
	if at >= uint64(len(image)) {
		return // a mark
	}
	if e.flags&flagDiscard != 0 {
		clear(image[at:min(at+e.sectors*sectorSize, uint64(len(image)))])
		return
	}
	for i := 0; i < len(e.data); i += 4096 {
		if keep == nil || keep() {
			copy(image[at+uint64(i):], e.data[i:min(i+4096, len(e.data))])
		}
	}
}
