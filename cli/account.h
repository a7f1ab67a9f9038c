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

/* Messages of that batch that the log has once more than it should, all repetitions together. */
uint64_t account_written_again(const struct tl_batch *b);

#endif
