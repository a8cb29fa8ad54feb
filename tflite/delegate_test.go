package tflite

import (
	"errors"
	"strings"
	"testing"
)

var delegateSpecs = []struct {
	spec, name, path, called string
	options                  []DelegateOption
	wrong                    string
}{
	{spec: "", name: "cpu", called: "cpu"},
	{spec: "cpu", name: "cpu", called: "cpu"},
	{spec: "xnnpack", name: "xnnpack", called: "xnnpack"},
	{spec: "edgetpu", name: "edgetpu", path: "libedgetpu.so.1", called: "edgetpu"},
	{spec: "edgetpu?device=usb", name: "edgetpu", path: "libedgetpu.so.1", called: "edgetpu", options: []DelegateOption{{"device", "usb"}}},
	{spec: "gpu", name: "gpu", path: "libtensorflowlite_gpu_delegate.so", called: "gpu"},
	{spec: "external:/usr/lib/libvx.so?b=2&a=x%26y", name: "external", path: "/usr/lib/libvx.so", called: "external:libvx.so", options: []DelegateOption{{"a", "x&y"}, {"b", "2"}}},
	{spec: "warp", wrong: "is not known: cpu, xnnpack"},
	{spec: "external:", wrong: "names no library"},
	{spec: "gpu:/x.so", wrong: "only external: takes a path"},
	{spec: "cpu?threads=2", wrong: "has options, which cpu does not take"},
	{spec: "edgetpu?a=1&a=2", wrong: "gives a twice"},
	{spec: "edgetpu?a=%zz", wrong: "cannot be read"},
	{spec: "external:/a\nb", wrong: "line break"},
	{spec: "external:/" + strings.Repeat("a", maxDelegateSpec), wrong: "limit is"},
}

func TestParseDelegate(t *testing.T) {
	for _, tt := range delegateSpecs {
		t.Run(tt.spec[:min(len(tt.spec), 40)], func(t *testing.T) {
			d, err := ParseDelegate(tt.spec)
			if tt.wrong != "" {
				if !errors.Is(err, ErrDelegate) || !strings.Contains(err.Error(), tt.wrong) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %v, want one line with %q", err, tt.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d.Name != tt.name || d.Path != tt.path || d.String() != tt.called || len(d.Options) != len(tt.options) {
				t.Fatalf("%+v (%s), want %+v", d, d, tt)
			}
			for i, o := range tt.options {
				if d.Options[i] != o {
					t.Errorf("option %v, want %v", d.Options[i], o)
				}
			}
		})
	}
}

func FuzzParseDelegate(f *testing.F) {
	for _, tt := range delegateSpecs {
		f.Add(tt.spec)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		d, err := ParseDelegate(spec)
		if err != nil && (!errors.Is(err, ErrDelegate) || strings.Contains(err.Error(), "\n")) {
			t.Fatalf("error %q", err)
		}
		if err == nil && d.Name == "" {
			t.Fatal("a delegate without a name")
		}
	})
}
