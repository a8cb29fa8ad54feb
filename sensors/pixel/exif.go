package pixel

import "encoding/binary"

// maxEntries bounds the walk through the first directory; real ones have about
// a dozen entries.
const maxEntries = 512

// tiffOrientation is the EXIF tag 0x0112 (CIPA DC-008, "Orientation") in the
// first directory of an EXIF segment's TIFF structure (TIFF 6.0, section 2): 1
// to 8, how the stored rows and columns are to be turned for viewing. Anything
// absent, damaged or out of range is 1, as stored: a broken thumbnail header is
// no reason to refuse the picture.
func tiffOrientation(b []byte) int {
	const tagOrientation, typeShort = 0x0112, 3
	if len(b) < 8 {
		return 1
	}
	var order binary.ByteOrder
	switch string(b[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 1
	}
	at := uint64(order.Uint32(b[4:]))
	if at+2 > uint64(len(b)) {
		return 1
	}
	n := min(int(order.Uint16(b[at:])), maxEntries)
	entries := b[at+2:]
	for i := 0; i < n && (i+1)*12 <= len(entries); i++ {
		e := entries[i*12:]
		if order.Uint16(e) != tagOrientation || order.Uint16(e[2:]) != typeShort {
			continue
		}
		if o := int(order.Uint16(e[8:])); o >= 1 && o <= 8 {
			return o
		}
		return 1
	}
	return 1
}

// swapsSides tells whether the orientation exchanges width and height.
func swapsSides(o int) bool { return o >= 5 && o <= 8 }
