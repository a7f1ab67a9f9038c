/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * why_int.h - what acktrail why has counted: why.c does, why_summary.c tells it.
 */
#ifndef ACKTRAIL_WHY_INT_H
#define ACKTRAIL_WHY_INT_H

#include "account.h"
#include "batch_view.h"
#include "joined.h"

#define EXAMPLES 20	/* sentences in text; all of them with --slowest or ndjson */

struct why_bucket {
	enum tl_outcome outcome;
	enum tl_cause cause;
	char	 culprit[64];		/* the device, without what it did */
	uint64_t batches, messages, in_log, not_in_log;
	uint64_t messages_in, messages_out;	/* of the log, for certain */
	int64_t	 total_ns, cause_ns, worst_ns;
	int64_t	 sync_ns, flush_ns, syncs, longest_sync_ns;
	uint64_t beside[TL_NR_CAUSES];	/* of an app's end: batches that waited for that then */
	const char *todo;		/* of the slowest */
};

struct example { bool lost; char *text; };

struct why {
	struct joined c;
	uint32_t fail_on;
	bool	 failed, colour;
	struct out out;
	struct why_bucket *buckets;
	size_t	 nr_buckets;
	uint64_t batches, affected, lost, told;
	bool	 summed;			/* the summary is told */
	struct out spool;		/* ndjson: the lines behind it */
	bool	 spooled;
	struct example examples[2 * EXAMPLES];	/* text: the first of the lost and of the late, in order */
	unsigned nr_examples[2];		/* late, lost */
	uint64_t of_outcome[TL_NR_OUTCOMES];
	uint64_t wire_alone;			/* batches of clients whose library says nothing */
	uint64_t repeats;			/* messages that are in the log once more than they should, at least */
	struct accounts *accounts;
	uint64_t unheld[TL_NR_OUTCOMES];	/* messages that ended in no batch */
	bool	 any_unheld;			/* of them: any that was not acked */
};

static inline bool outcome_arrived(enum tl_outcome o)
{
	return o == TL_OUTCOME_ACKED || o == TL_OUTCOME_BROKER_ONLY;
}

/* When all is counted: sorts the causes, tells them. */
void why_summary(struct why *args);

#endif
