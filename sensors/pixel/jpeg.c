//go:build cgo

#include "state.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#ifndef JCS_EXTENSIONS
#error "sensors/pixel needs libjpeg-turbo: another libjpeg cannot write RGBX"
#endif

#ifndef LIBJPEG_TURBO_VERSION_NUMBER
#define LIBJPEG_TURBO_VERSION_NUMBER 0
#endif

// Bounds what the library may take for a picture of several scans, whose
// coefficients it keeps: about twice what the limits on the sides allow.
#define MAX_MEMORY (512L << 20)

int pixel_jpeg_needs_tables(void) { return LIBJPEG_TURBO_VERSION_NUMBER < 2000000; }

// decoder is the library's object with our ways out of it. The library keeps
// tables from one picture to the next; ours lives for one picture, so that a
// picture without tables is an error and not its predecessor's fault.
struct decoder {
	struct jpeg_decompress_struct c;
	struct jpeg_error_mgr err;
	struct jpeg_progress_mgr progress;
	jmp_buf out;
	int result, max_scans;
	char *why;
};

static _Noreturn void leave(struct decoder *d, int result) {
	d->result = result;
	longjmp(d->out, 1);
}

// on_error keeps the library's words and leaves.
static _Noreturn void on_error(j_common_ptr c) {
	struct decoder *d = (struct decoder *)c;
	char words[JMSG_LENGTH_MAX];
	d->err.format_message(c, words);
	snprintf(d->why, sizeof ((struct pixel_state *)0)->why, "%s", words);
	switch (d->err.msg_code) {
	case JERR_OUT_OF_MEMORY:
	case JERR_NO_BACKING_STORE:
		leave(d, PIXEL_MEMORY);
	case JERR_INPUT_EMPTY:
	case JERR_INPUT_EOF:
		leave(d, PIXEL_TRUNCATED);
	}
	leave(d, PIXEL_DAMAGED);
}

// on_message gives up at the first warning that means a wrong picture. What
// cameras do and every viewer accepts, such as stray bytes, goes through.
static void on_message(j_common_ptr c, int level) {
	struct decoder *d = (struct decoder *)c;
	if (level >= 0)
		return;
	d->err.num_warnings++;
	switch (d->err.msg_code) {
	case JWRN_JPEG_EOF:
		leave(d, PIXEL_TRUNCATED);
	case JWRN_HIT_MARKER:
	case JWRN_HUFF_BAD_CODE:
	case JWRN_ARITH_BAD_CODE:
	case JWRN_MUST_RESYNC:
		on_error(c);
	}
}

static void on_output(j_common_ptr c) { (void)c; }

// on_progress stops a picture of endless scans: a few bytes of each may cost a
// pass over all pixels.
static void on_progress(j_common_ptr c) {
	struct decoder *d = (struct decoder *)c;
	if (d->c.input_scan_number > d->max_scans)
		leave(d, PIXEL_TOO_DEEP);
}

// eighths is the least scale of 8ths, of those that the library has fast code
// for, that leaves the part as large as it has to become.
static int eighths(const struct pixel_job *j) {
	int n;
	for (n = 1; n < 8; n *= 2)
		if (j->part_w * n >= j->out_w * 8.0 && j->part_h * n >= j->out_h * 8.0)
			break;
	return n;
}

// flatten turns a row of Adobe's inverted CMYK into RGBX.
static void flatten(uint8_t *p, int n) {
	for (; n-- > 0; p += 4) {
		unsigned k = p[3];
		p[0] = (uint8_t)((p[0] * k + 127) / 255);
		p[1] = (uint8_t)((p[1] * k + 127) / 255);
		p[2] = (uint8_t)((p[2] * k + 127) / 255);
	}
}

static _Noreturn void refuse(struct decoder *d, const char *why) {
	snprintf(d->why, sizeof ((struct pixel_state *)0)->why, "%s", why);
	leave(d, PIXEL_DAMAGED);
}

// decode fills s->decoded and adapts job to it.
static void decode(struct decoder *d, struct pixel_state *s, struct pixel_job *j) {
	struct jpeg_decompress_struct *c = &d->c;
	int n = eighths(j), cmyk;
	jpeg_read_header(c, TRUE);
	if ((int)c->image_width != j->w || (int)c->image_height != j->h)
		refuse(d, "picture has two sizes");
	if (jpeg_has_multiple_scans(c) && (int64_t)j->w * j->h > j->max_deep)
		leave(d, PIXEL_TOO_DEEP);
	cmyk = c->jpeg_color_space == JCS_CMYK || c->jpeg_color_space == JCS_YCCK;
	if (cmyk && !c->saw_Adobe_marker)
		refuse(d, "picture has four components and does not say which");
	c->out_color_space = cmyk ? JCS_CMYK : JCS_EXT_RGBX;
	c->scale_num = n, c->scale_denom = 8;
	// The accurate transform and the smooth chroma: with the library's vectors
	// the quick ones gain nothing that can be measured.
	c->dct_method = JDCT_ISLOW;
	c->do_fancy_upsampling = TRUE;
	c->do_block_smoothing = FALSE;
	jpeg_start_decompress(c);
	j->w = c->output_width, j->h = c->output_height, j->stride = j->w * 4;
	if (!block_room(&s->decoded, (size_t)j->stride * j->h))
		leave(d, PIXEL_MEMORY);
	while (c->output_scanline < c->output_height) {
		JSAMPROW rows[8];
		int i, got;
		for (i = 0; i < 8; i++) {
			JDIMENSION y = c->output_scanline + i;
			rows[i] = (uint8_t *)s->decoded.p + (size_t)(y < c->output_height ? y : 0) * j->stride;
		}
		i = c->output_height - c->output_scanline < 8 ? (int)(c->output_height - c->output_scanline) : 8;
		got = (int)jpeg_read_scanlines(c, rows, i);
		for (i = 0; cmyk && i < got; i++)
			flatten(rows[i], j->w);
	}
	jpeg_finish_decompress(c);
	j->layout = PIXEL_RGBX;
	j->x *= n / 8.0, j->y *= n / 8.0, j->part_w *= n / 8.0, j->part_h *= n / 8.0;
}

int pixel_jpeg(struct pixel_state *s, const struct pixel_job *job, const uint8_t *data, size_t n, uint8_t *dst, const void *table) {
	struct decoder d;
	struct pixel_job j = *job;
	memset(&d, 0, sizeof d);
	s->why[0] = 0;
	d.why = s->why;
	d.max_scans = j.max_scans;
	d.c.err = jpeg_std_error(&d.err);
	d.err.error_exit = on_error;
	d.err.emit_message = on_message;
	d.err.output_message = on_output;
	if (setjmp(d.out)) {
		jpeg_destroy_decompress(&d.c);
		return d.result;
	}
	jpeg_create_decompress(&d.c);
	d.progress.progress_monitor = on_progress;
	d.c.progress = &d.progress;
	d.c.mem->max_memory_to_use = MAX_MEMORY;
	jpeg_mem_src(&d.c, (unsigned char *)data, n);
	decode(&d, s, &j);
	jpeg_destroy_decompress(&d.c);
	return pixel_scale(s, &j, s->decoded.p, NULL, NULL, dst, table);
}
