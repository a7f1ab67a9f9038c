/* SPDX-License-Identifier: BSD-2-Clause */
/* tally.h - what the shim counted of one producer instance. */
#ifndef ACKTRAIL_TALLY_H
#define ACKTRAIL_TALLY_H

#include "reader.h"

struct tally {
	uint64_t n[AT_NR_COUNTS];
	uint64_t unseen;		/* accepted and not ended when recording was turned off */
	uint64_t before;		/* ended, and accepted before recording was turned on: not in n */
	uint32_t instances;		/* that were counted together: more than 1 behind the last account */
	bool	 partial;		/* recording was off for a time */
};

/* Of account 0 … AT_NR_ACCOUNTS - 1, which is instance 1 …; false: nothing was counted. */
bool tally_of(const struct trail *t, uint32_t account, struct tally *a);

/* Accepted and neither ended nor unseen; less than none is a defect. */
static inline int64_t tally_rest(const struct tally *a)
{
	uint64_t rest = a->n[AT_ACCEPTED] - a->unseen;

	for (unsigned i = AT_ACKED; i <= AT_DROPPED; i++)
		rest -= a->n[i];
	return (int64_t)rest;
}

#endif
