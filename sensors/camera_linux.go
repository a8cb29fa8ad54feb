package sensors

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"
	"unsafe"

	"github.com/blackjack/webcam"
	"golang.org/x/sys/unix"

	"github.com/egret-edge/egret/sensors/pixel"
)

// buffers is how many pictures the driver may fill ahead. The library asks for
// 256, which is hundreds of megabytes of locked memory.
const buffers = 4

// maxSpins is how often in a row the driver may say that a picture is there
// and then have none, as it does for a device in error.
const maxSpins = 50

func (c *camera) Run(ctx context.Context, emit func(*Frame)) error {
	err := c.capture(ctx, emit)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("camera %s: %w", c.device, err)
}

func (c *camera) capture(ctx context.Context, emit func(*Frame)) error {
	cam, err := webcam.Open(c.device)
	if err != nil {
		return deviceError(err)
	}
	defer cam.Close()
	img, err := c.negotiate(cam)
	if err != nil {
		return err
	}
	if err := cam.SetBufferCount(buffers); err != nil {
		return err
	}
	if err := cam.StartStreaming(); err != nil {
		unmap(cam)
		return fmt.Errorf("%s: is another program using it, or is the USB bus full?", lower(err))
	}
	return c.loop(ctx, cam, img, emit)
}

// loop passes on pictures until ctx ends or the device fails. It wakes once a
// second to look at ctx when the device is silent.
func (c *camera) loop(ctx context.Context, cam *webcam.Webcam, img pixel.Image, emit func(*Frame)) error {
	bad := newTally(c.log, "empty or short pictures from the camera")
	defer bad.flush()
	f := Frame{Image: img}
	for spins := 0; ctx.Err() == nil; {
		err := cam.WaitForFrame(1)
		if _, silent := err.(*webcam.Timeout); silent {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait for a picture: %w", deviceError(err))
		}
		data, index, err := cam.GetFrame()
		if errors.Is(err, unix.EAGAIN) {
			if spins++; spins > maxSpins {
				return errors.New("device is in error")
			}
			time.Sleep(time.Millisecond)
			continue
		}
		if err != nil {
			return fmt.Errorf("take a picture: %w", deviceError(err))
		}
		spins = 0
		if err := complete(img, data); err != nil {
			bad.add(err)
		} else if ctx.Err() == nil {
			f.Seq, f.Time, f.Image.Data = f.Seq+1, time.Now(), data
			emit(&f)
		}
		if err := cam.ReleaseFrame(index); err != nil {
			return fmt.Errorf("give a buffer back: %w", deviceError(err))
		}
	}
	return ctx.Err()
}

// negotiate sets format, size and rate as near to the wish as the camera can,
// and says what came of it.
func (c *camera) negotiate(cam *webcam.Webcam) (pixel.Image, error) {
	offered := map[uint32]string{}
	for code, name := range cam.GetSupportedFormats() {
		offered[uint32(code)] = name
	}
	code, err := chooseFormat(c.format, offered)
	if err != nil {
		return pixel.Image{}, err
	}
	var sizes []sizeRange
	for _, s := range cam.GetSupportedFrameSizes(webcam.PixelFormat(code)) {
		sizes = append(sizes, sizeRange{s.MinWidth, s.MaxWidth, s.StepWidth, s.MinHeight, s.MaxHeight, s.StepHeight})
	}
	w, h := nearestSize(c.width, c.height, sizes)
	got, _, _, err := cam.SetImageFormat(webcam.PixelFormat(code), uint32(w), uint32(h))
	if err != nil {
		return pixel.Image{}, fmt.Errorf("set %dx%d: %w", w, h, deviceError(err))
	}
	img := pixel.Image{Format: pixel.JPEG, Width: w, Height: h}
	if code == fourccYUYV {
		img.Format = pixel.YUYV
	}
	if uint32(got) != code {
		return pixel.Image{}, fmt.Errorf("was asked for %s and chose another format", img.Format)
	}
	// The library returns the size that was asked for, not the one it got.
	f, err := currentFormat(c.device)
	if err == nil && f.width > 0 && f.height > 0 {
		img.Width, img.Height = int(f.width), int(f.height)
		if img.Format == pixel.YUYV {
			img.Stride = int(f.stride)
		}
	}
	colour := "of the JPEG"
	if img.Format == pixel.YUYV {
		img.Colour = c.colour(driverColour(f.colorspace, f.priv, f.encoding, f.quantization))
		colour = img.Colour.String()
	}
	rateErr := cam.SetFramerate(float32(c.fps))
	rate, _ := cam.GetFramerate()
	c.log.Info("camera opened", "device", c.device, "format", img.Format.String(),
		"size", fmt.Sprintf("%dx%d", img.Width, img.Height), "asked_size", fmt.Sprintf("%dx%d", c.width, c.height),
		"fps", rate, "asked_fps", c.fps, "rate_fixed", rateErr != nil, "colour", colour)
	return img, nil
}

// complete tells whether a buffer holds a picture: drivers give back empty
// and short ones after USB errors.
func complete(img pixel.Image, data []byte) error {
	if len(data) == 0 {
		return errors.New("picture is empty")
	}
	if img.Format != pixel.YUYV {
		return nil // the decoder judges
	}
	if least := max(img.Stride, img.Width*2) * (img.Height - 1); len(data) < least+img.Width*2 {
		return fmt.Errorf("picture has %d bytes", len(data))
	}
	return nil
}

// v4l2Format is struct v4l2_format of videodev2.h for single-planar capture.
type v4l2Format struct {
	kind uint32
	_    [unsafe.Sizeof(uintptr(0)) - 4]byte // the union is aligned to a pointer
	pix  v4l2PixFormat
	_    [200 - unsafe.Sizeof(v4l2PixFormat{})]byte
}

// v4l2PixFormat is struct v4l2_pix_format of videodev2.h.
type v4l2PixFormat struct {
	width, height, code, field, stride, size        uint32
	colorspace, priv, flags, encoding, quantization uint32
	transfer                                        uint32
}

// currentFormat asks the driver for the format in force, through a second
// handle because the library keeps its own to itself.
func currentFormat(device string) (v4l2PixFormat, error) {
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return v4l2PixFormat{}, err
	}
	defer unix.Close(fd)
	const capture, readWrite, getFormat = 1, 3, 4
	f := v4l2Format{kind: capture}
	op := uintptr(readWrite<<30 | unsafe.Sizeof(f)<<16 | 'V'<<8 | getFormat)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), op, uintptr(unsafe.Pointer(&f))); errno != 0 {
		return v4l2PixFormat{}, errno
	}
	return f.pix, nil
}

// unmap releases the buffers of a stream that did not start. The library
// forgets them, and the next attempt would find the device busy.
func unmap(cam *webcam.Webcam) {
	bufs := reflect.ValueOf(cam).Elem().FieldByName("buffers")
	if !bufs.IsValid() {
		return
	}
	for i := range bufs.Len() {
		if b := bufs.Index(i).Bytes(); len(b) > 0 {
			_ = unix.Munmap(b)
		}
	}
}

// deviceError adds what to do to the errors that users meet.
func deviceError(err error) error {
	switch {
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO), errors.Is(err, unix.EIO):
		return fmt.Errorf("device is gone or broken: %w", err)
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%w: is it plugged in?", err)
	case errors.Is(err, unix.EPERM): // not the node's mode, which gives EACCES
		return fmt.Errorf("%w: the service's sandbox or the container is closed to it: start that again, now that the device is there", err)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w: add the user to the group video", err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w: another program is using it", err)
	}
	return err
}

func lower(err error) string {
	s := err.Error()
	return strings.ToLower(s[:min(1, len(s))]) + s[min(1, len(s)):]
}
