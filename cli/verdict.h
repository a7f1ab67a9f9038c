/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verdict.h - phases to causes.  A batch is healthy when it was acknowledged within
 * slow_ns of its creation; any other gets the causes that held its time, the largest
 * first, or unknown when less than half of the time is explained.
 */
#ifndef ACKTRAIL_VERDICT_H
#define ACKTRAIL_VERDICT_H

#include <stddef.h>
#include <acktrail/timeline.h>

void verdict_of(struct tl_batch *b, int64_t slow_ns);
void advice_text(struct tl_batch *b, char *text, size_t size);	/* becomes verdict.text */
const char *advice_todo(const struct tl_batch *b);	/* what to do; "" nothing */

int16_t verdict_refusal(const struct tl_batch *b);	/* the broker's error to the attempt that counted, or 0 */

/* The cause that a phase stands for, UNKNOWN for none. */
enum tl_cause verdict_phase_cause(const struct tl_batch *b, const struct tl_phase *p);

#endif
