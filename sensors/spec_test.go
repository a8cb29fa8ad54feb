package sensors

import (
	"fmt"
	"strings"
	"testing"
)

var badSpecs = []struct{ name, spec, want string }{
	{"nothing", "", `source "": has no scheme`},
	{"path only", "/dev/video0", "has no scheme"},
	{"near scheme", "v4l:/dev/video0", `unknown scheme "v4l": did you mean "v4l2"?`},
	{"far scheme", "gopher://me:s3cret@cam/", `known: v4l2, folder`},
	{"rtsp", "rtsp://me:s3cret@cam/", "as in command:ffmpeg"},
	{"near key", "v4l2:/dev/video0?szie=1x1", `unknown key "szie": did you mean "size"?`},
	{"far key", "folder:/p?colour=red", "known: fps, loop"},
	{"key twice", "folder:/p?fps=1&fps=2", `key "fps" is given 2 times`},
	{"bad size", "pattern:?size=640", `size is "640"`},
	{"huge size", "pattern:?size=9000x9000", "from 1 to 8192"},
	{"bad fps", "folder:/p?fps=NaN", `fps is "NaN"`},
	{"zero fps", "v4l2:/dev/video0?fps=0", `fps is "0"`},
	{"bad format", "v4l2:/dev/video0?format=mpeg", `did you mean "mjpeg"?`},
	{"bad matrix", "v4l2:/dev/video0?matrix=bt706", `matrix is "bt706": did you mean "bt70`},
	{"bad range", "v4l2:/dev/video0?range=video", `range is "video": known: limited, full`},
	{"no device", "v4l2:", "write v4l2:/dev/video0"},
	{"bad loop", "folder:/p?loop=maybe", "want true or false"},
	{"open quote", "command:sh -c 'x", "quote without its end"},
	{"no program", "command: ", "has no program"},
	{"no host", "http:///x", "is not a URL"},
	{"http key", "http://me:s3cret@cam/x?y=s3cret#fsp=1", `unknown key "fsp": did you mean "fps"?`},
	{"bad url", "http://me:s3cret@cam:port/", "is not a URL"},
	{"line break", "folder:/a\nb", "line break"},
	{"pattern path", "pattern:/x", "takes no path"},
	{"bad frames", "pattern:?frames=-1", `frames is "-1"`},
}

func TestOpenExplainsBadSpecs(t *testing.T) {
	for _, tt := range badSpecs {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Open(tt.spec, Options{})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "source ") {
				t.Fatalf("Open = %v, want %q in it", err, tt.want)
			}
			if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q shows a secret or has a line break", err)
			}
		})
	}
}

var goodSpecs = map[string]string{
	"v4l2:/dev/v4l/by-id/usb-x-index0?size=640x480&fps=15&format=mjpeg": "v4l2:/dev/v4l/by-id/usb-x-index0?size=640x480&fps=15&format=mjpeg",
	"v4l2:/dev/video0?format=yuyv&matrix=bt709&range=full":              "v4l2:/dev/video0?format=yuyv&matrix=bt709&range=full",
	"folder:/a b?fps=5&loop=true":                                       "folder:/a b?fps=5&loop=true",
	"http://me:s3cret@cam/x?pwd=s3cret#fps=2":                           "http://me:xxxxx@cam/x?pwd=xxxxx#fps=2",
	"http://me:s3/c@ret@cam/":                                           "",
	"command:ffmpeg -i rtsp://me:s3cret@cam/x -f mjpeg -":               "command:ffmpeg -i rtsp://me:xxxxx@cam/x -f mjpeg -",
	"pattern:": "pattern:",
}

func TestStringRedacts(t *testing.T) {
	for spec, want := range goodSpecs {
		src, err := Open(spec, Options{})
		if want == "" {
			if err == nil || strings.Contains(err.Error(), "s3") {
				t.Errorf("Open(%q) = %v, want an error without the secret", spec, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("Open(%q): %v", spec, err)
		} else if src.String() != want {
			t.Errorf("String = %q, want %q", src, want)
		}
	}
}

func TestSplitWords(t *testing.T) {
	tests := []struct{ line, want string }{
		{`a b  c`, "a|b|c"},
		{`gst ! 'video/x-raw(memory:NVMM),width=1' ! fdsink`, "gst|!|video/x-raw(memory:NVMM),width=1|!|fdsink"},
		{`a "b \"c\" $d" e\ f ''`, `a|b "c" $d|e f|`},
		{`sh -c "a\n"`, `sh|-c|a\n`},
	}
	for _, tt := range tests {
		got, err := splitWords(tt.line)
		if err != nil || strings.Join(got, "|") != tt.want {
			t.Errorf("splitWords(%s) = %q, %v, want %s", tt.line, got, err, tt.want)
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, tt := range badSpecs {
		f.Add(tt.spec)
	}
	for spec := range goodSpecs {
		f.Add(spec)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		src, err := Open(spec, Options{})
		if (src == nil) == (err == nil) {
			t.Fatalf("Open = %v, %v", src, err)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\r") {
			t.Fatalf("error of more than one line: %q", err)
		}
	})
}

func TestSpecParts(t *testing.T) {
	for _, tt := range []struct{ spec, device, words string }{
		{"v4l2:/dev/egret/port-platform-x_hcd_0-usb-0_1_1_0?size=640x480", "/dev/egret/port-platform-x_hcd_0-usb-0_1_1_0", "[]"},
		{"v4l2:/dev/video0", "/dev/video0", "[]"},
		{"command:rpicam-vid --output -", "", "[rpicam-vid --output -]"},
		{"command:", "", "[]"},
		{"pattern:", "", "[]"},
	} {
		if _, err := Open(tt.spec, Options{}); err != nil && tt.spec != "command:" {
			t.Error(err)
		}
		if device, words := V4L2Device(tt.spec), fmt.Sprint(CommandWords(tt.spec)); device != tt.device || words != tt.words {
			t.Errorf("%s: %q and %s, want %q and %s", tt.spec, device, words, tt.device, tt.words)
		}
	}
}
