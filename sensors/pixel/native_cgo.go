//go:build cgo

package pixel

/*
#cgo CFLAGS: -O3
#cgo noescape pixel_scale
#cgo nocallback pixel_scale
#cgo noescape pixel_jpeg
#cgo nocallback pixel_jpeg
#include "kernel.h"
*/
import "C"

import (
	"errors"
	"runtime"
	"strings"
	"unsafe"
)

const hasNative = true

// native is the scaler in C. Its memory is freed by close, or with it.
type native struct {
	state   *C.struct_pixel_state
	job     C.struct_pixel_job
	cleanup runtime.Cleanup
}

// open makes the native state, once.
func (n *native) open() bool {
	if n.state != nil {
		return true
	}
	if n.state = C.pixel_new(); n.state == nil {
		return false
	}
	n.cleanup = runtime.AddCleanup(n, func(s *C.struct_pixel_state) { C.pixel_free(s) }, n.state)
	return true
}

func (n *native) close() {
	if n.state == nil {
		return
	}
	n.cleanup.Stop()
	C.pixel_free(n.state)
	n.state = nil
}

// prepare tells C of the way to go, and gives the table that goes with it.
func (n *native) prepare(j *job) unsafe.Pointer {
	c := &n.job
	*c = C.struct_pixel_job{
		x: C.double(j.part.x), y: C.double(j.part.y), part_w: C.double(j.part.w), part_h: C.double(j.part.h),
		out_w: C.int32_t(j.w), out_h: C.int32_t(j.h),
		base: C.int64_t(j.base), x_step: C.int64_t(j.xStep), y_step: C.int64_t(j.yStep),
		sub_x: 1, sub_y: 1,
		max_deep: maxDeep, max_scans: maxScans,
	}
	switch {
	case j.enc.Floats != nil:
		c.encoding = C.PIXEL_FLOATS
		return unsafe.Pointer(j.enc.Floats)
	case j.enc.Bytes != nil:
		c.encoding = C.PIXEL_BYTES
		return unsafe.Pointer(j.enc.Bytes)
	}
	c.flip = C.int32_t(j.enc.Flip)
	return nil
}

// jpeg decodes and scales a JPEG.
func (n *native) jpeg(dst []byte, j *job, h jpegInfo, data []byte) error {
	if !n.open() {
		return noMemory(JPEG)
	}
	if !h.huffman && C.pixel_jpeg_needs_tables() != 0 {
		data = withTables(data)
	}
	table := n.prepare(j)
	n.job.w, n.job.h = C.int32_t(h.w), C.int32_t(h.h)
	result := C.pixel_jpeg(n.state, &n.job, bytesOf(data), C.size_t(len(data)), bytesOf(dst), table)
	runtime.KeepAlive(n)
	switch result {
	case C.PIXEL_OK:
		return nil
	case C.PIXEL_MEMORY:
		return noMemory(JPEG)
	case C.PIXEL_TRUNCATED:
		return &Error{Format: JPEG, Kind: ErrTruncated}
	case C.PIXEL_TOO_DEEP:
		return fail(JPEG, ErrTooLarge, "picture is %d×%d pixels in several scans, limit is %d in all and %d scans", h.w, h.h, maxDeep, maxScans)
	}
	return fail(JPEG, ErrFormat, "%s", clean(C.GoString(C.pixel_why(n.state))))
}

// scale brings a picture's planes to the tensor.
func (n *native) scale(dst []byte, j *job, p *picture) error {
	if !n.open() {
		return noMemory(p.format)
	}
	table := n.prepare(j)
	c, a, u := &n.job, &p.planes[0], &p.planes[1]
	c.w, c.h, c.stride = C.int32_t(a.w), C.int32_t(a.h), C.int32_t(a.row)
	c.bt709, c.full = C.int32_t(btoi(p.colour.Matrix == BT709)), C.int32_t(btoi(p.colour.Range == Full))
	var second, third *C.uint8_t
	switch {
	case p.model == gray:
		c.layout = C.PIXEL_GREY
	case p.model == rgb:
		c.layout = C.PIXEL_RGB
		if a.step == 4 {
			c.layout = C.PIXEL_RGBX
		}
	case a.step == 2:
		c.layout = C.PIXEL_YUYV
	default:
		c.layout = C.PIXEL_PLANAR
		if u.step == 2 {
			c.layout = C.PIXEL_NV12
		}
		c.cw, c.ch, c.cstride = C.int32_t(u.w), C.int32_t(u.h), C.int32_t(u.row)
		c.sub_x, c.sub_y = C.int32_t(u.sx), C.int32_t(u.sy)
		second, third = bytesOf(u.pix[u.at:]), bytesOf(p.planes[2].pix[p.planes[2].at:])
	}
	result := C.pixel_scale(n.state, c, bytesOf(a.pix[a.at:]), second, third, bytesOf(dst), table)
	runtime.KeepAlive(n)
	if result != C.PIXEL_OK {
		return noMemory(p.format)
	}
	return nil
}

func bytesOf(b []byte) *C.uint8_t { return (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(b))) }

func noMemory(f Format) error { return fail(f, ErrTooLarge, "not enough memory for the picture") }

// clean makes the library's words ours: no capital, no full stop.
func clean(why string) string {
	why = strings.TrimRight(why, ". \n")
	if why == "" {
		return ErrFormat.Error()
	}
	if len(why) > 1 && why[1] >= 'a' {
		why = strings.ToLower(why[:1]) + why[1:]
	}
	return oneLine(errors.New(why))
}
