//go:build cgo

// Eight values of 16 bits at once. The baselines of amd64 and arm64 have the
// two operations that C has no word for; elsewhere the compiler does its best.
#ifndef PIXEL_VECTOR_H
#define PIXEL_VECTOR_H

#include <stdint.h>
#include <string.h>

typedef uint16_t u16x8 __attribute__((vector_size(16)));
typedef uint64_t u64x2 __attribute__((vector_size(16)));

static inline u16x8 splat(uint16_t v) { return (u16x8){v, v, v, v, v, v, v, v}; }

static inline u16x8 load(const uint16_t *p) {
	u16x8 v;
	memcpy(&v, p, sizeof v);
	return v;
}

// load_two is four values from each place.
static inline u16x8 load_two(const uint16_t *p, const uint16_t *q) {
	uint64_t a, b;
	memcpy(&a, p, sizeof a);
	memcpy(&b, q, sizeof b);
	return (u16x8)(u64x2){a, b};
}

// quad is the sums of the values that are four apart. Here and below no sum is
// over 65535, so that nothing is carried into its neighbour.
static inline uint64_t quad(u16x8 v) { return ((u64x2)v)[0] + ((u64x2)v)[1]; }

// lane is the value at i of a quad; WORD is a, b and c as bytes in memory.
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
static inline uint16_t lane(uint64_t q, int i) { return (uint16_t)(q >> (48 - 16 * i)); }
#define WORD(a, b, c) ((a) << 24 | (b) << 16 | (c) << 8)
#else
static inline uint16_t lane(uint64_t q, int i) { return (uint16_t)(q >> (16 * i)); }
#define WORD(a, b, c) ((a) | (b) << 8 | (c) << 16)
#endif

// pair is the sums of a quad's values that are two apart, in lanes 0 and 1.
static inline uint64_t pair(uint64_t q) { return q + (q >> 32 | q << 32); }

// total is the sum of a quad's values.
static inline uint16_t total(uint64_t q) { return (uint16_t)(q * 0x0001000100010001u >> 48); }

static inline void store(uint16_t *p, u16x8 v) { memcpy(p, &v, sizeof v); }

// high is the upper half of each product, widen sixteen bytes times 256.
#if defined(__SSE2__)
#include <emmintrin.h>

static inline u16x8 high(u16x8 a, u16x8 b) { return (u16x8)_mm_mulhi_epu16((__m128i)a, (__m128i)b); }

static inline void widen(const uint8_t *p, u16x8 *lo, u16x8 *hi) {
	const __m128i zero = _mm_setzero_si128(), v = _mm_loadu_si128((const __m128i *)p);
	*lo = (u16x8)_mm_unpacklo_epi8(zero, v);
	*hi = (u16x8)_mm_unpackhi_epi8(zero, v);
}

#elif defined(__aarch64__) && !defined(__AARCH64EB__)
#include <arm_neon.h>

static inline u16x8 high(u16x8 a, u16x8 b) {
	uint32x4_t lo = vmull_u16(vget_low_u16((uint16x8_t)a), vget_low_u16((uint16x8_t)b));
	uint32x4_t hi = vmull_high_u16((uint16x8_t)a, (uint16x8_t)b);
	return (u16x8)vuzp2q_u16(vreinterpretq_u16_u32(lo), vreinterpretq_u16_u32(hi));
}

static inline void widen(const uint8_t *p, u16x8 *lo, u16x8 *hi) {
	uint8x16_t v = vld1q_u8(p);
	*lo = (u16x8)vshll_n_u8(vget_low_u8(v), 8);
	*hi = (u16x8)vshll_high_n_u8(v, 8);
}

#else

static inline u16x8 high(u16x8 a, u16x8 b) {
	for (int i = 0; i < 8; i++)
		a[i] = (uint16_t)((uint32_t)a[i] * b[i] >> 16);
	return a;
}

static inline void widen(const uint8_t *p, u16x8 *lo, u16x8 *hi) {
	for (int i = 0; i < 8; i++)
		(*lo)[i] = (uint16_t)(p[i] << 8), (*hi)[i] = (uint16_t)(p[i + 8] << 8);
}

#endif
#endif
