//go:build cgo

package tflite

/*
#include <stdlib.h>
#include <tensorflow/lite/c/c_api.h>
#include "delegate.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	native "github.com/mattn/go-tflite"
)

// nativeDelegate is a delegate's native object. It must outlive the
// interpreter that uses it.
type nativeDelegate struct{ d C.egret_delegate }

// Ptr and Delete make it a delegate as go-tflite knows them.
func (n *nativeDelegate) Ptr() unsafe.Pointer { return unsafe.Pointer(n.d.delegate) }

// Delete frees the delegate; nil and again do nothing.
func (n *nativeDelegate) Delete() {
	if n != nil {
		C.egret_delegate_free(&n.d)
	}
}

// xnnpackLibrary is the version whose options we know the layout of.
const xnnpackLibrary = "2.9."

// newDelegate makes the native delegate; nil for the CPU.
func newDelegate(d Delegate, threads int) (*nativeDelegate, error) {
	n := &nativeDelegate{}
	var reason [512]C.char
	status := C.int(0)
	switch {
	case d.Name == CPU || d.Name == "":
		return nil, nil
	case d.Name == XNNPACK && !strings.HasPrefix(Version(), xnnpackLibrary):
		return nil, fmt.Errorf("%w: xnnpack is bound for TensorFlow Lite %sx, and this library is %s", ErrDelegate, xnnpackLibrary, Version())
	case d.Name == XNNPACK:
		status = C.egret_xnnpack(C.int(threads), &n.d, &reason[0], C.size_t(len(reason)))
	default:
		status = n.open(d, reason[:])
	}
	if status != 0 {
		return nil, fmt.Errorf("%w: %s: %s", ErrDelegate, d, strings.Join(strings.Fields(C.GoString(&reason[0])), " "))
	}
	return n, nil
}

// open loads an external delegate with its options.
func (n *nativeDelegate) open(d Delegate, reason []C.char) C.int {
	path := C.CString(d.Path)
	defer C.free(unsafe.Pointer(path))
	// One spare word, so that there is an address without options too.
	words := make([]*C.char, 2*len(d.Options)+1)
	for i, o := range d.Options {
		words[i], words[len(d.Options)+i] = C.CString(o.Key), C.CString(o.Value)
	}
	defer func() {
		for _, w := range words {
			C.free(unsafe.Pointer(w))
		}
	}()
	keys, values := unsafe.SliceData(words), unsafe.SliceData(words[len(d.Options):])
	return C.egret_external(path, keys, values, C.size_t(len(d.Options)), &n.d, &reason[0], C.size_t(len(reason)))
}

// newInterpreter makes an interpreter with the delegate (nil for none), and
// tells how many of the model's operators there are and how many the delegate
// takes; both are 0 when that is not known.
func newInterpreter(model *native.Model, options *native.InterpreterOptions, n *nativeDelegate) (_ *native.Interpreter, operators, taken int, err error) {
	if n == nil {
		i := native.NewInterpreter(model, options)
		if i == nil {
			return nil, 0, 0, errors.New("the library makes no interpreter of it")
		}
		return i, 0, 0, nil
	}
	options.AddDelegate(n)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	C.egret_watch_begin(&n.d)
	i := native.NewInterpreter(model, options)
	var all, some C.int
	C.egret_watch_end(&n.d, &all, &some)
	if i == nil {
		return nil, 0, 0, fmt.Errorf("%w: the library makes no interpreter of it with this delegate", ErrDelegate)
	}
	return i, max(int(all), 0), max(int(some), 0), nil
}
