//go:build cgo

// The native scaler: from a picture's samples to the tensor's, row by row. It
// keeps no pointer of the caller's and calls nothing back.
#ifndef PIXEL_KERNEL_H
#define PIXEL_KERNEL_H

#include <stddef.h>
#include <stdint.h>

// How the samples lie in the planes.
enum pixel_layout { PIXEL_RGBX, PIXEL_RGB, PIXEL_GREY, PIXEL_YUYV, PIXEL_NV12, PIXEL_PLANAR };

// What becomes of a channel's value.
enum pixel_encoding { PIXEL_FLIP, PIXEL_BYTES, PIXEL_FLOATS };

// What a call came to.
enum pixel_result { PIXEL_OK, PIXEL_MEMORY, PIXEL_TRUNCATED, PIXEL_DAMAGED, PIXEL_TOO_DEEP };

// pixel_job is one picture's way to its tensor. It holds no pointers, so that
// it may lie in Go's memory.
struct pixel_job {
	int32_t layout;
	int32_t w, h;             // of the first plane
	int32_t cw, ch;           // of the chroma planes
	int32_t sub_x, sub_y;     // luma samples for one of chroma
	int32_t stride, cstride;  // in bytes
	double x, y, part_w, part_h; // the part that is wanted, in luma samples
	int32_t out_w, out_h;     // pixels to make of it
	int64_t base, x_step, y_step; // where they go, in bytes
	int32_t encoding, flip;
	int32_t bt709, full;      // for YUV
	int32_t max_deep;         // pixels that a JPEG of several scans may have
	int32_t max_scans;
};

struct pixel_state;

struct pixel_state *pixel_new(void);
void pixel_free(struct pixel_state *);
const char *pixel_why(const struct pixel_state *);

// pixel_scale brings raw samples to dst. c and d are the chroma planes of
// PIXEL_PLANAR; c alone is that of PIXEL_NV12.
int pixel_scale(struct pixel_state *, const struct pixel_job *, const uint8_t *a, const uint8_t *c, const uint8_t *d, uint8_t *dst, const void *table);

// pixel_jpeg decodes a JPEG of job's w×h pixels and scales it.
int pixel_jpeg(struct pixel_state *, const struct pixel_job *, const uint8_t *data, size_t n, uint8_t *dst, const void *table);

// pixel_jpeg_needs_tables tells whether the library cannot decode a JPEG
// without Huffman tables.
int pixel_jpeg_needs_tables(void);

#endif
