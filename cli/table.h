/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * table.h - uthash, with a hash for the keys that are used here: a few numbers side by
 * side, or a short name.  Eight bytes a step; uthash's own takes several times as long.
 */
#ifndef ACKTRAIL_TABLE_H
#define ACKTRAIL_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline unsigned table_hash(const void *key, size_t len)
{
	const uint64_t odd = 0x9e3779b97f4a7c15u;
	const uint8_t *p = key;
	uint64_t h = len * odd, w;

	for (; len >= sizeof(w); p += sizeof(w), len -= sizeof(w)) {
		memcpy(&w, p, sizeof(w));
		h = (h ^ w) * odd;
		h ^= h >> 32;
	}
	if (len) {
		w = 0;
		memcpy(&w, p, len);
		h = (h ^ w) * odd;
		h ^= h >> 32;
	}
	/* uthash takes the low bits: each depends on all of the key. */
	return (unsigned)((h * odd) >> 32);
}

#define HASH_FUNCTION(key, len, hash) ((hash) = table_hash(key, len))
#include <uthash.h>

/* Not 10: of those that hang on one bucket each is a line from memory. */
#undef HASH_BKT_CAPACITY_THRESH
#define HASH_BKT_CAPACITY_THRESH 4U

#endif
