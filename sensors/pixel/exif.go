package pixel

import "encoding/binary"

// orientation is the EXIF tag 0x0112 of a JPEG (CIPA DC-008, "Orientation"):
// 1 to 8, how the stored rows and columns are to be turned for viewing.
// Anything absent, damaged or out of range is 1, as stored: a broken thumbnail
// header is no reason to refuse the picture.
func orientation(jpeg []byte) int {
	for w := walk(jpeg); ; {
		seg, ok := w.next()
		if !ok {
			return 1
		}
		if seg.marker == markerAPP1 && len(seg.body) > 6 && string(seg.body[:6]) == "Exif\x00\x00" {
			return tiffOrientation(seg.body[6:])
		}
	}
}

// maxEntries bounds the walk through the first directory; real ones have about
// a dozen entries.
const maxEntries = 512

// tiffOrientation reads the orientation from the first directory of the TIFF
// structure in an EXIF segment (TIFF 6.0, section 2).
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

// orient writes the packed RGB picture src of sw×sh pixels to dst as the EXIF
// orientation o says it is to be seen; dst has the sides swapped from
// orientation 5 on.
func orient(dst, src []byte, sw, sh, o int) {
	dw, dh := sw, sh
	if swapsSides(o) {
		dw, dh = sh, sw
	}
	for y := range dh {
		for x := range dw {
			sx, sy := x, y
			switch o {
			case 2:
				sx = sw - 1 - x
			case 3:
				sx, sy = sw-1-x, sh-1-y
			case 4:
				sy = sh - 1 - y
			case 5:
				sx, sy = y, x
			case 6:
				sx, sy = y, sh-1-x
			case 7:
				sx, sy = sw-1-y, sh-1-x
			case 8:
				sx, sy = sw-1-y, x
			}
			d, s := (y*dw+x)*3, (sy*sw+sx)*3
			copy(dst[d:d+3], src[s:s+3])
		}
	}
}
