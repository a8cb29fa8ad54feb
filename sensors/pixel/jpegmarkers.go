package pixel

import "bytes"

// Marker codes of ITU-T T.81, table B.1, that this package looks at.
const (
	markerSOI  = 0xD8
	markerEOI  = 0xD9
	markerSOS  = 0xDA
	markerTEM  = 0x01
	markerAPP1 = 0xE1
	markerSOF0 = 0xC0 // baseline; up to SOF15 but for the three below
	markerSOF2 = 0xC2 // progressive
	markerJPG  = 0xC8 // reserved
	markerDAC  = 0xCC
	markerSOF  = 0xCF // the last of them
	markerDHT  = 0xC4
)

type segment struct {
	marker byte
	body   []byte
}

// walker goes through a JPEG's marker segments up to and with the first start
// of scan; it stops quietly where the structure is damaged.
type walker struct {
	data []byte
	at   int
}

func walk(data []byte) walker {
	if len(data) < 2 || data[0] != 0xFF || data[1] != markerSOI {
		return walker{}
	}
	return walker{data: data, at: 2}
}

// next is the next segment; false when there is none.
func (w *walker) next() (s segment, ok bool) {
	data := w.data
	for i := w.at; i+4 <= len(data); {
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
			break
		}
		w.at = i + 2 + n
		if m == markerSOS {
			w.at = len(data)
		}
		return segment{m, data[i+4 : i+2+n]}, true
	}
	w.at = len(data)
	return segment{}, false
}

// jpegHeader is what a JPEG says of itself before its pixels.
type jpegHeader struct {
	width, height        int
	progressive, huffman bool
}

func readHeader(data []byte) (h jpegHeader) {
	for w := walk(data); ; {
		s, ok := w.next()
		if !ok {
			return h
		}
		frame := s.marker >= markerSOF0 && s.marker <= markerSOF && s.marker != markerDHT && s.marker != markerJPG && s.marker != markerDAC
		if frame && h.width == 0 && len(s.body) >= 6 { // precision, height, width: T.81, B.2.2
			h.height, h.width = int(s.body[1])<<8|int(s.body[2]), int(s.body[3])<<8|int(s.body[4])
			h.progressive = s.marker == markerSOF2
		}
		h.huffman = h.huffman || s.marker == markerDHT
	}
}

// jpegSize reads a JPEG's stored width and height and applies the limits.
func jpegSize(data []byte) (w, h int, err error) {
	head := readHeader(data)
	switch {
	case Sniff(data) != JPEG:
		return 0, 0, fail(JPEG, ErrFormat, "no JPEG: it does not begin with a start of image")
	case head.width == 0 && !bytes.Contains(data, []byte{0xFF, markerSOS}):
		return 0, 0, &Error{Format: JPEG, Kind: ErrTruncated}
	}
	if err := checkSize(JPEG, head.width, head.height); err != nil {
		return 0, 0, err
	}
	if err := checkDeep(JPEG, head.width, head.height, head.progressive); err != nil {
		return 0, 0, err
	}
	if head.progressive {
		if n := bytes.Count(data, []byte{0xFF, markerSOS}); n > maxScans {
			return 0, 0, fail(JPEG, ErrTooLarge, "picture has %d scans, limit is %d", n, maxScans)
		}
	}
	return head.width, head.height, nil
}
