//go:build cgo

package pixel

/*
#cgo noescape egret_jpeg
#cgo nocallback egret_jpeg
#cgo noescape egret_scale
#cgo nocallback egret_scale
#include "native.h"
*/
import "C"

import (
	"runtime"
	"unsafe"
)

// native is the part of a scaler that runs in C: JPEG by libjpeg-turbo, and
// scaling, colour and encoding in one pass. Other encoded pictures, which no
// camera delivers, are decoded in Go and scaled here.
type native struct{ *handle }

// handle owns the C object. It is an object of its own so that a forgotten
// scaler's can be freed.
type handle struct {
	c     *C.egret_scaler
	words [C.EGRET_WORDS]C.int32_t
	size  [2]C.int32_t
	undo  runtime.Cleanup
}

func (n *native) open() error {
	if n.handle != nil {
		return nil
	}
	c := C.egret_scaler_new()
	if c == nil {
		return fail(Unknown, ErrTooLarge, "out of memory")
	}
	n.handle = &handle{c: c}
	n.undo = runtime.AddCleanup(n.handle, func(c *C.egret_scaler) { C.egret_scaler_free(c) }, c)
	return nil
}

func (n *native) close() {
	if n.handle == nil {
		return
	}
	n.undo.Stop()
	C.egret_scaler_free(n.c)
	n.handle = nil
}

func (n *native) render(dst []byte, t *Target, src Image) (region, error) {
	if err := n.open(); err != nil {
		return region{}, err
	}
	if src.Format == JPEG {
		return n.jpeg(dst, t, src)
	}
	p, err := decode(src)
	if err != nil {
		return region{}, err
	}
	r := t.Fit.place(p.planes[0].w, p.planes[0].h, t.Width, t.Height)
	for i, pl := range p.planes {
		for k, v := range [...]int{pl.at, pl.row, pl.step, pl.w, pl.h} {
			n.words[5*i+k] = C.int32_t(v)
		}
	}
	return r, n.scale(dst, t, r, p, src.Format)
}

// jpeg decodes at a reduced size where the target allows it, and scales the
// rest.
func (n *native) jpeg(dst []byte, t *Target, src Image) (region, error) {
	w, h, err := jpegSize(src.Data)
	if err != nil {
		return region{}, err
	}
	r := t.Fit.place(w, h, t.Width, t.Height)
	data := unsafe.SliceData(src.Data)
	n.size = [2]C.int32_t{C.int32_t(w), C.int32_t(h)}
	status := C.egret_jpeg(n.c, (*C.uint8_t)(data), C.size_t(len(src.Data)), C.int(need(r.sw, r.dw)), C.int(need(r.sh, r.dh)), &n.size[0])
	if status != C.EGRET_OK {
		return r, n.failed(JPEG, status)
	}
	return r, n.scale(dst, t, r, picture{model: rgb}, JPEG)
}

func (n *native) scale(dst []byte, t *Target, r region, p picture, f Format) error {
	m := p.matrix
	if m == nil {
		m = jfif
	}
	for i, v := range [...]int{int(p.model), int(r.sx), int(r.sy), int(r.sw), int(r.sh), r.dx, r.dy, r.dw, r.dh, t.Width, t.Height, pad, int(t.Encoding.Flip)} {
		n.words[C.EGRET_MODEL+i] = C.int32_t(v)
	}
	plane := func(i int) *C.uint8_t { return (*C.uint8_t)(unsafe.SliceData(p.planes[i].pix)) }
	status := C.egret_scale(n.c, plane(0), plane(1), plane(2), &n.words[0], (*C.int32_t)(unsafe.Pointer(m)),
		(*C.uint8_t)(unsafe.Pointer(t.Encoding.Bytes)), (*C.float)(unsafe.Pointer(t.Encoding.Floats)), (*C.uint8_t)(unsafe.SliceData(dst)))
	if status != C.EGRET_OK {
		return n.failed(f, status)
	}
	return nil
}

// failed is the error for a result of the C half.
func (n *native) failed(f Format, status C.int) error {
	text := oneLine(C.GoString(C.egret_message(n.c)))
	switch status {
	case C.EGRET_TRUNCATED:
		return &Error{Format: f, Kind: ErrTruncated}
	case C.EGRET_NO_MEMORY:
		return fail(f, ErrTooLarge, "out of memory")
	}
	return fail(f, ErrFormat, "%s", text)
}

// nativeJPEG tells whether JPEG is decoded without allocating.
const nativeJPEG = true
