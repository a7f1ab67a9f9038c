/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_names.c - names and numbers: enums, strings, topics and trails.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clocks.h"
#include "join_int.h"

#define NAME(e, s)	s,
#define CAUSE_NAME(e, s, t) s,
#define CAUSE_TIER(e, s, t) TL_TIER_##t,
const char *const tl_outcome_names[] = { TL_OUTCOMES(NAME) };
const char *const tl_phase_names[] = { TL_PHASES(NAME) };
const char *const tl_part_names[] = { TL_PARTS(NAME) };
const char *const tl_known_names[] = { TL_KNOWNS(NAME) };
const char *const tl_join_names[] = { TL_JOINS(NAME) };
const char *const tl_tier_names[] = { TL_TIERS(NAME) };
const char *const tl_cause_names[] = { TL_CAUSES(CAUSE_NAME) };
const enum tl_tier tl_cause_tiers[] = { TL_CAUSES(CAUSE_TIER) };

_Noreturn void join_no_memory(void)
{
	fputs("acktrail: out of memory\n", stderr);
	exit(4);
}

void *join_alloc(size_t n)
{
	void *p = calloc(1, n);

	if (!p)
		join_no_memory();
	return p;
}

const char *join_intern(struct join *j, const char *s, size_t n)
{
	struct interned *e;

	if (!s || !n)
		return NULL;
	HASH_FIND(hh, j->strings, s, n, e);
	if (e)
		return e->s;
	e = join_alloc(sizeof(*e));
	e->s = join_alloc(n + 1);
	memcpy(e->s, s, n);
	HASH_ADD_KEYPTR(hh, j->strings, e->s, n, e);
	return e->s;
}

/* ---- topics ---------------------------------------------------------------- */

static struct topic *topic_named(struct join *j, const char *name, size_t n)
{
	struct topic *t;

	HASH_FIND(hh, j->topics, name, n, t);
	if (t)
		return t;
	t = join_alloc(sizeof(*t));
	t->name = join_alloc(n + 1);
	memcpy(t->name, name, n);
	t->internal = n >= 2 && name[0] == '_' && name[1] == '_';
	HASH_ADD_KEYPTR(hh, j->topics, t->name, n, t);
	return t;
}

static void topic_map(struct join *j, struct jtrail *jt, uint32_t id, struct topic *topic)
{
	struct key2 key = { jt->index, id };
	struct near_topic *near = near_topic(jt, id);
	struct topic_id *e;

	if (near) {
		near->topic = topic;
		return;
	}
	HASH_FIND(hh, j->topic_ids, &key, sizeof(key), e);
	if (!e) {
		e = join_alloc(sizeof(*e));
		e->key = key;
		HASH_ADD(hh, j->topic_ids, key, sizeof(key), e);
	}
	e->topic = topic;
}

void topic_event(struct join *j, struct jtrail *jt, const struct event *ev)
{
	uint64_t uuid[2] = { ev->topic.uuid_hi, ev->topic.uuid_lo };
	bool has_uuid = uuid[0] || uuid[1];
	struct topic_uuid *u = NULL;
	struct topic *topic;
	/* A client that was asked by uuid before Metadata told its name. */
	const char *later = !ev->tail_len && j->conf.topic_name ?
			    j->conf.topic_name(jt->t, ev->topic.topic) : NULL;
	char hex[40];

	if (has_uuid)
		HASH_FIND(hh, j->topic_uuids, uuid, sizeof(uuid), u);
	if (ev->tail_len) {
		topic = topic_named(j, ev->tail, ev->tail_len);
	} else if (later && *later) {
		topic = topic_named(j, later, strlen(later));
	} else if (u) {
		topic = u->topic;
	} else if (has_uuid) {
		int n = snprintf(hex, sizeof(hex), "{%016" PRIx64 "%016" PRIx64 "}", uuid[0], uuid[1]);

		topic = topic_named(j, hex, (size_t)n);
	} else {
		return;
	}
	if (has_uuid && !u) {
		u = join_alloc(sizeof(*u));
		memcpy(u->uuid, uuid, sizeof(uuid));
		HASH_ADD(hh, j->topic_uuids, uuid, sizeof(uuid), u);
	}
	if (u)
		u->topic = topic;
	topic_map(j, jt, ev->topic.topic, topic);
}

/* NULL: the trail never told that name. */
struct topic *join_topic(struct join *j, struct jtrail *jt, uint32_t id)
{
	struct key2 key = { jt->index, id };
	struct topic_id *e;
	const char *name;

	if (!id)
		return NULL;
	if (id < jt->nr_near && jt->near[id].topic)
		return jt->near[id].topic;
	HASH_FIND(hh, j->topic_ids, &key, sizeof(key), e);
	if (e)
		return e->topic;
	name = j->conf.topic_name ? j->conf.topic_name(jt->t, id) : NULL;
	if (!name || !*name)
		return NULL;
	topic_map(j, jt, id, topic_named(j, name, strlen(name)));
	return join_topic(j, jt, id);
}

/* ---- trails ---------------------------------------------------------------- */

struct jtrail *join_trail(struct join *j, struct trail *t)
{
	struct jtrail *jt;
	const uint8_t *u = t->header.uuid;

	/* Added in the order of the reader's index, as a rule. */
	if (t->index < j->nr_trails && j->trails[t->index]->t == t)
		return j->trails[t->index];
	for (uint32_t i = 0; i < j->nr_trails; i++)
		if (j->trails[i]->t == t)
			return j->trails[i];
	jt = join_alloc(sizeof(*jt));
	jt->t = t;
	jt->index = j->nr_trails;
	jt->probe = t->header.kind == AT_KIND_PROBE;
	jt->broker = -1;
	jt->host = join_intern(j, t->header.host, strnlen(t->header.host, sizeof(t->header.host)));
	snprintf(jt->uuid, sizeof(jt->uuid), "%02x%02x%02x%02x", u[0], u[1], u[2], u[3]);
	j->nr_probes += jt->probe;
	for (uint32_t i = 0; i < j->nr_trails; i++) {
		const struct jtrail *o = j->trails[i];

		j->several_brokers |= jt->probe && o->probe && jt->host != o->host;
		j->several_clocks |= !clocks_same(o->t, t) && (jt->probe || o->probe);
	}
	j->trails = realloc(j->trails, (j->nr_trails + 1) * sizeof(jt));
	if (!j->trails)
		join_no_memory();
	j->trails[j->nr_trails++] = jt;
	return jt;
}

void join_add_trail(struct join *j, struct trail *t)
{
	join_trail(j, t);
}
