/* SPDX-License-Identifier: BSD-2-Clause */
/* pieces.h - every BPF program by name: what it gives evidence of, where it is attached. */
#ifndef ACKTRAIL_PIECES_H
#define ACKTRAIL_PIECES_H

#include "inner.h"

#define MAX_PIECES	96

struct piece {
	const char *prog, *at;		/* at: "btf:" and a tracepoint, or a path under events/ */
	enum at_coverage cover;
	bool vital;			/* without it the kind of evidence is gone */
	const char *or;			/* the same evidence where the kernel has this one instead */
};
extern const struct piece pieces[];
extern const unsigned nr_pieces;

/* not: what it does not give though one might look for it; NULL when nothing. */
struct cover { const char *name, *reads; enum level from; const char *not; };
extern const struct cover covers[AT_NR_COVER];

#endif
