package sensors

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/egret-edge/egret/sensors/pixel"
)

// camera is a V4L2 device. Its Run is in camera_linux.go.
type camera struct {
	spec          string
	device        string
	width, height int
	fps           float64
	format        pixel.Format // Unknown: MJPEG if offered, else YUYV
	matrix, span  string       // what raw pictures' colours are; empty: what the driver says
	log           *slog.Logger
}

func openCamera(rest string, opts Options) (Source, error) {
	device, raw, _ := strings.Cut(rest, "?")
	if !strings.HasPrefix(device, "/") {
		return nil, errors.New("has no device: write v4l2:/dev/video0")
	}
	q, err := parseParams(raw, "size", "fps", "format", "matrix", "range")
	if err != nil {
		return nil, err
	}
	c := &camera{spec: "v4l2:" + rest, device: device, log: opts.logger()}
	if c.width, c.height, err = q.size(640, 480); err != nil {
		return nil, err
	}
	if c.fps, err = q.fps(15, false); err != nil {
		return nil, err
	}
	format, err := q.word("format", "mjpeg", "yuyv")
	switch {
	case err != nil:
		return nil, err
	case format == "mjpeg":
		c.format = pixel.JPEG
	case format == "yuyv":
		c.format = pixel.YUYV
	}
	if c.matrix, err = q.word("matrix", "bt601", "bt709"); err != nil {
		return nil, err
	}
	if c.span, err = q.word("range", "limited", "full"); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *camera) String() string { return c.spec }

// The pixel formats of V4L2 that a camera may offer (videodev2.h).
const (
	fourccMJPG = 'M' | 'J'<<8 | 'P'<<16 | 'G'<<24
	fourccJPEG = 'J' | 'P'<<8 | 'E'<<16 | 'G'<<24
	fourccYUYV = 'Y' | 'U'<<8 | 'Y'<<16 | 'V'<<24
)

// chooseFormat picks what to ask the camera for. MJPEG goes first: over USB 2
// raw 640×480 pictures already take most of the bus.
func chooseFormat(want pixel.Format, offered map[uint32]string) (uint32, error) {
	for _, c := range []struct {
		code   uint32
		format pixel.Format
	}{{fourccMJPG, pixel.JPEG}, {fourccJPEG, pixel.JPEG}, {fourccYUYV, pixel.YUYV}} {
		if _, ok := offered[c.code]; ok && (want == pixel.Unknown || want == c.format) {
			return c.code, nil
		}
	}
	if len(offered) == 0 {
		return 0, errors.New("offers no pixel formats: it may be a camera's metadata node, try the next lower number")
	}
	var names []string
	for _, n := range offered {
		names = append(names, n)
	}
	if want == pixel.Unknown {
		return 0, fmt.Errorf("offers neither MJPEG nor YUYV, only %s", sortedList(names))
	}
	return 0, fmt.Errorf("does not offer %s, only %s", want, sortedList(names))
}

// driverColour is what raw samples mean by the words of a driver: the fields of
// struct v4l2_pix_format, with the defaults of videodev2.h. Of the matrices
// that we do not have, all newer ones are nearest to BT.709.
func driverColour(colorspace, priv, encoding, quantization uint32) pixel.Colour {
	const (
		privMagic                              = 0xfeedcafe // the later fields are filled in
		spaceSMPTE240M, spaceREC709, spaceJPEG = 2, 3, 7
		spaceBT2020, spaceDCIP3                = 10, 12
		enc709, encXV709, encBT2020, enc240M   = 2, 4, 6, 8
		quantFull, quantLimited                = 1, 2
	)
	if priv != privMagic {
		encoding, quantization = 0, 0
	}
	c := pixel.Colour{Range: pixel.Limited}
	switch {
	case encoding == enc709, encoding == encXV709, encoding >= encBT2020 && encoding <= enc240M,
		encoding == 0 && slices.Contains([]uint32{spaceSMPTE240M, spaceREC709, spaceBT2020, spaceDCIP3}, colorspace):
		c.Matrix = pixel.BT709
	}
	if quantization == quantFull || quantization != quantLimited && colorspace == spaceJPEG {
		c.Range = pixel.Full
	}
	return c
}

// colour is the driver's, where the source does not say otherwise.
func (c *camera) colour(driver pixel.Colour) pixel.Colour {
	switch c.matrix {
	case "bt601":
		driver.Matrix = pixel.BT601
	case "bt709":
		driver.Matrix = pixel.BT709
	}
	switch c.span {
	case "limited":
		driver.Range = pixel.Limited
	case "full":
		driver.Range = pixel.Full
	}
	return driver
}

// sizeRange is what VIDIOC_ENUM_FRAMESIZES says: one size when the minimum is
// the maximum, else all sizes in steps. All zero means any size.
type sizeRange struct{ minW, maxW, stepW, minH, maxH, stepH uint32 }

// nearestSize is the offered size nearest to the one asked for, by the sum of
// the differences of the sides; between equals, the larger one.
func nearestSize(w, h int, offered []sizeRange) (int, int) {
	bestW, bestH, best := w, h, -1
	for _, r := range offered {
		cw, ch := nearestSide(w, r.minW, r.maxW, r.stepW), nearestSide(h, r.minH, r.maxH, r.stepH)
		d := abs(cw-w) + abs(ch-h)
		if best < 0 || d < best || d == best && cw*ch > bestW*bestH {
			bestW, bestH, best = cw, ch, d
		}
	}
	return bestW, bestH
}

func nearestSide(want int, least, most, step uint32) int {
	if most == 0 {
		return want
	}
	lo, hi, s := int(least), int(most), max(1, int(step))
	v := min(max(want, lo), hi)
	v = lo + (v-lo+s/2)/s*s
	if v > hi {
		v -= s
	}
	return v
}

func abs(n int) int { return max(n, -n) }

func sortedList(names []string) string {
	slices.Sort(names)
	return strings.Join(names, ", ")
}
