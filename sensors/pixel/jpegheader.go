package pixel

import (
	"bytes"
	"image"
	"image/jpeg"
	"sync"
)

// maxScans bounds a JPEG: each scan of a few bytes may cost a pass over the
// whole picture. Encoders write about ten.
const maxScans = 200

// jpegInfo is what the header of a JPEG tells.
type jpegInfo struct {
	w, h        int // as stored
	progressive bool
	huffman     bool // it has tables of its own
	orientation int
}

// jpegHeader reads a JPEG's header and applies the limits.
func jpegHeader(data []byte) (jpegInfo, error) {
	h := jpegInfo{orientation: 1}
	turned, found := false, false
	for seg := range segments(data) {
		switch m := seg.marker; {
		case m == markerDHT:
			h.huffman = true
		case m == markerAPP1 && !turned && len(seg.body) > 6 && string(seg.body[:6]) == "Exif\x00\x00":
			h.orientation, turned = tiffOrientation(seg.body[6:]), true
		case m < markerSOF0 || m > markerSOF15 || m == markerDAC || m == markerJPG || found:
		case m > markerSOF2:
			return h, fail(JPEG, ErrFormat, "coding %d is not supported: only baseline and progressive Huffman are", m-markerSOF0)
		case len(seg.body) < 6:
			return h, fail(JPEG, ErrFormat, "frame header has %d bytes", len(seg.body))
		case seg.body[0] != 8:
			return h, fail(JPEG, ErrFormat, "samples of %d bits are not supported", seg.body[0])
		default:
			found, h.progressive = true, m == markerSOF2
			h.h, h.w = int(seg.body[1])<<8|int(seg.body[2]), int(seg.body[3])<<8|int(seg.body[4])
		}
	}
	switch {
	case found:
	case !bytes.HasPrefix(data, []byte{0xFF, markerSOI}[:min(2, len(data))]):
		return h, fail(JPEG, ErrFormat, "it does not begin as a JPEG")
	case bytes.Contains(data, []byte{0xFF, markerEOI}):
		return h, fail(JPEG, ErrFormat, "frame header is missing")
	default:
		return h, &Error{Format: JPEG, Kind: ErrTruncated}
	}
	if err := checkSize(JPEG, h.w, h.h); err != nil {
		return h, err
	}
	if h.progressive && h.w*h.h > maxDeep {
		return h, tooDeep(JPEG, h.w, h.h)
	}
	return h, nil
}

func tooDeep(f Format, w, h int) error {
	return fail(f, ErrTooLarge, "picture is %d×%d pixels, limit for progressive or 16-bit is %d in all", w, h, maxDeep)
}

// standardTables is the DHT segments of ITU-T T.81, K.3, as the standard
// library's encoder writes them.
var standardTables = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewYCbCr(image.Rect(0, 0, 8, 8), image.YCbCrSubsampleRatio420), nil); err != nil {
		return nil
	}
	var tables []byte
	for seg := range segments(b.Bytes()) {
		if seg.marker == markerDHT {
			n := len(seg.body) + 2
			tables = append(append(tables, 0xFF, markerDHT, byte(n>>8), byte(n)), seg.body...)
		}
	}
	return tables
})

// withTables puts the standard Huffman tables into a JPEG without any. Many
// UVC cameras leave them out of each frame of MJPEG, as AVI1 allows.
func withTables(data []byte) []byte {
	tables := standardTables()
	out := make([]byte, 0, len(data)+len(tables))
	return append(append(append(out, data[:2]...), tables...), data[2:]...)
}
