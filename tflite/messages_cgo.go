//go:build cgo

package tflite

/*
#include <stdlib.h>
#include "messages.h"
*/
import "C"

import (
	"strings"
	"unsafe"

	native "github.com/mattn/go-tflite"
)

// messages collects what the native library has to say about a model, which it
// would else print to standard error. It belongs to the interpreter's
// goroutine.
//
// go-tflite's own SetErrorReporter passes a va_list where arguments are
// expected: its %s may read anywhere. So the reporter is ours, set on the
// options that go-tflite keeps in its only field.
type messages struct{ c *C.egret_messages }

func newMessages(options *native.InterpreterOptions) *messages {
	m := &messages{c: (*C.egret_messages)(C.calloc(1, C.sizeof_egret_messages))}
	C.egret_messages_collect(*(**C.TfLiteInterpreterOptions)(unsafe.Pointer(options)), m.c)
	return m
}

// take is what was said since the last call, on one line.
func (m *messages) take() string {
	if m == nil || m.c == nil {
		return ""
	}
	text := strings.Join(strings.Fields(C.GoString(&m.c.text[0])), " ")
	m.c.text[0] = 0
	return text
}

// reason is take in parentheses, or nothing.
func (m *messages) reason() string {
	if text := m.take(); text != "" {
		return " (" + text + ")"
	}
	return ""
}

// free must come after the interpreter's end. Nil and again do nothing.
func (m *messages) free() {
	if m != nil {
		C.free(unsafe.Pointer(m.c))
		m.c = nil
	}
}
