//go:build cgo

// Scaling, colour and the tensor's encoding in one pass over a picture: for
// each row of the target, the rows of the picture that show in it are summed
// (16 bits wide, which every vector unit does many at a time), then columns,
// then colours are mixed, and the row is stored while it is in the cache.
#include "native_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__)
// Lets the loops below become vector instructions; no value here is NaN.
#pragma GCC optimize("O3", "no-math-errno", "finite-math-only", \
                     "no-signed-zeros", "no-trapping-math")
#endif

typedef float v4f __attribute__((vector_size(16), aligned(4)));
typedef int32_t v4i __attribute__((vector_size(16)));

int egret_grow(void** p, size_t* room, size_t n) {
  if (*p != NULL && *room >= n) return 1;
  free(*p);
  *p = malloc(n + 64);
  *room = *p == NULL ? 0 : n;
  return *p != NULL;
}

egret_scaler* egret_scaler_new(void) { return calloc(1, sizeof(egret_scaler)); }

void egret_scaler_free(egret_scaler* s) {
  if (s == NULL) return;
  egret_jpeg_free(s);
  free(s->picture);
  for (int i = 0; i < 2; i++) {
    axis* both[] = {&s->x[i], &s->y[i]};
    for (int k = 0; k < 2; k++) {
      free(both[k]->first);
      free(both[k]->w8);
      free(both[k]->wf);
    }
  }
  for (int i = 0; i < 3; i++) {
    free(s->sums[i]);
    free(s->row[i]);
    free(s->out[i]);
  }
  free(s->rgb);
  free(s);
}

const char* egret_message(const egret_scaler* s) { return s->message; }

static const double kWhole = 1 << 24;  // of start and length

// padded is a number of taps as vectors of four take them; those that are too
// many have no weight.
static inline int padded(int taps) { return (taps + 3) & ~3; }

// set makes the triangle filter (see filter in resize.go) that brings length
// of from samples, beginning at start, to to samples; both in 2^-24 of from.
static int set(axis* a, int from, int start, int length, int to) {
  if (a->from == from && a->start == start && a->length == length &&
      a->to == to)
    return 1;
  double scale = from * (length / kWhole) / to;
  double origin = from * (start / kWhole);
  double support = scale > 1 ? scale : 1;
  a->taps = (int)(2 * support) + 2;
  if (a->taps > from) a->taps = from;
  a->from = 0;  // until it is whole
  if (!egret_grow((void**)&a->first, &a->room_first, to * sizeof *a->first) ||
      !egret_grow((void**)&a->w8, &a->room_w8,
                  (size_t)to * a->taps * sizeof *a->w8) ||
      !egret_grow((void**)&a->wf, &a->room_wf,
                  (size_t)to * padded(a->taps) * sizeof *a->wf))
    return 0;
  memset(a->wf, 0, (size_t)to * padded(a->taps) * sizeof *a->wf);
  for (int i = 0; i < to; i++) {
    double centre = origin + (i + 0.5) * scale - 0.5;
    int first = (int)ceil(centre - support);
    if (first > from - a->taps) first = from - a->taps;
    if (first < 0) first = 0;
    uint16_t* w8 = a->w8 + (size_t)i * a->taps;
    float* wf = a->wf + (size_t)i * padded(a->taps);
    double sum = 0;
    for (int t = 0; t < a->taps; t++) {
      double w = 1 - fabs(first + t - centre) / support;
      sum += w > 0 ? w : 0;
    }
    int rest = 256, peak = 0;
    for (int t = 0; t < a->taps; t++) {
      double w = 1 - fabs(first + t - centre) / support;
      w = w > 0 ? w / sum : 0;
      wf[t] = (float)(w / 256);
      w8[t] = (uint16_t)(w * 256 + 0.5);
      rest -= w8[t];
      if (w8[t] > w8[peak]) peak = t;
    }
    // The rounding errors go to the heaviest sample: white must stay 255.
    w8[peak] += rest;
    a->first[i] = first;
  }
  a->from = from;
  a->start = start;
  a->length = length;
  a->to = to;
  return 1;
}

// add_rows sums the rows that make up row y of the target: 256 times the value.
static void add_rows(const axis* a, int y, const uint8_t* src, ptrdiff_t stride,
                     int n, uint16_t* restrict sums) {
  const uint16_t* w = a->w8 + (size_t)y * a->taps;
  const uint8_t* row = src + stride * a->first[y];
  int t = 0;
  while (t < a->taps - 1 && w[t] == 0) t++;
  const uint8_t* restrict first = row + stride * t;
  const uint16_t w0 = w[t];
  for (int x = 0; x < n; x++) sums[x] = (uint16_t)(first[x] * w0);
  for (t++; t < a->taps; t++) {
    if (w[t] == 0) continue;
    const uint8_t* restrict next = row + stride * t;
    const uint16_t wt = w[t];
    for (int x = 0; x < n; x++) sums[x] += (uint16_t)(next[x] * wt);
  }
}

// spread takes every step-th sum as a float, so that a channel's samples lie
// side by side.
static void spread(const uint16_t* restrict sums, int step, int n,
                   float* restrict row) {
  switch (step) {  // known steps become vector instructions
    case 1:
      for (int x = 0; x < n; x++) row[x] = (float)(int32_t)sums[x];
      break;
    case 2:
      for (int x = 0; x < n; x++) row[x] = (float)(int32_t)sums[2 * x];
      break;
    case 4:
      for (int x = 0; x < n; x++) row[x] = (float)(int32_t)sums[4 * x];
      break;
    default:
      for (int x = 0; x < n; x++)
        row[x] = (float)(int32_t)sums[(ptrdiff_t)step * x];
  }
}

// across takes one channel of a row to the target's width.
static void across(const axis* a, const float* restrict row,
                   float* restrict out) {
  const int taps = padded(a->taps);
  const float* restrict w = a->wf;
  for (int i = 0; i < a->to; i++, w += taps) {
    const float* restrict p = row + a->first[i];
    v4f sum = *(const v4f*)p * *(const v4f*)w;
    for (int t = 4; t < taps; t += 4)
      sum += *(const v4f*)(p + t) * *(const v4f*)(w + t);
    out[i] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  }
}

// across4 takes a row of four-byte pixels to a row of packed RGB; all four
// channels fit one vector.
static void across4(const axis* a, const float* restrict row,
                    uint8_t* restrict rgb) {
  const int taps = a->taps;
  const v4f half = {0.5f, 0.5f, 0.5f, 0.5f};
  for (int i = 0; i < a->to; i++) {
    const float* restrict p = row + (ptrdiff_t)a->first[i] * 4;
    const float* restrict w = a->wf + (size_t)i * padded(taps);
    v4f sum = half;
    for (int t = 0; t < taps; t++)
      sum += *(const v4f*)(p + 4 * t) * (v4f){w[t], w[t], w[t], w[t]};
    v4i whole = __builtin_convertvector(sum, v4i);
    rgb[3 * i] = (uint8_t)whole[0];
    rgb[3 * i + 1] = (uint8_t)whole[1];
    rgb[3 * i + 2] = (uint8_t)whole[2];
  }
}

static inline float clamp(float v) {
  v = v < 0 ? 0 : v;
  return v > 255 ? 255 : v;
}

// mix turns one row of three channels into packed RGB.
static void mix(int model, const int32_t* matrix, float* restrict a,
                float* restrict b, float* restrict c, int n,
                uint8_t* restrict rgb) {
  if (model == EGRET_YUV) {
    const float black = matrix[0], ky = matrix[1] / 65536.f,
                rv = matrix[2] / 65536.f, gu = matrix[3] / 65536.f,
                gv = matrix[4] / 65536.f, bu = matrix[5] / 65536.f;
    for (int i = 0; i < n; i++) {
      float y = ky * (a[i] - black), u = b[i] - 128, v = c[i] - 128;
      a[i] = clamp(y + rv * v);
      b[i] = clamp(y - gu * u - gv * v);
      c[i] = clamp(y + bu * u);
    }
  }
  if (model == EGRET_GRAY) b = c = a;
  for (int i = 0; i < n; i++) {
    rgb[3 * i] = (uint8_t)(int32_t)(a[i] + 0.5f);
    rgb[3 * i + 1] = (uint8_t)(int32_t)(b[i] + 0.5f);
    rgb[3 * i + 2] = (uint8_t)(int32_t)(c[i] + 0.5f);
  }
}

// store writes n packed pixels as the tensor has them.
static void store(const uint8_t* restrict rgb, int n, const int32_t* words,
                  const uint8_t* restrict bytes, const float* restrict floats,
                  uint8_t* restrict dst) {
  if (floats != NULL) {
    float* restrict out = (float*)dst;
    for (int i = 0; i < 3 * n; i += 3) {
      out[i] = floats[rgb[i]];
      out[i + 1] = floats[256 + rgb[i + 1]];
      out[i + 2] = floats[512 + rgb[i + 2]];
    }
  } else if (bytes != NULL) {
    for (int i = 0; i < 3 * n; i += 3) {
      dst[i] = bytes[rgb[i]];
      dst[i + 1] = bytes[256 + rgb[i + 1]];
      dst[i + 2] = bytes[512 + rgb[i + 2]];
    }
  } else {
    const uint8_t flip = (uint8_t)words[EGRET_FLIP];
    for (int i = 0; i < 3 * n; i++) dst[i] = rgb[i] ^ flip;
  }
}

typedef struct plane {
  const uint8_t* at;
  int row, step, w, h;
  int small;  // it has filters of its own
  int like;   // the plane whose summed rows hold this one's samples too
  int offset;  // of its samples in those
  int bytes;   // of a summed row
} plane;

// layout reads the planes and finds those that lie within each other's rows:
// their rows are summed once.
static int layout(const egret_scaler* s, const uint8_t* const* base,
                  const int32_t* words, plane* p) {
  int planes = words[EGRET_MODEL] == EGRET_GRAY ? 1 : 3;
  for (int i = 0; i < planes; i++) {
    const int32_t* w = words + EGRET_PLANES + 5 * i;
    if (base[0] == NULL)
      p[i] = (plane){s->picture + i, s->width * 4, 4, s->width, s->height};
    else
      p[i] = (plane){base[i] + w[0], w[1], w[2], w[3], w[4]};
    p[i].small = p[i].w != p[0].w || p[i].h != p[0].h;
    p[i].like = i;
    p[i].bytes = (p[i].w - 1) * p[i].step + 1;
    for (int k = 0; k < i; k++) {
      ptrdiff_t apart = p[i].at - p[k].at;
      if (p[k].like == k && p[k].row == p[i].row && p[k].h == p[i].h &&
          apart >= 0 && apart < p[i].row && p[i].step > 1) {
        p[i].like = k;
        p[i].offset = (int)apart;
        int end = p[i].offset + p[i].bytes;
        if (end > p[k].bytes) p[k].bytes = end;
        break;
      }
    }
  }
  return planes;
}

// grow_row makes room for a row of floats. Vectors read up to four more, whose
// weight is nothing; they must be numbers.
static int grow_row(egret_scaler* s, int i, size_t n) {
  size_t before = s->room_row[i];
  if (!egret_grow((void**)&s->row[i], &s->room_row[i],
                  (n + 4) * sizeof(float)))
    return 0;
  if (s->room_row[i] != before) memset(s->row[i], 0, s->room_row[i]);
  return 1;
}

// prepare sets the filters and makes room for the rows.
static int prepare(egret_scaler* s, const plane* p, int planes,
                   const int32_t* words) {
  if (!egret_grow((void**)&s->rgb, &s->room_rgb, 3 * (size_t)words[EGRET_W]))
    return 0;
  for (int i = 0; i < planes; i++) {
    int k = p[i].small;
    size_t n = p[i].bytes;
    if (!set(&s->x[k], p[i].w, words[EGRET_SX], words[EGRET_SW],
             words[EGRET_DW]) ||
        !set(&s->y[k], p[i].h, words[EGRET_SY], words[EGRET_SH],
             words[EGRET_DH]) ||
        !egret_grow((void**)&s->sums[i], &s->room_sums[i],
                    n * sizeof(uint16_t)) ||
        !grow_row(s, i, n + 4) ||
        !egret_grow((void**)&s->out[i], &s->room_out[i],
                    words[EGRET_DW] * sizeof(float)))
      return 0;
  }
  return 1;
}

int egret_scale(egret_scaler* s, const uint8_t* p0, const uint8_t* p1,
                const uint8_t* p2, const int32_t* words, const int32_t* matrix,
                const uint8_t* bytes, const float* floats, uint8_t* dst) {
  const uint8_t* base[] = {p0, p1, p2};
  plane p[3];
  int planes = layout(s, base, words, p);
  if (!prepare(s, p, planes, words)) return EGRET_NO_MEMORY;
  const int width = words[EGRET_W], dx = words[EGRET_DX], dw = words[EGRET_DW];
  const size_t line = (size_t)width * 3 * (floats != NULL ? sizeof(float) : 1);
  // Four bytes a pixel in one plane's rows: one vector holds a pixel.
  const int packed4 = words[EGRET_MODEL] == EGRET_RGB && p[0].step == 4 &&
                      p[1].like == 0 && p[1].offset == 1 && p[2].like == 0 &&
                      p[2].offset == 2;
  for (int y = 0; y < words[EGRET_H]; y++, dst += line) {
    int at = y - words[EGRET_DY];
    int inside = at >= 0 && at < words[EGRET_DH];
    if (!inside || dw < width)
      memset(s->rgb, words[EGRET_PAD], 3 * (size_t)width);
    for (int i = 0; i < planes && inside; i++) {
      if (p[i].like == i)
        add_rows(&s->y[p[i].small], at, p[i].at, p[i].row, p[i].bytes,
                 s->sums[i]);
      if (packed4) continue;
      spread(s->sums[p[i].like] + p[i].offset, p[i].step, p[i].w, s->row[i]);
      across(&s->x[p[i].small], s->row[i], s->out[i]);
    }
    if (inside && packed4) {
      spread(s->sums[0], 1, p[0].bytes, s->row[0]);
      across4(&s->x[0], s->row[0], s->rgb + 3 * dx);
    } else if (inside) {
      mix(words[EGRET_MODEL], matrix, s->out[0], s->out[1], s->out[2], dw,
          s->rgb + 3 * dx);
    }
    store(s->rgb, width, words, bytes, floats, dst);
  }
  return EGRET_OK;
}
