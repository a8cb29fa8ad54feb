#ifndef EGRET_PIXEL_NATIVE_INTERNAL_H_
#define EGRET_PIXEL_NATIVE_INTERNAL_H_

#include <stdio.h>

#include "native.h"

#include <jpeglib.h>

// One direction of a separable filter: each output sample is the weighted sum
// of taps input samples from first on. Weights sum to 256 (w8) and to 1/256
// (wf): rows are summed in 16 bits, and columns bring them back.
typedef struct axis {
  int from, start, length, to;  // what it was made for
  int taps;
  int32_t* first;
  uint16_t* w8;
  float* wf;
  size_t room_first, room_w8, room_wf;
} axis;

typedef struct jpeg_state jpeg_state;

struct egret_scaler {
  jpeg_state* jpeg;
  uint8_t* picture;  // decoded, 4 bytes a pixel
  size_t room_picture;
  int width, height;
  axis x[2], y[2];  // of full-size planes and of smaller ones
  uint16_t* sums[3];
  size_t room_sums[3];
  float* row[3];  // one row of each plane, as floats
  size_t room_row[3];
  float* out[3];  // the same at the target's width
  size_t room_out[3];
  uint8_t* rgb;  // one row of the target
  size_t room_rgb;
  char message[256];
};

// grow makes room for n bytes at *p; 0 when there is no memory.
int egret_grow(void** p, size_t* room, size_t n);

void egret_jpeg_free(egret_scaler* s);

#endif
