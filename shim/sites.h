/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sites.h - which copy of a library a call site uses, once it was found out.
 *
 * One word a site, the address and the number of the copy: any thread may read and write
 * it at any time, in a signal handler and in the child of a fork as well.
 */
#ifndef ACKTRAIL_SITES_H
#define ACKTRAIL_SITES_H

#include "shim.h"

#define NR_SITES 512u
#define SITE_PROBES 8u		/* so many that share a place get places of their own */
#define SITE_BITS 7		/* user addresses have 57 bits at most */
#define SITE_COPIES 127u

struct sites {
	uintptr_t word[NR_SITES];	/* address << SITE_BITS | copy + 1 */
	uint32_t turn;
};

/* The upper bits too: stubs made at run time stand at the same place of their pages. */
static inline unsigned site_home(const void *caller)
{
	return (unsigned)((uintptr_t)caller >> 2 ^ (uintptr_t)caller >> 11);
}

/* The copy's number, or -1. */
static inline int site_find(const struct sites *s, const void *caller)
{
	unsigned home = site_home(caller);

	for (unsigned i = 0; i < SITE_PROBES; i++) {
		uintptr_t word = __atomic_load_n(&s->word[(home + i) % NR_SITES], __ATOMIC_ACQUIRE);
		uintptr_t copy = (word ^ (uintptr_t)caller << SITE_BITS) - 1;

		if (likely(copy < SITE_COPIES))
			return (int)copy;
	}
	return -1;
}

/* What is lost, to another thread or for want of a place, is found out again. */
static inline void site_keep(struct sites *s, const void *caller, unsigned copy)
{
	unsigned home = site_home(caller), i = 0;

	while (i < SITE_PROBES && __atomic_load_n(&s->word[(home + i) % NR_SITES], __ATOMIC_RELAXED))
		i++;
	if (i == SITE_PROBES)
		i = __atomic_fetch_add(&s->turn, 1, __ATOMIC_RELAXED) % SITE_PROBES;
	__atomic_store_n(&s->word[(home + i) % NR_SITES],
			 (uintptr_t)caller << SITE_BITS | (copy + 1), __ATOMIC_RELEASE);
}

#endif
