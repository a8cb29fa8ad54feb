package sensors

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/egret-edge/egret/sensors/pixel"
)

const y4mMagic = "YUV4MPEG2 "

// maxY4MLine bounds the stream's and each frame's header line.
const maxY4MLine = 1024

// y4mReader reads YUV4MPEG2, the raw video that ffmpeg and GStreamer write
// (yuv4mpeg(5) of mjpegtools): 4:2:0 in all its sitings, and mono. The samples
// are limited range unless the header says XCOLORRANGE=FULL, as ffmpeg does.
type y4mReader struct {
	r   *bufio.Reader
	img pixel.Image
}

// newY4MReader reads the stream's header.
func newY4MReader(r *bufio.Reader) (*y4mReader, error) {
	line, err := y4mLine(r)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(line, y4mMagic) {
		return nil, errors.New("YUV4MPEG2 header is missing")
	}
	y := &y4mReader{r: r, img: pixel.Image{Format: pixel.I420}}
	for _, f := range strings.Fields(line[len(y4mMagic):]) {
		if err := y.field(f[0], f[1:]); err != nil {
			return nil, fmt.Errorf("YUV4MPEG2 header: %w", err)
		}
	}
	w, h := y.img.Width, y.img.Height
	if w == 0 || h == 0 {
		return nil, errors.New("YUV4MPEG2 header has no width or height")
	}
	if w > pixel.MaxSide || h > pixel.MaxSide || w*h > pixel.MaxPixels {
		return nil, fmt.Errorf("YUV4MPEG2 picture is %d×%d pixels, limit is %d a side and %d in all", w, h, pixel.MaxSide, pixel.MaxPixels)
	}
	return y, nil
}

func (y *y4mReader) field(tag byte, value string) error {
	switch tag {
	case 'W', 'H':
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return fmt.Errorf("%c is %q", tag, value)
		}
		if tag == 'W' {
			y.img.Width = n
		} else {
			y.img.Height = n
		}
	case 'X': // extensions: one is of use, the others are not for us
		if value == "COLORRANGE=FULL" {
			y.img.Colour.Range = pixel.Full
		}
	case 'C':
		switch value {
		case "420", "420jpeg", "420mpeg2", "420paldv":
			y.img.Format = pixel.I420
		case "mono":
			y.img.Format = pixel.Gray8
		default:
			return fmt.Errorf("colour space %q is not supported: have the program write 420 (ffmpeg: -pix_fmt yuv420p)", value)
		}
	}
	return nil
}

// next reads one frame; it is valid until the following call. io.EOF means
// that the stream ended between two frames.
func (y *y4mReader) next() (pixel.Image, error) {
	if _, err := y.r.Peek(1); err != nil {
		return pixel.Image{}, err
	}
	line, err := y4mLine(y.r)
	if err != nil {
		return pixel.Image{}, midPicture(err)
	}
	if line != "FRAME" && !strings.HasPrefix(line, "FRAME ") {
		return pixel.Image{}, fmt.Errorf("YUV4MPEG2 frame begins with %.20q", line)
	}
	if y.img.Data == nil {
		y.img.Data = make([]byte, y.size())
	}
	if _, err := io.ReadFull(y.r, y.img.Data); err != nil {
		return pixel.Image{}, midPicture(err)
	}
	return y.img, nil
}

func (y *y4mReader) size() int {
	w, h := y.img.Width, y.img.Height
	if y.img.Format == pixel.Gray8 {
		return w * h
	}
	return w*h + 2*((w+1)/2)*((h+1)/2)
}

func y4mLine(r *bufio.Reader) (string, error) {
	line := make([]byte, 0, 80)
	for len(line) < maxY4MLine {
		c, err := r.ReadByte()
		if err != nil {
			return "", err
		}
		if c == '\n' {
			return string(line), nil
		}
		line = append(line, c)
	}
	return "", fmt.Errorf("YUV4MPEG2 header is longer than %d bytes", maxY4MLine)
}
