/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_near.c - what a trail numbers by that number: topics and their partitions, connections,
 * instances, files.  Writers number from 1 on, so most is found without the tables; large
 * numbers have to go there.
 */
#include <stdlib.h>
#include <string.h>
#include "join_int.h"

#define NEAR_MOST	4096u

/* Room for index i; what is new is zero. */
static void *grown(void *all, uint32_t *nr, uint32_t i, size_t size)
{
	uint32_t room = *nr ? *nr : 16;

	while (room <= i)
		room *= 2;
	all = realloc(all, room * size);
	if (!all)
		join_no_memory();
	memset((char *)all + *nr * size, 0, (room - *nr) * size);
	*nr = room;
	return all;
}

struct near_topic *near_topic(struct jtrail *t, uint32_t id)
{
	if (id >= NEAR_MOST)
		return NULL;
	if (id >= t->nr_near)
		t->near = grown(t->near, &t->nr_near, id, sizeof(*t->near));
	return &t->near[id];
}

struct part **near_part(struct jtrail *t, uint32_t topic, int32_t partition)
{
	struct near_topic *n = partition < 0 || partition >= (int32_t)NEAR_MOST ? NULL : near_topic(t, topic);
	uint32_t i = (uint32_t)partition;

	if (!n)
		return NULL;
	if (i >= n->nr_parts)
		n->part = grown(n->part, &n->nr_parts, i, sizeof(*n->part));
	return &n->part[i];
}

void **near_slot(struct jtrail *t, enum near_what what, uint32_t id)
{
	struct near *n = &t->near_of[what];

	if (id >= NEAR_MOST)
		return NULL;
	if (id >= n->nr)
		n->at = grown(n->at, &n->nr, id, sizeof(*n->at));
	return &n->at[id];
}

void near_free(struct jtrail *t)
{
	for (int i = 0; i < NR_NEAR; i++)
		free(t->near_of[i].at);
	for (uint32_t i = 0; i < t->nr_near; i++)
		free(t->near[i].part);
	free(t->near);
}
