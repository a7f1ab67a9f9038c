/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * phases_int.h - what the files that cut a batch's life into phases share.
 *
 *	phases.c		the whole life, and the saw
 *	phases_wait.c		before and between attempts: why it was not being sent
 *	phases_attempt.c	from the socket to the answer
 *	phases_held.c		who held what it waited for
 */
#ifndef ACKTRAIL_PHASES_INT_H
#define ACKTRAIL_PHASES_INT_H

#include "join_int.h"
#include "phases.h"

/* The saw: where it stands, how far it may go, how sure the last cut was. */
struct cut {
	struct join *j;
	struct jbatch *jb;
	struct tl_batch *b;
	int64_t	 at, limit, bound;
	enum tl_known known;
	uint32_t attempt;
	bool	 inferred;		/* cuts by requests that are inferred */
};

static inline enum tl_known weaker(enum tl_known a, enum tl_known b)
{
	return a < b ? a : b;
}

/* phases.c */
struct tl_phase *go(struct cut *c, enum tl_phase_name name, int64_t until, enum tl_known known,
		    int64_t bound);	/* everything from here to `until` is `name`; NULL: nothing */
struct tl_phase *go_exact(struct cut *c, enum tl_phase_name name, int64_t until);

/* phases_wait.c */
void before_send(struct cut *c, int64_t until);
void until_next(struct cut *c, const struct tl_attempt *a, int64_t until);
bool carried_before(struct cut *c, const struct jbatch *jb, int64_t until);

/* phases_attempt.c */
void phases_attempt(struct cut *c, uint32_t i, int64_t limit);
void hear_tcp(struct tl_phase *p, const struct conn *conn);
void behind_socket(struct tl_phase *p, const struct conn *conn);

#endif
