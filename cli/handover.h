/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handover.h - blocks of bytes that go round between two threads: one fills, the other
 * uses them, in order.  Which of the two is the new thread is the caller's business.
 *
 *	filling: b = handover_empty(h); … handover_full(h); … handover_end(h);
 *	using:   while ((b = handover_next(h))) …
 */
#ifndef ACKTRAIL_HANDOVER_H
#define ACKTRAIL_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>

#define HANDOVER_BYTES	(256u << 10)

struct handover_block {
	uint32_t len, at;		/* filled, and used so far; both 0 when it is handed out empty */
	_Alignas(16) uint8_t bytes[HANDOVER_BYTES];
};

struct handover;

/*
 * Begins run(arg) in a thread without signals, named so; *h is there when it begins.
 * false: this is the only CPU, or there is no thread to be had.
 */
bool handover_start(const char *name, struct handover **h, void *(*run)(void *), void *arg);

/* For the one that fills: a block, waiting for one if need be; NULL: nobody wants more. */
struct handover_block *handover_empty(struct handover *h);
void handover_full(struct handover *h);		/* the block last got */
void handover_end(struct handover *h);		/* there will be no more; what was got and not said to be full is none */

/* For the one that uses: the next block, which is his until the next call; NULL: the end. */
struct handover_block *handover_next(struct handover *h);

/* By the one that started it: no more is wanted.  Waits for the thread's end. */
void handover_close(struct handover *h);

#endif
