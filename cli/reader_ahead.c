/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reader_ahead.c - the merging of a reader's trails in a thread of its own.
 *
 * It copies each event into blocks, which go round between the two threads; so what the
 * join touches next lies in a row, and reading, sorting and joining share two CPUs.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "reader_int.h"

#define NR_BLOCKS	4u
#define BLOCK_BYTES	(256u << 10)	/* several times the longest event, 64 KiB */

/* Before each event in a block; the next begins at a multiple of 8. */
struct ahead_event {
	struct open_trail *trail;
	uint64_t bytes;			/* padded, without this */
};

struct block {
	uint32_t len, at;		/* filled, and read so far */
	_Alignas(8) uint8_t bytes[BLOCK_BYTES];
};

struct ahead {
	struct reader *reader;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t change;
	uint64_t nr_filled, nr_used;	/* blocks so far; block n is n % NR_BLOCKS */
	bool	 end, stop;		/* all is filled; nobody wants more */
	struct block *reading;		/* by who asks */
	struct block block[NR_BLOCKS];
};

/* ---- the thread ------------------------------------------------------------ */

/* An empty block; NULL: it is to stop. */
static struct block *block_get(struct ahead *a)
{
	struct block *b = NULL;

	pthread_mutex_lock(&a->lock);
	while (!a->stop && a->nr_filled - a->nr_used == NR_BLOCKS)
		pthread_cond_wait(&a->change, &a->lock);
	if (!a->stop)
		b = &a->block[a->nr_filled % NR_BLOCKS];
	pthread_mutex_unlock(&a->lock);
	if (b)
		b->len = b->at = 0;
	return b;
}

static void block_put(struct ahead *a, bool end)
{
	pthread_mutex_lock(&a->lock);
	a->nr_filled++;
	a->end = end;
	pthread_cond_signal(&a->change);
	pthread_mutex_unlock(&a->lock);
}

static void *merge(void *arg)
{
	struct ahead *a = arg;
	struct block *b = block_get(a);
	struct merged m;

	while (b && reader_merge(a->reader, &m)) {
		const struct at_event *ev = (const struct at_event *)m.bytes;
		struct ahead_event head = { m.trail, (ev->len + 7u) & ~7u };

		if (b->len + sizeof(head) + head.bytes > BLOCK_BYTES) {
			block_put(a, false);
			b = block_get(a);
			if (!b)
				return NULL;
		}
		memcpy(b->bytes + b->len, &head, sizeof(head));
		memcpy(b->bytes + b->len + sizeof(head), ev, ev->len);
		b->len += (uint32_t)(sizeof(head) + head.bytes);
	}
	if (b)
		block_put(a, true);
	return NULL;
}

/* ---- who asks ---------------------------------------------------------------- */

static bool two_cpus(void)
{
	cpu_set_t set;

	return !sched_getaffinity(0, sizeof(set), &set) && CPU_COUNT(&set) > 1;
}

/* Signals are for the thread that has handlers in mind. */
static bool start(struct ahead *a)
{
	sigset_t all, before;
	bool ok;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ok = !pthread_create(&a->thread, NULL, merge, a);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ok;
}

struct ahead *ahead_start(struct reader *r)
{
	struct ahead *a = two_cpus() ? malloc(sizeof(*a)) : NULL;

	if (!a)
		return NULL;
	memset(a, 0, offsetof(struct ahead, block));
	a->reader = r;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->change, NULL);
	if (start(a))
		return a;
	free(a);
	return NULL;
}

/* What was read is used up: the next block; NULL at the end. */
static struct block *next_block(struct ahead *a)
{
	struct block *b = NULL;

	pthread_mutex_lock(&a->lock);
	if (a->reading) {
		a->nr_used++;
		pthread_cond_signal(&a->change);
	}
	while (a->nr_filled == a->nr_used && !a->end)
		pthread_cond_wait(&a->change, &a->lock);
	if (a->nr_filled > a->nr_used)
		b = &a->block[a->nr_used % NR_BLOCKS];
	pthread_mutex_unlock(&a->lock);
	return a->reading = b;
}

bool ahead_next(struct ahead *a, struct merged *m)
{
	struct block *b = a->reading;
	struct ahead_event head;

	while (!b || b->at == b->len) {
		b = next_block(a);
		if (!b)
			return false;
	}
	memcpy(&head, b->bytes + b->at, sizeof(head));
	m->trail = head.trail;
	m->bytes = b->bytes + b->at + sizeof(head);
	b->at += (uint32_t)(sizeof(head) + head.bytes);
	return true;
}

void ahead_stop(struct reader *r)
{
	struct ahead *a = r->ahead;

	r->ahead = NULL;
	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->stop = true;
	pthread_cond_signal(&a->change);
	pthread_mutex_unlock(&a->lock);
	pthread_join(a->thread, NULL);
	pthread_cond_destroy(&a->change);
	pthread_mutex_destroy(&a->lock);
	free(a);
}
