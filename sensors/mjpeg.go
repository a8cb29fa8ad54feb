package sensors

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/egret-edge/egret/sensors/pixel"
)

// mjpegReader cuts a stream of concatenated JPEG files into pictures. It walks
// the marker segments (ITU-T T.81, annex B), so a thumbnail within an APP
// segment, which has markers of its own, does not end a picture early.
type mjpegReader struct {
	r   *bufio.Reader
	buf []byte
}

func newMJPEGReader(r *bufio.Reader) *mjpegReader { return &mjpegReader{r: r} }

// errOversize is a picture of more than pixel.MaxBytes.
var errOversize = fmt.Errorf("a picture in the stream is larger than %d bytes", pixel.MaxBytes)

// errNotJPEG: the bytes between two pictures are no JPEG at all.
var errNotJPEG = errors.New("the stream is neither MJPEG nor YUV4MPEG2")

// maxGarbage is how much may lie before a picture's start.
const maxGarbage = 1 << 20

// next returns the next picture; it is valid until the following call. io.EOF
// means that the stream ended between two pictures.
func (m *mjpegReader) next() ([]byte, error) {
	if err := m.start(); err != nil {
		return nil, err
	}
	for {
		marker, err := m.marker()
		if err != nil {
			return nil, midPicture(err)
		}
		switch {
		case marker == 0xD9: // EOI
			return m.buf, nil
		case marker == 0xD8: // SOI: the picture before was cut off
			m.buf = append(m.buf[:0], 0xFF, 0xD8)
		case marker == 0x01, marker >= 0xD0 && marker <= 0xD7:
		default:
			if err := m.segment(); err != nil {
				return nil, midPicture(err)
			}
		}
	}
}

func midPicture(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// start skips to the next start of image.
func (m *mjpegReader) start() error {
	m.buf = m.buf[:0]
	var last byte
	for n := 0; n < maxGarbage; n++ {
		c, err := m.r.ReadByte()
		if err != nil {
			return err
		}
		if last == 0xFF && c == 0xD8 {
			m.buf = append(m.buf, 0xFF, 0xD8)
			return nil
		}
		last = c
	}
	return errNotJPEG
}

// marker copies entropy-coded data up to and with the next marker.
func (m *mjpegReader) marker() (byte, error) {
	for {
		chunk, err := m.r.ReadSlice(0xFF)
		if e := m.keep(chunk); e != nil {
			return 0, e
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return 0, err
		}
		c, err := m.r.ReadByte()
		for err == nil && c == 0xFF { // fill bytes
			c, err = m.r.ReadByte()
		}
		if err != nil {
			return 0, err
		}
		if err := m.keep([]byte{c}); err != nil {
			return 0, err
		}
		if c != 0 {
			return c, nil
		}
	}
}

// segment copies a marker's length and body.
func (m *mjpegReader) segment() error {
	head, err := m.r.Peek(2)
	if err != nil {
		return err
	}
	n := int(head[0])<<8 | int(head[1])
	if n < 2 {
		return nil // damaged: go on as if it were entropy-coded data
	}
	if len(m.buf)+n > pixel.MaxBytes {
		return errOversize
	}
	at := len(m.buf)
	m.buf = append(m.buf, make([]byte, n)...)
	_, err = io.ReadFull(m.r, m.buf[at:])
	return err
}

func (m *mjpegReader) keep(b []byte) error {
	if len(m.buf)+len(b) > pixel.MaxBytes {
		return errOversize
	}
	m.buf = append(m.buf, b...)
	return nil
}

// isY4M tells whether the stream begins as YUV4MPEG2.
func isY4M(r *bufio.Reader) bool {
	head, _ := r.Peek(len(y4mMagic))
	return bytes.Equal(head, []byte(y4mMagic))
}
