/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_base.h - what both sides of the join are made of: keys, names, intervals.
 */
#ifndef ACKTRAIL_JOIN_BASE_H
#define ACKTRAIL_JOIN_BASE_H

#include <utlist.h>
#include "join.h"
#include "table.h"

#define JOIN_MS		1000000LL
#define JOIN_SPANS	128u	/* intervals remembered of a kind */

void *join_alloc(size_t n);		/* zeroed; ends the program when there is none */
_Noreturn void join_no_memory(void);

struct topic {
	char	*name;
	bool	 internal;
	UT_hash_handle hh;
};

struct interned { char *s; UT_hash_handle hh; };

/* A number of some trail → a thing. */
struct key2 { uint32_t trail, id; };
struct key3 { uint32_t trail, conn, corr; };

struct topic_id { struct key2 key; struct topic *topic; UT_hash_handle hh; };
struct topic_uuid { uint64_t uuid[2]; struct topic *topic; UT_hash_handle hh; };

/* Intervals of one kind, merged when close; the last may still be open. */
struct spans {
	uint32_t nr;			/* ever added */
	int64_t	 open_since;		/* 0: none open */
	enum tl_cause open_cause;
	struct conn *open_conn;		/* down because that was given up, unanswered since open_conn_since */
	int64_t	 open_conn_since;
	struct span_iv { int64_t begin, end; enum tl_cause cause; struct conn *conn; int64_t since; } iv[JOIN_SPANS];
};

/* See join_quiet.c: signs of life of a process, when it is proven to have stood still, and when an answer lay unread. */
struct quiet { int64_t last_ns, gap_begin, gap_end; struct spans gaps, still, unread; };

/* Attempts of batches that something carried or holds; most often one, which lies in it. */
struct link { struct jbatch *batch; uint32_t attempt; };
struct links { struct link *at; uint32_t nr; struct link first; };

struct part_key { struct topic *topic; uint32_t trail; int32_t partition; };

#endif
