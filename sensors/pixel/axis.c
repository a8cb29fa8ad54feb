//go:build cgo

#include "state.h"

#include <stdlib.h>
#include <string.h>

// keep is how much memory may stay after it was needed.
#define KEEP ((size_t)16 << 20)

int block_room(struct block *b, size_t bytes) {
	if (b->cap >= bytes && (b->cap <= KEEP || b->cap / 4 <= bytes))
		return 1;
	free(b->p);
	// Zeroed: reads beyond a row's end meet weights of zero, not chance.
	b->p = calloc(1, bytes);
	b->cap = b->p ? bytes : 0;
	return b->p != NULL;
}

// weigh writes the weights of the samples around centre to w, which has room
// for room_for(support), and returns their number. Rounding errors go from
// each to the next, so that all sum to 65536 and white stays white; a lone
// weight is one less, because it must fit 16 bits.
static int weigh(uint16_t *w, int *first, int from, double centre, double support) {
	int a = centre - support < 0 ? 0 : (int)(centre - support) + 1;
	int b = (int)(centre + support);
	double sum = 0, run = 0;
	long done = 0;
	int i;
	if (b > from - 1)
		b = from - 1;
	for (i = a; i <= b; i++) {
		double d = (i > centre ? i - centre : centre - i) / support;
		sum += d < 1 ? 1 - d : 0;
	}
	if (b < a || sum <= 0) { // beside the picture: its edge
		*first = centre <= 0 ? 0 : centre >= from - 1 ? from - 1 : (int)(centre + 0.5);
		w[0] = 65535;
		return 1;
	}
	for (i = a; i <= b; i++) {
		double d = (i > centre ? i - centre : centre - i) / support;
		long upto, one;
		run += d < 1 ? 1 - d : 0;
		upto = i == b ? 65536 : (long)(run / sum * 65536 + 0.5);
		one = upto - done;
		w[i - a] = one > 65535 ? 65535 : (uint16_t)one;
		done = upto;
	}
	*first = a;
	return b - a + 1;
}

static double support_of(int to, double size) { return size > to ? size / to : 1; }
static double centre_of(int i, int to, double start, double size) { return start + (i + 0.5) * size / to - 0.5; }
static size_t room_for(double support) { return (size_t)(2 * support) + 3; }

// same tells whether the axis is already what is asked for; otherwise it notes
// that it will be.
static int same(struct axis *a, int lanes, int from, int to, double start, double size) {
	if (a->lanes == lanes && a->from == from && a->to == to && a->start == start && a->size == size)
		return 1;
	a->lanes = 0; // until it is complete
	a->from = from, a->to = to, a->start = start, a->size = size;
	a->lo = from, a->hi = 0;
	a->bias = a->cbias = 0;
	return 0;
}

static void reach(struct axis *a, int first, int n) {
	if (first < a->lo)
		a->lo = first;
	if (first + n > a->hi)
		a->hi = first + n;
}

int axis_down(struct axis *a, int from, int to, double start, double size) {
	double support = support_of(to, size);
	uint16_t *w;
	int most = 0, i;
	if (same(a, -1, from, to, start, size))
		return 1;
	if (!block_room(&a->first, to * sizeof(int)) || !block_room(&a->count, to * sizeof(int)) ||
	    !block_room(&a->weights, to * room_for(support) * sizeof(uint16_t)))
		return 0;
	w = a->weights.p;
	for (i = 0; i < to; i++) {
		int *first = (int *)a->first.p + i;
		int n = weigh(w, first, from, centre_of(i, to, start, size), support);
		((int *)a->count.p)[i] = n;
		reach(a, *first, n);
		w += n;
		if (n > most)
			most = n;
	}
	a->wide = most > FEW;
	a->lanes = -1;
	return 1;
}

int axis_across(struct axis *a, int lanes, int from, int to, double start, double size) {
	double support = support_of(to, size);
	size_t per = 8 / lanes, each;
	uint16_t *one, *w;
	int most = 0, i, k, c;
	if (same(a, lanes, from, to, start, size))
		return 1;
	a->vectors = (int)((room_for(support) + per - 1) / per);
	each = (size_t)a->vectors * 8;
	// The last row is where one output's weights are made.
	if (!block_room(&a->first, to * sizeof(int)) || !block_room(&a->weights, (to + 1) * each * sizeof(uint16_t)))
		return 0;
	w = a->weights.p;
	memset(w, 0, (to + 1) * each * sizeof(uint16_t));
	one = w + to * each;
	for (i = 0; i < to; i++, w += each) {
		int *first = (int *)a->first.p + i;
		int n = weigh(one, first, from, centre_of(i, to, start, size), support);
		for (k = 0; k < n; k++)
			for (c = 0; c < lanes; c++)
				w[k * lanes + c] = one[k];
		reach(a, *first, n);
		if (n > most)
			most = n;
	}
	// Fewer vectors may do; the rows then move together.
	k = (int)((most + per - 1) / per);
	for (w = a->weights.p, i = 1; k < a->vectors && i < to; i++)
		memmove(w + (size_t)i * k * 8, w + i * each, (size_t)k * 8 * sizeof(uint16_t));
	a->vectors = k;
	a->wide = most > FEW;
	a->bias = a->cbias = most / 2;
	a->lanes = lanes;
	return 1;
}

int axis_yuyv(struct axis *a, int from, int to, double start, double size) {
	double support = support_of(to, size), csupport = support_of(to, size / 2);
	size_t each;
	uint16_t *w, *one;
	int groups = (from + 1) / 2, most = 0, i, k;
	if (same(a, 22, from, to, start, size))
		return 1;
	// Groups of two luma samples, one more where they begin in the middle,
	// and one more where chroma reaches further than luma.
	a->vectors = (int)((room_for(csupport) + room_for(support) / 2 + 3) / 2 + 1);
	each = (size_t)a->vectors * 8;
	if (!block_room(&a->first, to * sizeof(int)) || !block_room(&a->weights, (to + 1) * each * sizeof(uint16_t)))
		return 0;
	w = a->weights.p;
	memset(w, 0, (to + 1) * each * sizeof(uint16_t));
	one = w + to * each;
	for (i = 0; i < to; i++, w += each) {
		int yfirst, cfirst, n, nc, at, end;
		n = weigh(one, &yfirst, from, centre_of(i, to, start, size), support);
		// Where chroma begins is only known after it was weighed.
		nc = weigh(one + n, &cfirst, groups, centre_of(i, to, start / 2, size / 2), csupport);
		at = yfirst / 2 < cfirst ? yfirst / 2 : cfirst;
		end = (yfirst + n + 1) / 2 > cfirst + nc ? (yfirst + n + 1) / 2 : cfirst + nc;
		for (k = 0; k < n; k++) {
			int y = yfirst + k - 2 * at;
			w[y / 2 * 4 + y % 2 * 2] = one[k];
		}
		for (k = 0; k < nc; k++)
			w[(cfirst + k - at) * 4 + 1] = w[(cfirst + k - at) * 4 + 3] = one[n + k];
		((int *)a->first.p)[i] = at;
		reach(a, at, end - at);
		if (end - at > most)
			most = end - at;
		if (n / 2 > a->bias)
			a->bias = n / 2;
		if (nc / 2 > a->cbias)
			a->cbias = nc / 2;
	}
	k = (most + 1) / 2;
	for (w = a->weights.p, i = 1; k < a->vectors && i < to; i++)
		memmove(w + (size_t)i * k * 8, w + i * each, (size_t)k * 8 * sizeof(uint16_t));
	a->vectors = k;
	a->wide = most * 2 > FEW;
	a->lanes = 22;
	return 1;
}
