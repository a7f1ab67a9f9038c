/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rows.h - rows written by a thread of their own: writing takes as long as telling one
 * batch from the next.  Copies go to it in blocks; the rows stay in order.
 */
#ifndef ACKTRAIL_ROWS_H
#define ACKTRAIL_ROWS_H

#include <acktrail/timeline.h>

struct rows;

/* row(arg, b) of each batch given, in that thread; NULL: no thread to be had. */
struct rows *rows_start(void (*row)(void *arg, struct tl_batch *b), void *arg);
void rows_put(struct rows *r, struct tl_batch *b);	/* b may go after that; its names may not */
void rows_end(struct rows *r);				/* returns when all are written; NULL: nothing */

#endif
