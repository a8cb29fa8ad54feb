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

func TestDriverColour(t *testing.T) {
	const magic = 0xfeedcafe
	tests := []struct {
		name                             string
		space, priv, encoding, quantized uint32
		source                           string
		want                             string
	}{
		{"nothing is said", 0, 0, 0, 0, "", "bt601 limited"},
		{"sRGB, as webcams say", 8, magic, 0, 0, "", "bt601 limited"},
		{"Rec. 709", 3, magic, 0, 0, "", "bt709 limited"},
		{"JPEG", 7, magic, 0, 0, "", "bt601 full"},
		{"JPEG, limited", 7, magic, 0, 2, "", "bt601 limited"},
		{"sRGB with the matrix of 709, full", 8, magic, 2, 1, "", "bt709 full"},
		{"Rec. 709 with the matrix of 601", 3, magic, 1, 0, "", "bt601 limited"},
		{"later fields are not filled in", 8, 0, 2, 1, "", "bt601 limited"},
		{"BT.2020 is nearest to 709", 10, magic, 0, 0, "", "bt709 limited"},
		{"the source knows better", 7, magic, 0, 0, "matrix=bt709&range=limited", "bt709 limited"},
		{"in one point", 3, magic, 0, 0, "range=full", "bt709 full"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src, err := Open("v4l2:/dev/video0?"+tt.source, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := src.(*camera).colour(driverColour(tt.space, tt.priv, tt.encoding, tt.quantized)).String(); got != tt.want {
				t.Errorf("colour = %s, want %s", got, tt.want)
			}
		})
	}
}
