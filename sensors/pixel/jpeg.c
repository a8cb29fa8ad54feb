//go:build cgo

#include "native_internal.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>

struct jpeg_state {
  struct jpeg_decompress_struct c;
  struct jpeg_error_mgr errors;
  jmp_buf jump;
  egret_scaler* owner;
  int result;
  uint8_t* line;  // one row of CMYK
  size_t room_line;
};

static void stop(j_common_ptr c) {
  jpeg_state* j = c->client_data;
  if (j->result == EGRET_OK) j->result = EGRET_CORRUPT;
  if (c->err->msg_code == JERR_OUT_OF_MEMORY) j->result = EGRET_NO_MEMORY;
  if (c->err->msg_code == JERR_INPUT_EOF ||
      c->err->msg_code == JERR_INPUT_EMPTY)
    j->result = EGRET_TRUNCATED;
  c->err->format_message(c, j->owner->message);
  longjmp(j->jump, 1);
}

// A frame of which a part is missing is no frame: half of it would be grey,
// and the model would see something else. Stray bytes between segments are
// common in cameras' MJPEG and harm nothing.
static void warn(j_common_ptr c, int level) {
  jpeg_state* j = c->client_data;
  if (level >= 0) return;
  switch (c->err->msg_code) {
    case JWRN_JPEG_EOF:
      j->result = EGRET_TRUNCATED;
      stop(c);
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_BOGUS_PROGRESSION:
      stop(c);
  }
}

// jpeglib.h's own message buffer is JMSG_LENGTH_MAX bytes.
_Static_assert(sizeof(((egret_scaler*)0)->message) >= JMSG_LENGTH_MAX,
               "message");

static int create(egret_scaler* s) {
  jpeg_state* j = calloc(1, sizeof *j);
  if (j == NULL) return EGRET_NO_MEMORY;
  s->jpeg = j;
  j->owner = s;
  j->c.err = jpeg_std_error(&j->errors);
  j->errors.error_exit = stop;
  j->errors.emit_message = warn;
  j->c.client_data = j;
  if (setjmp(j->jump)) {
    free(j);
    s->jpeg = NULL;
    return EGRET_NO_MEMORY;
  }
  jpeg_create_decompress(&j->c);
  return EGRET_OK;
}

void egret_jpeg_free(egret_scaler* s) {
  if (s->jpeg == NULL) return;
  jpeg_destroy_decompress(&s->jpeg->c);
  free(s->jpeg->line);
  free(s->jpeg);
  s->jpeg = NULL;
}

// from_cmyk makes a row of RGB of one of ink. Adobe's files, which are nearly
// all there are, say how much ink is missing.
static void from_cmyk(uint8_t* to, const uint8_t* from, int width, int adobe) {
  for (int x = 0; x < width; x++) {
    int k = adobe ? from[4 * x + 3] : 255 - from[4 * x + 3];
    for (int i = 0; i < 3; i++) {
      int v = adobe ? from[4 * x + i] : 255 - from[4 * x + i];
      to[4 * x + i] = (v * k + 127) / 255;
    }
  }
}

static void decode(jpeg_state* j, const uint8_t* data, size_t bytes, int need_w,
                   int need_h, const int32_t* size) {
  egret_scaler* s = j->owner;
  struct jpeg_decompress_struct* c = &j->c;
  jpeg_mem_src(c, (unsigned char*)data, bytes);
  jpeg_read_header(c, TRUE);
  // The limits were applied to these.
  if (c->image_width != (JDIMENSION)size[0] ||
      c->image_height != (JDIMENSION)size[1]) {
    j->result = EGRET_CORRUPT;
    snprintf(s->message, sizeof s->message, "its headers contradict each other");
    jpeg_abort_decompress(c);
    return;
  }
  c->scale_denom = 8;
  for (c->scale_num = 1; c->scale_num < 8; c->scale_num++)
    if ((uint64_t)c->image_width * c->scale_num >= 8 * (uint64_t)need_w &&
        (uint64_t)c->image_height * c->scale_num >= 8 * (uint64_t)need_h)
      break;
  int inks = c->jpeg_color_space == JCS_CMYK || c->jpeg_color_space == JCS_YCCK;
  c->out_color_space = inks ? JCS_CMYK : JCS_EXT_RGBX;
  // Smoothing chroma before a filter smooths everything gains nothing.
  c->do_fancy_upsampling = FALSE;
  jpeg_start_decompress(c);
  s->width = c->output_width;
  s->height = c->output_height;
  size_t row = (size_t)s->width * 4;
  if (!egret_grow((void**)&s->picture, &s->room_picture, row * s->height) ||
      !egret_grow((void**)&j->line, &j->room_line, inks ? row : 1)) {
    j->result = EGRET_NO_MEMORY;
    snprintf(s->message, sizeof s->message, "out of memory");
    jpeg_abort_decompress(c);
    return;
  }
  while (c->output_scanline < c->output_height) {
    JSAMPROW to = s->picture + row * c->output_scanline;
    JSAMPROW line = inks ? j->line : to;
    if (jpeg_read_scanlines(c, &line, 1) == 1 && inks)
      from_cmyk(to, line, s->width, c->saw_Adobe_marker);
  }
  jpeg_finish_decompress(c);
}

int egret_jpeg(egret_scaler* s, const uint8_t* data, size_t bytes, int need_w,
               int need_h, const int32_t* size) {
  s->message[0] = 0;
  if (s->jpeg == NULL && create(s) != EGRET_OK) return EGRET_NO_MEMORY;
  jpeg_state* j = s->jpeg;
  j->result = EGRET_OK;
  if (setjmp(j->jump)) {
    jpeg_abort_decompress(&j->c);
    return j->result;
  }
  decode(j, data, bytes, need_w, need_h, size);
  return j->result;
}
