package sensors

import (
	"errors"
	"reflect"
	"testing"
	"unsafe"

	"github.com/blackjack/webcam"
	"golang.org/x/sys/unix"

	"github.com/egret-edge/egret/sensors/pixel"
)

// TestLibraryStillHasItsBuffers holds the one private field that unmap needs.
func TestLibraryStillHasItsBuffers(t *testing.T) {
	f, ok := reflect.TypeFor[webcam.Webcam]().FieldByName("buffers")
	if !ok || f.Type != reflect.TypeFor[[][]byte]() {
		t.Fatalf("webcam.Webcam.buffers is %v, want [][]byte", f.Type)
	}
	unmap(new(webcam.Webcam)) // nothing mapped: nothing to do
}

func TestV4L2FormatHasTheKernelsSize(t *testing.T) {
	want := uintptr(204)
	if unsafe.Sizeof(uintptr(0)) == 8 {
		want = 208
	}
	if got := unsafe.Sizeof(v4l2Format{}); got != want {
		t.Errorf("struct v4l2_format has %d bytes, want %d", got, want)
	}
}

func TestComplete(t *testing.T) {
	yuyv := pixel.Image{Format: pixel.YUYV, Width: 4, Height: 2, Stride: 10}
	for n, good := range map[int]bool{0: false, 17: false, 18: true, 20: true} {
		if err := complete(yuyv, make([]byte, n)); (err == nil) != good {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if complete(pixel.Image{Format: pixel.JPEG}, nil) == nil {
		t.Error("an empty JPEG is complete")
	}
}

// TestDeviceError: a node's mode and a closed sandbox are two things to mend.
func TestDeviceError(t *testing.T) {
	for err, says := range map[error]string{
		unix.EACCES: "permission denied: add the user to the group video",
		unix.EPERM:  "operation not permitted: the service's sandbox or the container is closed to it: start that again, now that the device is there",
		unix.ENOENT: "no such file or directory: is it plugged in?",
		unix.ENODEV: "device is gone or broken: no such device",
		unix.EBUSY:  "device or resource busy: another program is using it",
		unix.EINVAL: "invalid argument",
	} {
		if got := deviceError(err); got.Error() != says || !errors.Is(got, err) {
			t.Errorf("%v: %q, want %q", err, got, says)
		}
	}
}
