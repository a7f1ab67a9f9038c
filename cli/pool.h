/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pool.h - objects of one size that come and go by the million: what was given back is
 * given out next, zeroed.  Under the address sanitizer each is an allocation of its own,
 * so that it sees what is used too late.
 */
#ifndef ACKTRAIL_POOL_H
#define ACKTRAIL_POOL_H

#include <stddef.h>

struct pool {
	void	*free;			/* given back: each begins with the next */
	char	*fresh;			/* of the latest slab, not yet given out */
	size_t	 nr_fresh;
	struct pool_slab { struct pool_slab *next; } *slabs;
};

/* An object of that size, always the same of one pool, zeroed; ends the program when there is no memory. */
void *pool_get(struct pool *p, size_t size);
void pool_put(struct pool *p, void *object);

/* All that it gave out that was not given back is gone, too (not under the sanitizer: give back each). */
void pool_free(struct pool *p);

#endif
