/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hist.h - log-linear histogram: percentiles within 1.6 % in bounded memory.
 */
#ifndef ACKTRAIL_HIST_H
#define ACKTRAIL_HIST_H

#include <stdint.h>

#define HIST_SUB	64u	/* steps per power of two */
#define HIST_CELLS	(58u * HIST_SUB)

struct hist { uint64_t nr, sum, max; uint32_t cell[HIST_CELLS]; };

static inline uint32_t hist_cell(uint64_t v)
{
	unsigned shift;

	if (v < 2 * HIST_SUB)
		return (uint32_t)v;
	shift = 63 - (unsigned)__builtin_clzll(v) - 6;
	return shift * HIST_SUB + (uint32_t)(v >> shift);
}

static inline void hist_add(struct hist *h, int64_t value)
{
	uint64_t v = value > 0 ? (uint64_t)value : 0;
	uint32_t c = hist_cell(v);

	h->cell[c < HIST_CELLS ? c : HIST_CELLS - 1]++;
	h->nr++;
	h->sum += v;
	if (v > h->max)
		h->max = v;
}

/* The value below which a share q of the samples lies; 0 without samples. */
static inline int64_t hist_quantile(const struct hist *h, double q)
{
	uint64_t want = (uint64_t)(q * (double)h->nr + 0.5), seen = 0;

	if (!want)
		want = 1;
	for (uint32_t c = 0; c < HIST_CELLS && h->nr; c++) {
		seen += h->cell[c];
		if (seen >= want) {
			unsigned shift = c < 2 * HIST_SUB ? 0 : c / HIST_SUB - 1;
			uint64_t low = c < 2 * HIST_SUB ? c : (uint64_t)(c % HIST_SUB + HIST_SUB) << shift;
			uint64_t v = low + (((uint64_t)1 << shift) >> 1);

			return (int64_t)(v < h->max ? v : h->max);
		}
	}
	return (int64_t)h->max;
}

#endif
