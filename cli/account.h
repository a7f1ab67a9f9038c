/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * account.h - the account of messages: what each producer instance was given and how it
 * ended, as the shim counted it, held against the rows of the join.
 */
#ifndef ACKTRAIL_ACCOUNT_H
#define ACKTRAIL_ACCOUNT_H

#include <stdint.h>
#include <acktrail/timeline.h>
#include "cmd.h"
#include "out.h"
#include "reader.h"

struct accounts;

struct accounts *accounts_new(struct reader *r);
void accounts_event(struct accounts *a, const struct event *ev);	/* refusals */
void accounts_row(struct accounts *a, const struct tl_batch *b);	/* every row, whatever is filtered */

/* Prints them; the number of sums that do not close, which standard error says, too. */
int accounts_tell(struct accounts *a, enum format format, struct out *o);
void accounts_free(struct accounts *a);

/*
 * Messages of one producer that are in its account and in no row: most of them a
 * process had queued when it died.  Only of processes that are over, and accounts that close.
 */
struct unheld {
	const struct trail *trail;
	uint32_t instance;
	bool	 any, whole;			/* whole: no event of theirs was overwritten or lost */
	uint64_t n[TL_NR_OUTCOMES];
};

/* The next of them, after all rows were given; *at begins with 0. */
bool accounts_next_unheld(struct accounts *a, uint32_t *at, struct unheld *u);
void unheld_text(char *buf, size_t size, const struct unheld *u, enum tl_outcome outcome);

/* Records that were seen to go into the log beyond what the producers were given to send: at least so many are repeats. */
uint64_t accounts_repeats(struct accounts *a);

/* Messages of that batch that the log has once more than it should, all repetitions together. */
uint64_t account_written_again(const struct tl_batch *b);

#endif
