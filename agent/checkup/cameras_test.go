package checkup

import (
	"fmt"
	"path/filepath"
	"testing"
)

// board is a machine with two equal USB cameras, of which one has a serial
// number, the metadata node of each, and a Raspberry Pi's receiver, image
// processor and codec.
func board(t *testing.T) Device {
	files := map[string]string{
		"dev/egret/id-046d_HD_Pro_ABC": "-> ../video2", "dev/egret/port-usb-2": "-> ../video2",
		"dev/egret/port-usb-1":                   "-> ../video0",
		"dev/v4l/by-id/usb-046d_HD-video-index0": "-> ../../video0", "dev/v4l/by-id/usb-046d_HD-video-index1": "-> ../../video1",
		"dev/v4l/by-path/usb-1-index1": "-> ../../video1",
	}
	for i, n := range []struct{ name, device string }{
		{"HD Pro", "usb1"}, {"HD Pro", "usb1"}, {"HD Pro", "usb2"}, {"HD Pro", "usb2"},
		{"unicam-image", "csi"}, {"bcm2835-isp-capture0", "isp"}, {"bcm2835-codec-decode", "codec"},
		{"vi-output, imx219 7-0010", "vi"},
	} {
		node := fmt.Sprintf("video%d", i)
		files["dev/"+node] = ""
		files["sys/class/video4linux/"+node+"/name"] = n.name + "\n"
		files["sys/class/video4linux/"+node+"/device"] = "-> ../../../devices/" + n.device
	}
	d := fake(t, files)
	d.Captures = func(node string) (bool, bool) {
		name := filepath.Base(node)
		return name != "video1" && name != "video3", true
	}
	return d
}

func TestStableNames(t *testing.T) {
	want := map[string]string{
		"/dev/video0": "/dev/egret/port-usb-1", "/dev/video1": "/dev/v4l/by-id/usb-046d_HD-video-index1",
		"/dev/video2": "/dev/egret/id-046d_HD_Pro_ABC", "/dev/video3": "/dev/video3",
	}
	for _, n := range board(t).Nodes()[:4] {
		if n.Stable != want[n.Path] {
			t.Errorf("%s is called %s, want %s", n.Path, n.Stable, want[n.Path])
		}
	}
}

func TestCamera(t *testing.T) {
	d := board(t)
	for _, tt := range []struct {
		device string
		level  Level
		says   string
	}{
		{"/dev/video0", OK, ""},
		{"/dev/egret/id-046d_HD_Pro_ABC", OK, ""},
		{"/dev/video9", Fail, "is not there: there is v4l2:/dev/egret/port-usb-1 (HD Pro), v4l2:/dev/egret/id-046d_HD_Pro_ABC (HD Pro)"},
		{"/dev/egret/port-usb-7", Fail, "is not there"},
		{"/dev", Fail, "is a folder"},
		{"/dev/video1", Fail, "gives no pictures, it is a node for metadata or of a codec: the one beside it is v4l2:/dev/egret/port-usb-1"},
		{"/dev/v4l/by-id/usb-046d_HD-video-index1", Fail, "gives no pictures"},
		{"/dev/video4", Fail, `the source for it is "command:rpicam-vid`},
		{"/dev/video5", Fail, "gives no pictures"},
		{"/dev/video6", Fail, "gives no pictures"},
		{"/dev/video7", Fail, "nvarguscamerasrc"},
	} {
		t.Run(tt.device, func(t *testing.T) { holds(t, d.Camera(tt.device, nil), tt.level, tt.says) })
	}
}

// TestOnlyCSI: where there is no other camera, the CSI camera's source is
// offered for a name that is not there.
func TestOnlyCSI(t *testing.T) {
	d := fake(t, map[string]string{"sys/class/video4linux/video0/name": "rp1-cfe-csi2_ch0"})
	holds(t, d.Camera("/dev/video9", nil), Fail, "/dev/video0 is a CSI camera's")
	holds(t, fake(t, nil).Camera("/dev/video0", nil), Fail, "no camera is there")
}

// TestUnaskedNode: a node that this user may not open could be a camera.
func TestUnaskedNode(t *testing.T) {
	d := board(t)
	d.Captures = func(string) (bool, bool) { return false, false }
	holds(t, d.Camera("/dev/video0", nil), OK, "")
	if n := len(d.cameras()); n != 4 {
		t.Errorf("%d cameras, want the four that may be ones", n)
	}
}

// TestHolders: a process that has the node open is named.
func TestHolders(t *testing.T) {
	d := board(t)
	for name, text := range map[string]string{"proc/77/comm": "ffmpeg\n", "proc/77/fd/5": "-> /dev/video0", "proc/78/comm": "cat\n", "proc/78/fd/0": "-> /dev/null"} {
		add(t, d, name, text)
	}
	if got := fmt.Sprint(d.Holders("/dev/egret/port-usb-1")); got != "[ffmpeg (pid 77)]" {
		t.Error(got)
	}
	add(t, d, "proc/net/tcp", "  sl  local_address rem_address   st\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n")
	if h, ok := d.Listener(8080); !ok || h.Name != "" {
		t.Errorf("%v %v: somebody listens whom we may not see", h, ok)
	}
	add(t, d, "proc/78/fd/3", "-> socket:[4711]")
	if h, ok := d.Listener(8080); !ok || h.String() != "cat (pid 78)" {
		t.Errorf("%v %v", h, ok)
	}
	if h, ok := d.Listener(8081); ok {
		t.Errorf("%v listens where nobody does", h)
	}
}
