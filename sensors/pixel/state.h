//go:build cgo

// What the parts of the native scaler share.
#ifndef PIXEL_STATE_H
#define PIXEL_STATE_H

#include "kernel.h"

// Above so many samples for one the short sums of 16 bits would lose too much
// in their cut-off fractions.
#define FEW 32

// block is memory that grows, and shrinks after an unusually large picture.
struct block {
	void *p;
	size_t cap;
};

int block_room(struct block *, size_t bytes);

// axis is the triangle filter along one axis, kept from picture to picture:
// the same as filter in resize.go, in weights of 1/65536.
struct axis {
	int lanes, from, to, sub; // what it was made for, with start and size
	double start, size;
	int wide;      // more than FEW samples for one: sums of 32 bits are needed
	int bias, cbias; // half the samples for one: what cutting fractions costs
	int vectors;   // of eight weights for each output
	int lo, hi;    // the input samples in use
	struct block first, count, weights;
};

// axis_down prepares plain weights: count for each output, from first on,
// one output after the other.
int axis_down(struct axis *, int from, int to, double start, double size);

// axis_across prepares vectors of weights for samples in groups of 1, 2 or 4.
int axis_across(struct axis *, int lanes, int from, int to, double start, double size);

// axis_yuyv prepares vectors of weights for groups of Y U Y V.
int axis_yuyv(struct axis *, int from, int to, double start, double size);

struct pixel_state {
	struct axis across, down, cacross, cdown;
	struct block rows;    // one output row's samples before they are brought together across
	struct block lines;   // and after
	struct block decoded; // a JPEG, as RGBX
	char why[200];        // the reason for a failure
};

#endif
