package sensors

import (
	"strings"
	"testing"

	"github.com/egret-edge/egret/sensors/pixel"
)

func TestNearestSize(t *testing.T) {
	exact := func(w, h uint32) sizeRange { return sizeRange{w, w, 0, h, h, 0} }
	webcam := []sizeRange{exact(1280, 720), exact(640, 480), exact(640, 360), exact(320, 240)}
	isp := []sizeRange{{32, 2592, 16, 32, 1944, 2}}
	tests := []struct {
		name         string
		w, h         int
		offered      []sizeRange
		wantW, wantH int
	}{
		{"offered", 640, 480, webcam, 640, 480},
		{"smaller than all", 100, 100, webcam, 320, 240},
		{"larger than all", 4000, 3000, webcam, 1280, 720},
		{"between", 600, 400, webcam, 640, 360},
		{"a tie takes the larger", 640, 420, webcam, 640, 480},
		{"steps", 641, 481, isp, 640, 482},
		{"over the steps", 5000, 5000, isp, 2592, 1944},
		{"under the steps", 1, 1, isp, 32, 32},
		{"any size (the library gives zeros)", 123, 45, []sizeRange{{}}, 123, 45},
		{"nothing said", 640, 480, nil, 640, 480},
		{"last step past the end", 100, 100, []sizeRange{{10, 95, 20, 10, 95, 20}}, 90, 90},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if w, h := nearestSize(tt.w, tt.h, tt.offered); w != tt.wantW || h != tt.wantH {
				t.Errorf("nearestSize = %dx%d, want %dx%d", w, h, tt.wantW, tt.wantH)
			}
		})
	}
}

func TestChooseFormat(t *testing.T) {
	both := map[uint32]string{fourccYUYV: "YUYV 4:2:2", fourccMJPG: "Motion-JPEG"}
	tests := []struct {
		name    string
		want    pixel.Format
		offered map[uint32]string
		code    uint32
		err     string
	}{
		{"best", pixel.Unknown, both, fourccMJPG, ""},
		{"asked", pixel.YUYV, both, fourccYUYV, ""},
		{"only raw", pixel.Unknown, map[uint32]string{fourccYUYV: "YUYV 4:2:2"}, fourccYUYV, ""},
		{"the other name of JPEG", pixel.JPEG, map[uint32]string{fourccJPEG: "JFIF"}, fourccJPEG, ""},
		{"not offered", pixel.JPEG, map[uint32]string{fourccYUYV: "YUYV 4:2:2"}, 0, "does not offer jpeg, only YUYV 4:2:2"},
		{"neither", pixel.Unknown, map[uint32]string{1: "Bayer", 2: "Affe"}, 0, "only Affe, Bayer"},
		{"metadata node", pixel.Unknown, nil, 0, "metadata node"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, err := chooseFormat(tt.want, tt.offered)
			if code != tt.code || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("chooseFormat = %x, %v, want %x, %q", code, err, tt.code, tt.err)
			}
		})
	}
}
