/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>
#include "join_base.h"
#include "pool.h"

#if defined(__SANITIZE_ADDRESS__)
#define ONE_BY_ONE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ONE_BY_ONE 1
#endif
#endif
#ifndef ONE_BY_ONE
#define ONE_BY_ONE 0
#endif

#define SLAB_BYTES	(256u << 10)
#define SLAB_HEAD	64u	/* the objects begin at a line of the cache */

static void *pool_fresh(struct pool *p, size_t size)
{
	void *object;

	if (!p->nr_fresh) {
		struct pool_slab *s = aligned_alloc(SLAB_HEAD, SLAB_BYTES);

		if (!s)
			join_no_memory();
		s->next = p->slabs;
		p->slabs = s;
		p->fresh = (char *)s + SLAB_HEAD;
		p->nr_fresh = (SLAB_BYTES - SLAB_HEAD) / size;
	}
	object = p->fresh;
	p->fresh += size;
	p->nr_fresh--;
	return object;
}

void *pool_get(struct pool *p, size_t size)
{
	void *object = p->free;

	if (ONE_BY_ONE)
		return join_alloc(size);
	if (object)
		memcpy(&p->free, object, sizeof(p->free));
	else
		object = pool_fresh(p, size);
	return memset(object, 0, size);
}

void pool_put(struct pool *p, void *object)
{
	if (ONE_BY_ONE) {
		free(object);
		return;
	}
	memcpy(object, &p->free, sizeof(p->free));
	p->free = object;
}

void pool_free(struct pool *p)
{
	while (p->slabs) {
		struct pool_slab *s = p->slabs;

		p->slabs = s->next;
		free(s);
	}
	memset(p, 0, sizeof(*p));
}
