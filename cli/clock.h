/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock.h - how far another clock is ahead of ours, and how surely.
 *
 * What is sent at t1 (ours) and received at t2 (theirs) proves offset(t1) <= t2 - t1;
 * what they send at t3 and we receive at t4 proves offset(t4) >= t3 - t4.  A clock that
 * drifts evenly follows a line that no such proof contradicts.
 *
 * But one does not know that it does.  If the drift changes a little, or the clock is set
 * by less than the shortest way there and back, some line still satisfies all proofs, and
 * misses the truth: the very same proofs come from an even drift and other delays.  So no
 * band can be about as narrow as those lines leave it and hold the truth in both cases.
 * What is stated holds it, therefore, for every clock that
 * - drifts within CLOCK_MAX_DRIFT, evenly but for CLOCK_WANDER,
 * - and changes its drift, or is set, as often as it likes where that contradicts within
 *   seconds, else at most once within reach of any moment (20 to 320 s on both sides: what
 *   it takes for some thousand proofs), and not in the outer quarter of the first and of
 *   the last reach (there only what the proofs contradict is seen).
 * A clock that is set without a contradiction is recognized by which proofs come near; if
 * jitter is so large that this might be chance it may be missed by about the band's width.
 *
 * The width is at most twice the best that an observer can say who supposes no more than
 * that (of some ten thousand points asked, four of one kind, a proof in three seconds and
 * much jitter, took up to 2.3 times).  Where there are several proofs a second, and jitter
 * is below some 50 times the fastest way, that is at most twice what an even drift would
 * leave, too.  Where the clock surely changed, but not surely when,
 * either side may be right.
 *
 * Times and offsets are ns; one thread.
 */
#ifndef ACKTRAIL_CLOCK_H
#define ACKTRAIL_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* No pair of disciplined clocks drifts apart faster: twice the 500 ppm that adjtimex(2) allows. */
#define CLOCK_MAX_DRIFT	1e-3
/* How far from even drift, as a slope: what a crystal does within minutes. */
#define CLOCK_WANDER	1e-8

struct clock;
struct clock_band { int64_t lo, hi; };	/* their clock minus ours */

struct clock *clock_new(void);		/* NULL: out of memory */
void clock_free(struct clock *c);

/* Proofs to keep, 24 bytes each (CLOCK_PROOFS at first): of more, what matters to a line across seconds. */
#define CLOCK_PROOFS	(1u << 18)
void clock_limit(struct clock *c, uint32_t proofs);

/* Proofs, in any order. */
void clock_at_most(struct clock *c, int64_t ours, int64_t offset);
void clock_at_least(struct clock *c, int64_t ours, int64_t offset);

/* Once, after the last proof and before the first question. */
void clock_fit(struct clock *c);

/* At that time of our clock; false when only one side is bounded, or none. */
bool clock_at(const struct clock *c, int64_t ours, struct clock_band *band);

/* In the middle of all proofs, as good as any single number; false as above. */
bool clock_middle(const struct clock *c, int64_t *offset);

/* Their time on our clock, and ± *bound; false as above. */
bool clock_ours(struct clock *c, int64_t theirs, int64_t *ours, int64_t *bound);

#endif
