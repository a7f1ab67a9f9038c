// SPDX-License-Identifier: BSD-2-Clause
/*
 * names.c - topics of this process: a table that only grows, filled without locks.
 * A topic that is seen by name and by id has two entries; the reader ties them by the
 * name that a Metadata response gives the second.
 */
#include <string.h>
#include <sys/mman.h>

#include "shim.h"

#define SLOTS 8192u			/* open addressing; three quarters are used at most */

static struct topic *slots[SLOTS];
static uint32_t used;
static struct topic *slab;		/* memory for SLOTS topics, made at the first */

static uint64_t hash_of(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 1099511628211u;
	return h ^ h >> 32;
}

static struct topic *new_topic(void)
{
	struct topic *memory = __atomic_load_n(&slab, __ATOMIC_ACQUIRE), *none = NULL;
	uint32_t n;

	if (!memory) {
		memory = mmap(NULL, SLOTS * sizeof(*memory), PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (memory == MAP_FAILED)
			return NULL;
		if (!__atomic_compare_exchange_n(&slab, &none, memory, false, __ATOMIC_ACQ_REL,
						 __ATOMIC_ACQUIRE)) {
			munmap(memory, SLOTS * sizeof(*memory));
			memory = none;
		}
	}
	n = __atomic_fetch_add(&used, 1, __ATOMIC_RELAXED);
	if (n >= SLOTS / 4 * 3) {
		__atomic_fetch_sub(&used, 1, __ATOMIC_RELAXED);
		return NULL;
	}
	memory[n].id = n + 1;
	return &memory[n];
}

/* An id is enough; the name comes later. */
static bool same(const struct topic *t, const struct topic *key)
{
	if (t->uuid_hi != key->uuid_hi || t->uuid_lo != key->uuid_lo)
		return false;
	return key->uuid_hi || key->uuid_lo ||
	       (t->len == key->len && !memcmp(t->name, key->name, t->len));
}

/* at_most: of the table may be used when it has to be added. */
static struct topic *lookup(const struct topic *key, uint64_t hash, uint32_t at_most)
{
	struct topic *mine = NULL;

	for (uint32_t i = 0; i < SLOTS; i++) {
		struct topic **slot = &slots[(hash + i) % SLOTS];
		struct topic *t = __atomic_load_n(slot, __ATOMIC_ACQUIRE);

		if (!t) {
			if (!mine) {
				uint32_t id;

				mine = __atomic_load_n(&used, __ATOMIC_RELAXED) < at_most ? new_topic() : NULL;
				if (!mine)
					return NULL;
				id = mine->id;
				*mine = *key;
				mine->id = id;
			}
			/* Lost the race: t is now the winner's, which may be the same. */
			if (__atomic_compare_exchange_n(slot, &t, mine, false, __ATOMIC_ACQ_REL,
							__ATOMIC_ACQUIRE))
				return mine;
		}
		if (same(t, key))
			return t;
	}
	return NULL;
}

const struct topic *topic_by_name(const char *name, size_t len)
{
	struct topic key;

	if (!name || !len || len > KAFKA_TOPIC_MAX)
		return NULL;
	memset(&key, 0, sizeof(key));
	key.len = (uint16_t)len;
	memcpy(key.name, name, len);
	return lookup(&key, hash_of(name, len), SLOTS);
}

const struct topic *topic_by_uuid(const uint8_t uuid[16])
{
	struct topic key;

	memset(&key, 0, sizeof(key));
	key.uuid_hi = kafka_be64(uuid);
	key.uuid_lo = kafka_be64(uuid + 8);
	return lookup(&key, hash_of(uuid, 16), SLOTS);
}

/*
 * Metadata may list every topic of a cluster, and few of them are produced to: these
 * names never take more than half of the table.
 */
const struct topic *topic_learn(const uint8_t uuid[16], const char *name, size_t len, bool *late)
{
	struct topic key, *t;

	*late = false;
	if (!len || len > KAFKA_TOPIC_MAX)
		return NULL;
	memset(&key, 0, sizeof(key));
	key.uuid_hi = kafka_be64(uuid);
	key.uuid_lo = kafka_be64(uuid + 8);
	key.len = (uint16_t)len;
	memcpy(key.name, name, len);
	t = lookup(&key, hash_of(uuid, 16), SLOTS / 2);
	/* An id has one name for ever; whoever comes first writes it. */
	if (t && !topic_len(t) && !__atomic_exchange_n(&t->naming, 1, __ATOMIC_ACQUIRE)) {
		memcpy(t->name, name, len);
		__atomic_store_n(&t->len, (uint16_t)len, __ATOMIC_RELEASE);
		*late = true;
	}
	return t;
}
