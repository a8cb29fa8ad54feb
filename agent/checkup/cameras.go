package checkup

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Node is a video node.
type Node struct {
	Path string // /dev/video0
	Name string // the card's, as the driver gives it
	// Stable is the name by which a configuration should call it: the best of
	// those that stay the same, else Path.
	Stable string
	kind   kind
	device string // where its hardware is in /sys, the same for all its nodes
}

// kind is what a node is by its driver's name for it.
type kind int

const (
	camera    kind = iota // or a capture card, or what nobody has told us of
	piCSI                 // a Raspberry Pi's receiver of raw sensor data
	tegraCSI              // a Jetson's
	processor             // codec or image processor
)

// kinds are the names of nodes by their beginning; systemd/egret.rules has the
// same ones.
var kinds = []struct {
	prefix string
	kind   kind
}{
	{"unicam-", piCSI}, {"rp1-cfe", piCSI}, {"vi-output", tegraCSI},
	{"bcm2835-isp", processor}, {"pispbe", processor}, {"bcm2835-codec", processor}, {"rpivid", processor}, {"rpi-hevc-dec", processor},
}

// The sources for CSI cameras, which V4L2 alone gives only raw sensor data of.
const (
	piSource    = `"command:rpicam-vid --timeout 0 --nopreview --codec mjpeg --width 640 --height 480 --framerate 15 --output -"`
	tegraSource = `"command:gst-launch-1.0 -q nvarguscamerasrc ! 'video/x-raw(memory:NVMM),width=1280,height=720,framerate=30/1' ! nvjpegenc ! fdsink fd=1"`
)

// Nodes lists the video nodes in the order of their numbers.
func (d Device) Nodes() []Node {
	names := d.stableNames()
	var nodes []Node
	for _, sys := range d.glob("sys/class/video4linux/video*") {
		n := Node{Path: "/dev/" + filepath.Base(sys), Name: d.text(sys + "/name"), device: d.linkTarget(sys + "/device")}
		n.Stable = cmp.Or(names[n.Path], n.Path)
		for _, k := range kinds {
			if strings.HasPrefix(n.Name, k.prefix) {
				n.kind = k.kind
			}
		}
		nodes = append(nodes, n)
	}
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.number(), b.number()) })
	return nodes
}

func (n Node) number() int {
	i, _ := strconv.Atoi(strings.TrimPrefix(n.Path, "/dev/video"))
	return i
}

// stableNames are the best lasting names by node: this very camera before its
// port, ours before those that uvcvideo's metadata node has too.
func (d Device) stableNames() map[string]string {
	best := map[string]string{}
	for _, pattern := range []string{"dev/egret/id-*", "dev/egret/port-*", "dev/v4l/by-id/*", "dev/v4l/by-path/*"} {
		for _, link := range d.glob(pattern) {
			node := d.resolve(link)
			if best[node] == "" {
				best[node] = link
			}
		}
	}
	return best
}

// captures tells whether a node gives pictures, as far as can be known.
func (d Device) captures(n Node) (captures, known bool) {
	if n.kind == processor {
		return false, true
	}
	ask := d.Captures
	if ask == nil {
		ask = queryCapture
	}
	return ask(d.path(n.Path))
}

// cameras are the nodes that a v4l2: source could name.
func (d Device) cameras() (list []Node) {
	for _, n := range d.Nodes() {
		if captures, known := d.captures(n); n.kind == camera && (captures || !known) {
			list = append(list, n)
		}
	}
	return list
}

// choice is what to use instead, in words.
func (d Device) choice() string {
	var words []string
	for _, n := range d.cameras() {
		words = append(words, fmt.Sprintf("v4l2:%s (%s)", n.Stable, n.Name))
	}
	if len(words) > 0 {
		return "there is " + strings.Join(words, ", ")
	}
	for _, n := range d.Nodes() {
		if source := n.source(); source != "" {
			return fmt.Sprintf("%s is a CSI camera's: its source is %s", n.Path, source)
		}
	}
	return "no camera is there: is it plugged in, and does `dmesg | tail` name it?"
}

// source is what a CSI camera's node needs instead of v4l2:.
func (n Node) source() string {
	switch n.kind {
	case piCSI:
		return piSource + ", with the drop-in raspberry-pi-csi.conf"
	case tegraCSI:
		return tegraSource + ", with the drop-in jetson.conf"
	}
	return ""
}

// Camera tells what is wrong with a camera's node before it is opened: it is
// not there, gives no pictures, or the unit's user may not open it. It is OK
// when opening it is worth the try.
func (d Device) Camera(device string, u *Unit) Verdict {
	path := d.resolve(device)
	info, err := os.Stat(d.path(path))
	switch {
	case err != nil:
		return Verdict{Fail, fmt.Sprintf("%s is not there: %s", device, d.choice())}
	case info.IsDir():
		return Verdict{Fail, fmt.Sprintf("%s is a folder: %s", device, d.choice())}
	}
	if n, ok := d.node(path); ok {
		if source := n.source(); source != "" {
			return Verdict{Fail, fmt.Sprintf("%s (%s) gives raw sensor data only: the source for it is %s", device, n.Name, source)}
		}
		if captures, known := d.captures(n); known && !captures {
			return Verdict{Fail, fmt.Sprintf("%s (%s) gives no pictures, it is a node for metadata or of a codec: %s", device, n.Name, d.instead(n))}
		}
	}
	if why := d.Denied(path, u); why != "" {
		return Verdict{Fail, why}
	}
	return Verdict{Level: OK}
}

func (d Device) node(path string) (Node, bool) {
	nodes := d.Nodes()
	i := slices.IndexFunc(nodes, func(n Node) bool { return n.Path == path })
	if i < 0 {
		return Node{}, false
	}
	return nodes[i], true
}

// instead is the node of the same hardware that gives pictures, else what there
// is.
func (d Device) instead(n Node) string {
	for _, other := range d.cameras() {
		if other.device == n.device && n.device != "" {
			return "the one beside it is v4l2:" + other.Stable
		}
	}
	return d.choice()
}
