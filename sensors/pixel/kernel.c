//go:build cgo

#include "encode.h"
#include "state.h"
#include "vector.h"

#include <stdlib.h>
#include <string.h>

struct pixel_state *pixel_new(void) { return calloc(1, sizeof(struct pixel_state)); }

static void axis_free(struct axis *a) { free(a->first.p), free(a->count.p), free(a->weights.p); }

void pixel_free(struct pixel_state *s) {
	axis_free(&s->across), axis_free(&s->down), axis_free(&s->cacross), axis_free(&s->cdown);
	free(s->rows.p), free(s->lines.p), free(s->decoded.p);
	free(s);
}

const char *pixel_why(const struct pixel_state *s) { return s->why; }

// down brings n rows together with their weights into out, in 1/256; only the
// bytes from lo to hi.
static void down(uint16_t *out, const uint8_t *src, ptrdiff_t stride, const uint16_t *w, int n, int lo, int hi) {
	u16x8 weights[FEW];
	const u16x8 bias = splat((uint16_t)(n / 2));
	int i, k;
	for (k = 0; k < n; k++)
		weights[k] = splat(w[k]);
	for (i = lo; i + 32 <= hi; i += 32) {
		u16x8 a = bias, b = bias, c = bias, d = bias;
		const uint8_t *p = src + i;
		for (k = 0; k < n; k++, p += stride) {
			u16x8 one = weights[k], w0, w1, w2, w3;
			widen(p, &w0, &w1);
			widen(p + 16, &w2, &w3);
			a += high(w0, one), b += high(w1, one), c += high(w2, one), d += high(w3, one);
		}
		store(out + i, a), store(out + i + 8, b), store(out + i + 16, c), store(out + i + 24, d);
	}
	for (; i + 16 <= hi; i += 16) {
		u16x8 a = bias, b = bias;
		const uint8_t *p = src + i;
		for (k = 0; k < n; k++, p += stride) {
			u16x8 left, right;
			widen(p, &left, &right);
			a += high(left, weights[k]);
			b += high(right, weights[k]);
		}
		store(out + i, a);
		store(out + i + 8, b);
	}
	for (; i < hi; i++) {
		unsigned a = n / 2;
		for (k = 0; k < n; k++)
			a += ((unsigned)src[i + k * stride] << 8) * w[k] >> 16;
		out[i] = (uint16_t)a;
	}
}

// down_wide is down for any number of rows.
static void down_wide(uint16_t *out, const uint8_t *src, ptrdiff_t stride, const uint16_t *w, int n, int lo, int hi) {
	uint32_t sum[256];
	for (; lo < hi; lo += 256) {
		int m = hi - lo < 256 ? hi - lo : 256, i, k;
		for (i = 0; i < m; i++)
			sum[i] = 128;
		for (k = 0; k < n; k++) {
			const uint8_t *p = src + lo + k * stride;
			uint32_t one = w[k];
			for (i = 0; i < m; i++)
				sum[i] += p[i] * one;
		}
		for (i = 0; i < m; i++)
			out[lo + i] = (uint16_t)(sum[i] >> 8);
	}
}

// cursor walks through an axis_down's outputs.
struct cursor {
	const int *first, *count;
	const uint16_t *w;
	int wide;
};

static struct cursor cursor_of(const struct axis *a) {
	struct cursor c = {a->first.p, a->count.p, a->weights.p, a->wide};
	return c;
}

// next makes the next output row of one plane.
static void next(struct cursor *c, uint16_t *out, const uint8_t *src, ptrdiff_t stride, int lo, int hi) {
	(c->wide ? down_wide : down)(out, src + *c->first * stride, stride, c->w, *c->count, lo, hi);
	c->w += *c->count++;
	c->first++;
}

// gather multiplies one output's vectors of weights with the samples at p,
// step apart for each group of lanes, into eight sums in 1/256.
static inline u16x8 gather(const uint16_t *p, const uint16_t *w, int vectors, int step) {
	u16x8 sum = {0};
	for (; vectors-- > 0; w += 8) {
		if (step == 3) { // two groups of R G B and a foreign fourth
			sum += high(load_two(p, p + 3), load(w));
			p += 6;
		} else {
			sum += high(load(p), load(w));
			p += 8;
		}
	}
	return sum;
}

static inline u16x8 gather_wide(const uint16_t *p, const uint16_t *w, int vectors, int step) {
	uint32_t sum[8] = {0};
	u16x8 out;
	int i;
	for (; vectors-- > 0; w += 8) {
		for (i = 0; i < 8; i++)
			sum[i] += (uint32_t)p[step == 3 && i > 3 ? i - 1 : i] * w[i];
		p += step == 3 ? 6 : 8;
	}
	for (i = 0; i < 8; i++)
		out[i] = (uint16_t)(sum[i] >> 16);
	return out;
}

// across_any is inlined for each kind, so that the questions in its loop are
// answered by the compiler.
static inline void across_any(const struct axis *a, const uint16_t *row, uint16_t *x, uint16_t *y, uint16_t *z, int lanes, int step, int wide, int vectors) {
	const int *first = a->first.p;
	const uint16_t *w = a->weights.p;
	const uint64_t ones = 0x0001000100010001u;
	int bias = wide ? 0 : a->bias, cbias = wide ? 0 : a->cbias, i;
	for (i = 0; i < a->to; i++, w += vectors * 8) {
		const uint16_t *p = row + (size_t)first[i] * step;
		uint64_t q = quad(wide ? gather_wide(p, w, vectors, step) : gather(p, w, vectors, step));
		switch (lanes) {
		case 1:
			x[i] = (uint16_t)(total(q) + bias);
			break;
		case 2:
			q = pair(q) + bias * ones;
			x[i] = lane(q, 0), y[i] = lane(q, 1);
			break;
		case 4: // all to one place, the fourth as well
			q += bias * ones;
			memcpy(x + (size_t)i * 4, &q, sizeof q);
			break;
		default: // Y U Y V
			x[i] = (uint16_t)(lane(q, 0) + lane(q, 2) + bias);
			y[i] = (uint16_t)(lane(q, 1) + cbias);
			z[i] = (uint16_t)(lane(q, 3) + cbias);
		}
	}
}

// across brings one row's samples together: into x, y and z, or, for R, G and
// B, into quads at x.
static void across(const struct axis *a, const uint16_t *row, uint16_t *x, uint16_t *y, uint16_t *z, int step) {
	int v = a->vectors;
#define CASE(lanes, step) \
	(a->wide    ? across_any(a, row, x, y, z, lanes, step, 1, v) \
	 : v == 1   ? across_any(a, row, x, y, z, lanes, step, 0, 1) \
	 : v == 2   ? across_any(a, row, x, y, z, lanes, step, 0, 2) \
	 : v == 3   ? across_any(a, row, x, y, z, lanes, step, 0, 3) \
		    : across_any(a, row, x, y, z, lanes, step, 0, v))
	if (a->lanes == 1)
		CASE(1, 1);
	else if (a->lanes == 2)
		CASE(2, 2);
	else if (a->lanes == 22)
		CASE(22, 4);
	else if (step == 3)
		CASE(4, 3);
	else
		CASE(4, 4);
#undef CASE
}

// prepare makes the axes and the memory ready.
static int prepare(struct pixel_state *s, const struct pixel_job *j) {
	size_t row = (size_t)(j->w + 1) * 4 + 16, line = j->out_w;
	int ok;
	// A window of vectors may reach beyond a row's end.
	switch (j->layout) {
	case PIXEL_RGBX:
	case PIXEL_RGB:
		ok = axis_across(&s->across, 4, j->w, j->out_w, j->x, j->part_w);
		break;
	case PIXEL_YUYV:
		ok = axis_yuyv(&s->across, j->w, j->out_w, j->x, j->part_w);
		break;
	default:
		ok = axis_across(&s->across, 1, j->w, j->out_w, j->x, j->part_w);
	}
	ok = ok && axis_down(&s->down, j->h, j->out_h, j->y, j->part_h);
	row += (size_t)s->across.vectors * 8;
	if (ok && j->layout >= PIXEL_NV12) {
		ok = axis_across(&s->cacross, j->layout == PIXEL_NV12 ? 2 : 1, j->cw, j->out_w, j->x / j->sub_x, j->part_w / j->sub_x) &&
		     axis_down(&s->cdown, j->ch, j->out_h, j->y / j->sub_y, j->part_h / j->sub_y);
		row += (size_t)s->cacross.vectors * 8;
	}
	return ok && block_room(&s->rows, row * sizeof(uint16_t)) && block_room(&s->lines, line * (4 * sizeof(uint16_t) + 7));
}

int pixel_scale(struct pixel_state *s, const struct pixel_job *j, const uint8_t *a, const uint8_t *c, const uint8_t *d, uint8_t *dst, const void *table) {
	static const int steps[] = {4, 3, 1, 4, 1, 1};
	uint16_t *row, *x, *y, *z;
	uint8_t *quads, *r, *g, *b;
	struct cursor rows, crows, again;
	int n = j->out_w, step = steps[j->layout], lo, hi, i;
	if (!prepare(s, j))
		return PIXEL_MEMORY;
	row = s->rows.p;
	x = s->lines.p, y = x + n, z = y + n;
	quads = (uint8_t *)(x + 4 * (size_t)n);
	r = quads + 4 * (size_t)n, g = r + n, b = g + n;
	rows = cursor_of(&s->down), crows = cursor_of(&s->cdown);
	lo = s->across.lo * step, hi = s->across.hi * step;
	for (i = 0; i < j->out_h; i++) {
		next(&rows, row, a, j->stride, lo, hi);
		across(&s->across, row, x, y, z, step);
		switch (j->layout) {
		case PIXEL_NV12:
			next(&crows, row, c, j->cstride, s->cacross.lo * 2, s->cacross.hi * 2);
			across(&s->cacross, row, y, z, NULL, 2);
			break;
		case PIXEL_PLANAR:
			again = crows;
			next(&again, row, c, j->cstride, s->cacross.lo, s->cacross.hi);
			across(&s->cacross, row, y, NULL, NULL, 1);
			next(&crows, row, d, j->cstride, s->cacross.lo, s->cacross.hi);
			across(&s->cacross, row, z, NULL, NULL, 1);
			break;
		}
		if (j->layout >= PIXEL_YUYV)
			colours(x, y, z, r, g, b, n, matrices[j->bt709][j->full]), weave(r, g, b, (uint32_t *)quads, n);
		else if (j->layout == PIXEL_GREY)
			greys(x, (uint32_t *)quads, n);
		else
			bytes_of(x, quads, n * 4);
		put(dst + j->base + i * j->y_step, j->x_step, quads, n, j->encoding, j->flip, table);
	}
	return PIXEL_OK;
}
