/* SPDX-License-Identifier: BSD-2-Clause */
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "handover.h"
#include "parallel.h"

#define NR_BLOCKS	4u

struct handover {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t change;		/* of what either may wait for: never both at once */
	uint64_t nr_filled, nr_used;	/* blocks so far; block n is n % NR_BLOCKS */
	bool	 end, stop;
	bool	 using;			/* block nr_used is being used */
	struct handover_block block[NR_BLOCKS];
};

bool handover_start(const char *name, struct handover **to, void *(*run)(void *), void *arg)
{
	struct handover *h = parallel_cpus() > 1 ? malloc(sizeof(*h)) : NULL;

	if (!h)
		return false;
	memset(h, 0, offsetof(struct handover, block));
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->change, NULL);
	*to = h;
	if (parallel_thread(&h->thread, run, arg)) {
		pthread_setname_np(h->thread, name);
		return true;
	}
	*to = NULL;
	free(h);
	return false;
}

/* ---- filling ----------------------------------------------------------------- */

struct handover_block *handover_empty(struct handover *h)
{
	struct handover_block *b = NULL;

	pthread_mutex_lock(&h->lock);
	while (!h->stop && h->nr_filled - h->nr_used == NR_BLOCKS)
		pthread_cond_wait(&h->change, &h->lock);
	if (!h->stop)
		b = &h->block[h->nr_filled % NR_BLOCKS];
	pthread_mutex_unlock(&h->lock);
	if (b)
		b->len = b->at = 0;
	return b;
}

void handover_full(struct handover *h)
{
	pthread_mutex_lock(&h->lock);
	h->nr_filled++;
	pthread_cond_signal(&h->change);
	pthread_mutex_unlock(&h->lock);
}

void handover_end(struct handover *h)
{
	pthread_mutex_lock(&h->lock);
	h->end = true;
	pthread_cond_signal(&h->change);
	pthread_mutex_unlock(&h->lock);
}

/* ---- using --------------------------------------------------------------------- */

struct handover_block *handover_next(struct handover *h)
{
	struct handover_block *b = NULL;

	pthread_mutex_lock(&h->lock);
	if (h->using) {
		h->nr_used++;
		pthread_cond_signal(&h->change);
	}
	while (h->nr_filled == h->nr_used && !h->end)
		pthread_cond_wait(&h->change, &h->lock);
	h->using = h->nr_filled > h->nr_used;
	if (h->using)
		b = &h->block[h->nr_used % NR_BLOCKS];
	pthread_mutex_unlock(&h->lock);
	return b;
}

void handover_close(struct handover *h)
{
	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	h->stop = true;
	pthread_cond_signal(&h->change);
	pthread_mutex_unlock(&h->lock);
	pthread_join(h->thread, NULL);
	pthread_cond_destroy(&h->change);
	pthread_mutex_destroy(&h->lock);
	free(h);
}
