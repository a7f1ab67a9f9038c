/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock.h - how far another clock is ahead of ours, and how surely.
 *
 * What is sent at t1 (ours) and received at t2 (theirs) proves offset(t1) <= t2 - t1;
 * what they send at t3 and we receive at t4 proves offset(t4) >= t3 - t4.  A clock that
 * drifts evenly follows a line that no such proof contradicts: the band is all such
 * lines, over the stretch of time that leaves the narrowest.  Where the proofs
 * contradict each other (a host that was suspended) the band spans both sides.
 *
 * Times and offsets are ns; one thread.
 */
#ifndef ACKTRAIL_CLOCK_H
#define ACKTRAIL_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* No pair of disciplined clocks drifts apart faster: twice the 500 ppm that adjtimex(2) allows. */
#define CLOCK_MAX_DRIFT	1e-3
/* How far from even drift: what a crystal does within minutes. */
#define CLOCK_WANDER	1e-8

struct clock;
struct clock_band { int64_t lo, hi; };	/* their clock minus ours */

struct clock *clock_new(void);		/* NULL: out of memory */
void clock_free(struct clock *c);

/* Proofs to keep, 24 bytes each (CLOCK_PROOFS at first): of more, the tighter of two neighbours. */
#define CLOCK_PROOFS	(1u << 18)
void clock_limit(struct clock *c, uint32_t proofs);

/* Proofs, in any order. */
void clock_at_most(struct clock *c, int64_t ours, int64_t offset);
void clock_at_least(struct clock *c, int64_t ours, int64_t offset);

/* After the last proof, before the first question. */
void clock_fit(struct clock *c);

/* At that time of our clock; false when only one side is bounded, or none. */
bool clock_at(const struct clock *c, int64_t ours, struct clock_band *band);

/* In the middle of all proofs, as good as any single number; false as above. */
bool clock_middle(const struct clock *c, int64_t *offset);

/* Their time on our clock, and ± *bound; false as above. */
bool clock_ours(const struct clock *c, int64_t theirs, int64_t *ours, int64_t *bound);

#endif
