#ifndef EGRET_PIXEL_NATIVE_H_
#define EGRET_PIXEL_NATIVE_H_

#include <stddef.h>
#include <stdint.h>

// A scaler's native half: a JPEG decoder, filters and row buffers that are
// kept from picture to picture. For one thread at a time.
typedef struct egret_scaler egret_scaler;

egret_scaler* egret_scaler_new(void);
void egret_scaler_free(egret_scaler* s);

// The results of egret_jpeg.
enum {
  EGRET_OK = 0,
  EGRET_CORRUPT = 1,
  EGRET_TRUNCATED = 2,
  EGRET_NO_MEMORY = 3,
};

// egret_jpeg decodes a JPEG into the scaler's own picture, 4 bytes a pixel
// (R, G, B and one unused), at the smallest eighth of its size that has
// need_w × need_h pixels at least. size holds the width and height that the
// caller has found in its header. The reason of a failure is in egret_message.
int egret_jpeg(egret_scaler* s, const uint8_t* data, size_t bytes, int need_w,
               int need_h, const int32_t* size);
const char* egret_message(const egret_scaler* s);

// What the planes of a picture are; as type model in colour.go.
enum { EGRET_RGB = 0, EGRET_GRAY = 1, EGRET_YUV = 2 };

// The words of a description of what to scale, all int32_t.
enum {
  // Per plane, in the order of the channels: offset, bytes from row to row and
  // from sample to sample, samples in a row, rows.
  EGRET_PLANES = 0,
  EGRET_MODEL = 15,
  // What of the picture is shown, in 1/2^24 of its width and height.
  EGRET_SX,
  EGRET_SY,
  EGRET_SW,
  EGRET_SH,
  // Where in the target it goes, and the target's width and height, in pixels.
  EGRET_DX,
  EGRET_DY,
  EGRET_DW,
  EGRET_DH,
  EGRET_W,
  EGRET_H,
  EGRET_PAD,   // grey around it, 0 to 255
  EGRET_FLIP,  // what plain bytes are xored with
  EGRET_WORDS,
};

// egret_scale scales planes (NULL: the picture that egret_jpeg left, the
// planes' words are then its) into dst, through the table of bytes or floats
// if there is one. matrix has black, y, rv, gu, gv, bu as factors of 65536
// (black plain). It returns EGRET_OK or EGRET_NO_MEMORY.
int egret_scale(egret_scaler* s, const uint8_t* p0, const uint8_t* p1,
                const uint8_t* p2, const int32_t* words, const int32_t* matrix,
                const uint8_t* bytes, const float* floats, uint8_t* dst);

#endif
