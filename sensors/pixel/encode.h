//go:build cgo

// From one row's sums to the tensor: colours, bytes and the tensor's values.
#ifndef PIXEL_ENCODE_H
#define PIXEL_ENCODE_H

#include "kernel.h"
#include "vector.h"

#include <stddef.h>
#include <string.h>

// matrix converts YUV to RGB: luma's factor in 1/16384, chroma's in 1/8192.
struct matrix {
	int16_t black, y, rv, gu, gv, bu;
};

// [BT.601, BT.709][limited, full]; the factors are 2(1-Kr), 2Kb(1-Kb)/Kg,
// 2Kr(1-Kr)/Kg and 2(1-Kb), limited range times 255/224, luma 255/219.
static const struct matrix matrices[2][2] = {
	{{16, 19077, 13075, 3209, 6660, 16525}, {0, 16384, 11485, 2819, 5850, 14516}},
	{{16, 19077, 14686, 1747, 4366, 17305}, {0, 16384, 12901, 1535, 3835, 15201}},
};

static inline uint8_t clamp8(int v) { return v < 0 ? 0 : v > 255 ? 255 : (uint8_t)v; }

// colours turns one row of Y, U and V in 1/256 into bytes of R, G and B.
static void colours(const uint16_t *restrict y, const uint16_t *restrict u, const uint16_t *restrict v, uint8_t *restrict r, uint8_t *restrict g, uint8_t *restrict b, int n, struct matrix m) {
	for (int i = 0; i < n; i++) {
		// Each product is in 1/32; what cutting their fractions costs on
		// average is made up for where they are rounded.
		int16_t l = (int16_t)((y[i] >> 1) - m.black * 128), p = (int16_t)(u[i] - 32768), q = (int16_t)(v[i] - 32768);
		int16_t l5 = (int16_t)(l * m.y >> 16);
		int16_t r5 = (int16_t)(l5 + (int16_t)(q * m.rv >> 16) + 17);
		int16_t g5 = (int16_t)(l5 - (int16_t)(p * m.gu >> 16) - (int16_t)(q * m.gv >> 16) + 16);
		int16_t b5 = (int16_t)(l5 + (int16_t)(p * m.bu >> 16) + 17);
		r[i] = clamp8(r5 >> 5), g[i] = clamp8(g5 >> 5), b[i] = clamp8(b5 >> 5);
	}
}

// weave makes quads of three rows; as words, which compilers have vectors for.
static void weave(const uint8_t *restrict r, const uint8_t *restrict g, const uint8_t *restrict b, uint32_t *restrict out, int n) {
	for (int i = 0; i < n; i++)
		out[i] = WORD((uint32_t)r[i], (uint32_t)g[i], (uint32_t)b[i]);
}

// bytes_of turns n values in 1/256 into bytes.
static void bytes_of(const uint16_t *restrict v, uint8_t *restrict out, int n) {
	for (int i = 0; i < n; i++)
		out[i] = (uint8_t)((v[i] + 128u) >> 8);
}

// greys turns one row of brightness in 1/256 into quads of bytes.
static void greys(const uint16_t *restrict v, uint32_t *restrict out, int n) {
	for (int i = 0; i < n; i++)
		out[i] = ((v[i] + 128u) >> 8) * 0x01010101u;
}

// put encodes one row of quads to where it belongs.
static void put(uint8_t *d, ptrdiff_t step, const uint8_t *q, int n, int encoding, int flip, const void *table) {
	const uint8_t *end = q + (size_t)n * 4;
	if (encoding == PIXEL_FLOATS) {
		const float(*f)[256] = table;
		for (; q < end; q += 4, d += step) {
			float v[3] = {f[0][q[0]], f[1][q[1]], f[2][q[2]]};
			memcpy(d, v, sizeof v);
		}
	} else if (encoding == PIXEL_BYTES) {
		const uint8_t(*f)[256] = table;
		for (; q < end; q += 4, d += step)
			d[0] = f[0][q[0]], d[1] = f[1][q[1]], d[2] = f[2][q[2]];
	} else {
		uint8_t x = (uint8_t)flip;
		// Four bytes at once, where the next pixel mends the fourth.
		for (; step == 3 && q < end - 4; q += 4, d += 3) {
			uint32_t v;
			memcpy(&v, q, sizeof v);
			v ^= x * 0x01010101u;
			memcpy(d, &v, sizeof v);
		}
		for (; q < end; q += 4, d += step)
			d[0] = q[0] ^ x, d[1] = q[1] ^ x, d[2] = q[2] ^ x;
	}
}

#endif
