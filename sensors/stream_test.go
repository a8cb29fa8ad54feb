package sensors

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/egret-edge/egret/sensors/pixel"
)

func y4mStream(header string, size, frames int) []byte {
	b := []byte("YUV4MPEG2 " + header + "\n")
	for i := range frames {
		b = append(b, "FRAME Ip\n"...)
		b = append(b, bytes.Repeat([]byte{byte(i + 1)}, size)...)
	}
	return b
}

func TestMJPEGPicturesAreWhole(t *testing.T) {
	plain, thumb := picture(t, 50, false), picture(t, 60, true)
	restart := bytes.Clone(plain) // stray restart markers and stuffing within the scan
	restart = append(restart[:len(restart)-2], 0xFF, 0xD0, 0xFF, 0x00, 0xFF, 0xD9)
	stream := bytes.Join([][]byte{plain, thumb, restart, []byte("\r\n--boundary\r\n\r\n"), thumb[:40], plain}, nil)
	want := [][]byte{plain, thumb, restart}
	for name, r := range map[string]io.Reader{"at once": bytes.NewReader(stream), "byte by byte": iotest.OneByteReader(bytes.NewReader(stream))} {
		m := newMJPEGReader(bufio.NewReaderSize(r, 16))
		for i, w := range want {
			got, err := m.next()
			if err != nil || !bytes.Equal(got, w) {
				t.Errorf("%s: picture %d has %d bytes (%v), want %d", name, i, len(got), err, len(w))
			}
		}
	}
	m := newMJPEGReader(bufio.NewReader(bytes.NewReader(plain[:len(plain)-1])))
	if _, err := m.next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a picture without its end gave %v", err)
	}
	m = newMJPEGReader(bufio.NewReader(strings.NewReader(strings.Repeat("text ", maxGarbage))))
	if _, err := m.next(); !errors.Is(err, errNotJPEG) {
		t.Errorf("text gave %v", err)
	}
}

// endless is a JPEG scan that never ends.
type endless struct{ started bool }

func (e *endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 1
	}
	if !e.started {
		e.started = true
		return copy(b, []byte{0xFF, 0xD8}), nil
	}
	return len(b), nil
}

func TestEndlessPictureIsRefused(t *testing.T) {
	if _, err := newMJPEGReader(bufio.NewReader(&endless{})).next(); !errors.Is(err, errOversize) {
		t.Errorf("next = %v, want errOversize", err)
	}
}

var y4mTests = []struct {
	name, stream string
	frames       int
	format       pixel.Format
	want         string
}{
	{"4:2:0", string(y4mStream("W4 H2 F25:1 Ip A1:1", 12, 3)), 3, pixel.I420, ""},
	{"odd sides", string(y4mStream("W3 H3 C420jpeg XFOO", 17, 2)), 2, pixel.I420, ""},
	{"paldv", string(y4mStream("W2 H2 C420paldv", 6, 1)), 1, pixel.I420, ""},
	{"mono", string(y4mStream("W4 H2 Cmono", 8, 2)), 2, pixel.Gray8, ""},
	{"4:2:2", string(y4mStream("W4 H2 C422", 16, 1)), 0, 0, `colour space "422"`},
	{"deep", string(y4mStream("W4 H2 C420p10", 24, 1)), 0, 0, `colour space "420p10"`},
	{"no size", "YUV4MPEG2 F1:1\n", 0, 0, "no width or height"},
	{"huge", "YUV4MPEG2 W99999 H2\n", 0, 0, "limit is 16384"},
	{"negative", "YUV4MPEG2 W-4 H2\n", 0, 0, `W is "-4"`},
	{"long line", "YUV4MPEG2 X" + strings.Repeat("a", 2000), 0, 0, "longer than"},
	{"cut frame", string(y4mStream("W4 H2", 12, 2)[:40]), 1, pixel.I420, "unexpected EOF"},
	{"no frame", "YUV4MPEG2 W4 H2\nFRAMES\n", 0, 0, "frame begins with"},
}

func TestY4M(t *testing.T) {
	for _, tt := range y4mTests {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			err := readStream(t.Context(), strings.NewReader(tt.stream), func(f *Frame) {
				n++
				if _, _, err := pixel.Size(f.Image); err != nil || f.Image.Format != tt.format || f.Image.Data[0] != byte(n) {
					t.Errorf("frame %d: %v, %v", n, f.Image.Format, err)
				}
			})
			if n != tt.frames || err == nil || tt.want == "" && !errors.Is(err, io.EOF) || !strings.Contains(fmt.Sprint(err), tt.want) {
				t.Errorf("%d frames, %v, want %d and %q", n, err, tt.frames, tt.want)
			}
		})
	}
}

func TestY4MColourRange(t *testing.T) {
	for header, want := range map[string]pixel.Range{
		"W4 H2": pixel.DefaultRange, "W4 H2 XCOLORRANGE=LIMITED": pixel.DefaultRange, "W4 H2 C420jpeg XYSCSS=420JPEG XCOLORRANGE=FULL": pixel.Full,
	} {
		_ = readStream(t.Context(), bytes.NewReader(y4mStream(header, 12, 1)), func(f *Frame) {
			if f.Image.Colour.Range != want {
				t.Errorf("%s: range %d, want %d", header, f.Image.Colour.Range, want)
			}
		})
	}
}

func FuzzStream(f *testing.F) {
	for _, tt := range y4mTests {
		f.Add([]byte(tt.stream))
	}
	f.Add(bytes.Repeat(picture(f, 1, true), 2))
	f.Add([]byte("--b\r\nContent-Type: image/jpeg\r\nContent-Length: 9\r\n\r\n\xff\xd8\xff\xda\x00\x02\xff\xd9"))
	f.Fuzz(func(t *testing.T, data []byte) {
		total := 0
		err := readStream(context.Background(), bytes.NewReader(data), func(f *Frame) {
			total += len(f.Image.Data)
			if f.Image.Format == pixel.JPEG && (!bytes.HasPrefix(f.Image.Data, []byte{0xFF, 0xD8}) || !bytes.HasSuffix(f.Image.Data, []byte{0xFF, 0xD9})) {
				t.Fatalf("a picture from %x to %x", f.Image.Data[:2], f.Image.Data[len(f.Image.Data)-2:])
			}
		})
		if err == nil || total > len(data) {
			t.Fatalf("%d bytes of pictures out of %d, %v", total, len(data), err)
		}
	})
}
