package pixel

import "iter"

// Marker codes of ITU-T T.81, table B.1, that this package looks at.
const (
	markerSOF0  = 0xC0 // baseline
	markerSOF2  = 0xC2 // progressive
	markerSOF15 = 0xCF // the last of the other codings
	markerJPG   = 0xC8
	markerDAC   = 0xCC
	markerSOI   = 0xD8
	markerEOI   = 0xD9
	markerSOS   = 0xDA
	markerTEM   = 0x01
	markerAPP1  = 0xE1
	markerDHT   = 0xC4
)

type segment struct {
	marker byte
	body   []byte
}

// segments yields a JPEG's marker segments up to and with the first start of
// scan; it stops quietly where the structure is damaged.
func segments(data []byte) iter.Seq[segment] {
	return func(yield func(segment) bool) {
		if len(data) < 2 || data[0] != 0xFF || data[1] != markerSOI {
			return
		}
		for i := 2; i+4 <= len(data); {
			m := data[i+1]
			if data[i] != 0xFF || m == 0xFF { // stray or fill byte: decoders skip them too
				i++
				continue
			}
			if m == 0 || m == markerTEM || m >= 0xD0 && m <= markerSOI {
				i += 2
				continue
			}
			n := int(data[i+2])<<8 | int(data[i+3])
			if m == markerEOI || n < 2 || i+2+n > len(data) {
				return
			}
			if !yield(segment{m, data[i+4 : i+2+n]}) || m == markerSOS {
				return
			}
			i += 2 + n
		}
	}
}
