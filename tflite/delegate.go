package tflite

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// ErrDelegate marks that a delegate is unknown, missing or refuses: another
// one may still run the model.
var ErrDelegate = errors.New("delegate cannot be used")

// The delegates that need no file of their own.
const (
	CPU     = "cpu"     // the library's built-in kernels
	XNNPACK = "xnnpack" // the library's fast kernels for int8 and float models
)

// libraries are the usual files of delegates that have a name: each exports
// TensorFlow Lite's external delegate functions.
var libraries = map[string]string{
	"edgetpu": "libedgetpu.so.1",
	"gpu":     "libtensorflowlite_gpu_delegate.so",
}

// maxDelegateSpec bounds a specification; paths are at most 4096 bytes.
const maxDelegateSpec = 8 << 10

// Delegate says what runs a model. Its zero value is the CPU.
type Delegate struct {
	// Name is "cpu", "xnnpack", "edgetpu", "gpu" or "external".
	Name string
	// Path is the external delegate's library; empty for cpu and xnnpack. A
	// bare file name is looked for where the system's loader looks.
	Path string
	// Options are passed to an external delegate, sorted by key.
	Options []DelegateOption
}

// DelegateOption is one setting of an external delegate; which there are, the
// delegate's own manual says.
type DelegateOption struct{ Key, Value string }

// ParseDelegate reads a specification:
//
//	cpu
//	xnnpack
//	edgetpu?device=usb                        (libedgetpu.so.1)
//	gpu                                       (libtensorflowlite_gpu_delegate.so)
//	external:/usr/lib/libvx_delegate.so?cache_file_path=/var/lib/egret/vx
//
// An error is one line and wraps ErrDelegate.
func ParseDelegate(spec string) (Delegate, error) {
	if len(spec) > maxDelegateSpec {
		return Delegate{}, fmt.Errorf("%w: its specification is %d bytes long, limit is %d", ErrDelegate, len(spec), maxDelegateSpec)
	}
	d, err := parseDelegate(spec)
	if err != nil {
		return Delegate{}, fmt.Errorf("%w: %q %w", ErrDelegate, spec, err)
	}
	return d, nil
}

func parseDelegate(spec string) (d Delegate, err error) {
	if strings.ContainsAny(spec, "\x00\n\r") {
		return d, errors.New("has a line break or zero byte in it")
	}
	what, query, _ := strings.Cut(spec, "?")
	name, path, external := strings.Cut(what, ":")
	switch {
	case external && name != "external":
		return d, errors.New("is not known: only external: takes a path")
	case external && path == "":
		return d, errors.New("names no library: write external:/path/to/delegate.so")
	case external:
		d.Name, d.Path = name, path
	case what == "" || what == CPU || what == XNNPACK:
		if d.Name = what; what == "" {
			d.Name = CPU
		}
		if query != "" {
			return d, fmt.Errorf("has options, which %s does not take", d.Name)
		}
	case libraries[what] != "":
		d.Name, d.Path = what, libraries[what]
	default:
		return d, errors.New("is not known: cpu, xnnpack, edgetpu, gpu or external:/path/to/delegate.so")
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return d, fmt.Errorf("has options that cannot be read: write ?key=value&key=value")
	}
	for key, value := range values {
		if len(value) > 1 {
			return d, fmt.Errorf("gives %s twice", key)
		}
		d.Options = append(d.Options, DelegateOption{key, value[0]})
	}
	slices.SortFunc(d.Options, func(a, b DelegateOption) int { return strings.Compare(a.Key, b.Key) })
	return d, nil
}

// String is what predictions and logs call the delegate: without the path's
// folders and the options.
func (d Delegate) String() string {
	switch d.Name {
	case "":
		return CPU
	case "external":
		return "external:" + filepath.Base(d.Path)
	}
	return d.Name
}

// DelegateNames are the names that a specification may begin with.
func DelegateNames() []string {
	names := []string{CPU, XNNPACK, "external"}
	for name := range libraries {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
