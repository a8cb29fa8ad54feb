package schema

import (
	"encoding/binary"
	"fmt"
	"math"
)

// file reads FlatBuffers tables out of bytes that nobody has checked. Its first
// error stays; what is read after it is zero. Memory stays in proportion to
// the file: tables are counted, and what is copied may not be more than twice
// the file, though offsets may lead to the same bytes again and again.
type file struct {
	data   []byte
	tables int
	copied int
	err    error
}

func (f *file) fail(format string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf(format, args...)
	}
}

// has tells whether size bytes lie at pos.
func (f *file) has(pos, size int) bool {
	return f.err == nil && pos >= 0 && size >= 0 && pos <= len(f.data) && size <= len(f.data)-pos
}

func (f *file) u16(pos int) int    { return int(binary.LittleEndian.Uint16(f.data[pos:])) }
func (f *file) u32(pos int) uint32 { return binary.LittleEndian.Uint32(f.data[pos:]) }

// copies counts bytes that are about to be copied.
func (f *file) copies(n int) bool {
	if f.copied += n; f.copied > 2*len(f.data) {
		f.fail("its parts overlap")
	}
	return f.err == nil
}

// table is one table: the place of its fields, and its name for errors.
type table struct {
	f      *file
	name   string
	pos    int
	vtable int
	slots  int
	size   int
}

// table reads the head of a table of which known fields have a meaning.
func (f *file) table(pos int, name string, known int) table {
	if f.tables++; f.tables > maxTables {
		f.fail("it has more than %d tables", maxTables)
	}
	t := table{f: f, name: name, pos: pos}
	if !f.has(pos, 4) {
		f.fail("table %s lies outside of the file", name)
		return t
	}
	t.vtable = pos - int(int32(f.u32(pos)))
	if !f.has(t.vtable, 4) {
		f.fail("table %s has no list of fields", name)
		return t
	}
	length := f.u16(t.vtable)
	t.size = f.u16(t.vtable + 2)
	if length < 4 || !f.has(t.vtable, length) || !f.has(pos, t.size) {
		f.fail("table %s reaches beyond the file", name)
		return t
	}
	t.slots = (length - 4) / 2
	for slot := known; slot < t.slots; slot++ {
		if f.u16(t.vtable+4+2*slot) != 0 {
			f.fail("table %s has field %d, which this version does not know", name, slot)
		}
	}
	return t
}

// field is the place of a slot's size bytes; ok is false when it is absent.
func (t table) field(slot, size int) (pos int, ok bool) {
	if t.f.err != nil || slot >= t.slots {
		return 0, false
	}
	offset := t.f.u16(t.vtable + 4 + 2*slot)
	if offset == 0 {
		return 0, false
	}
	if offset+size > t.size {
		t.f.fail("field %d of table %s lies outside of it", slot, t.name)
		return 0, false
	}
	return t.pos + offset, true
}

func (t table) byte(slot int, def byte) byte {
	if pos, ok := t.field(slot, 1); ok {
		return t.f.data[pos]
	}
	return def
}

func (t table) uint32(slot int, def uint32) uint32 {
	if pos, ok := t.field(slot, 4); ok {
		return t.f.u32(pos)
	}
	return def
}

// offset follows the offset in a slot.
func (t table) offset(slot int) (pos int, ok bool) {
	if pos, ok = t.field(slot, 4); !ok {
		return 0, false
	}
	return pos + int(t.f.u32(pos)), true
}

// vector is the place and the length of a vector of elements of size bytes.
func (t table) vector(slot, size int) (pos, n int, ok bool) {
	if pos, ok = t.offset(slot); !ok {
		return 0, 0, false
	}
	if !t.f.has(pos, 4) {
		t.f.fail("field %d of table %s leads out of the file", slot, t.name)
		return 0, 0, false
	}
	if n = int(t.f.u32(pos)); n > len(t.f.data) || !t.f.has(pos+4, n*size) {
		t.f.fail("field %d of table %s reaches beyond the file", slot, t.name)
		return 0, 0, false
	}
	return pos + 4, n, true
}

// bytes is a part of the file, not a copy; nil when it is absent.
func (t table) bytes(slot int) []byte {
	pos, n, ok := t.vector(slot, 1)
	if !ok {
		return nil
	}
	return t.f.data[pos : pos+n : pos+n]
}

func (t table) text(slot int) string {
	b := t.bytes(slot)
	if !t.f.copies(len(b)) {
		return ""
	}
	return string(b)
}

// values reads a vector of elements of size bytes; nil when it is absent.
func values[T any](t table, slot, size int, one func(b []byte) T) []T {
	pos, n, ok := t.vector(slot, size)
	if !ok || !t.f.copies(n*size) {
		return nil
	}
	all := make([]T, n)
	for i := range all {
		all[i] = one(t.f.data[pos+i*size:])
	}
	return all
}

func (t table) ints(slot int) []int32 {
	return values(t, slot, 4, func(b []byte) int32 { return int32(binary.LittleEndian.Uint32(b)) })
}

func (t table) longs(slot int) []int64 {
	return values(t, slot, 8, func(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b)) })
}

func (t table) floats(slot int) []float32 {
	return values(t, slot, 4, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) })
}

// each reads a vector of tables.
func each[T any](t table, slot int, name string, known int, one func(table) T) []T {
	pos, n, ok := t.vector(slot, 4)
	if !ok {
		return nil
	}
	if n > maxTables {
		t.f.fail("it has more than %d tables", maxTables)
		return nil
	}
	all := make([]T, 0, min(n, 1024))
	for i := range n {
		at := pos + 4*i
		child := t.f.table(at+int(t.f.u32(at)), fmt.Sprintf("%s %d", name, i), known)
		v := one(child)
		if t.f.err != nil {
			return nil
		}
		all = append(all, v)
	}
	return all
}
