/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join.h - events of many trails in, whole batches out.
 *
 *	events -> join_client.c   what the app, the library and the sockets did
 *	          join_peer.c     connections, and brokers as a client sees them
 *	       -> join_broker.c   what the broker read and answered
 *	          join_append.c   what it wrote to its log
 *	          join_sync.c     what it synced, and who waited for that
 *	          join_lock.c     who held a partition's log, and for whom others waited
 *	          join_stall.c    which journal commit held an append
 *	       -> join_acks.c     acks and expiries, resolved to batches on the wire
 *	          join_callback.c when the app was told
 *	          join_fate.c     batches that end without
 *	       -> join_pending.c   waits until no evidence can come, then for each batch
 *	       -> join_tell.c -> phases.c -> verdict.c -> conf.batch()
 *
 * It is a stream: memory is bounded by open batches plus a window of resolved
 * ones that still wait for the broker's side.
 */
#ifndef ACKTRAIL_JOIN_H
#define ACKTRAIL_JOIN_H

#include <stdbool.h>
#include <stdint.h>
#include <acktrail/timeline.h>
#include "reader.h"

struct join;
struct log_dump;
struct clocks;

struct join_conf {
	/* Called in order of resolution; b and what it points to live until return. */
	void (*batch)(void *arg, struct tl_batch *b);
	void (*sync)(void *arg, const struct tl_sync *s);	/* or NULL */
	void *arg;
	/* Asked for names that no event told yet, e.g. trail_topic(); or NULL. */
	const char *(*topic_name)(const struct trail *t, uint32_t topic);
	const struct ev_file *(*file)(const struct trail *t, uint32_t file);
	const char *(*file_path)(const struct trail *t, uint32_t file);
	const struct log_dump *log_dump;	/* or NULL */
	const struct clocks *clocks;	/* of several hosts; or NULL */
	int64_t	 slow_ns;		/* acked later than this is late; 0: JOIN_SLOW_NS */
	int64_t	 window_ns;		/* waits this long for the broker's side; 0: JOIN_WINDOW_NS */
	uint32_t max_pending;		/* resolved batches kept at most; 0: JOIN_MAX_PENDING */
};

#define JOIN_SLOW_NS		100000000LL
#define JOIN_WINDOW_NS		600000000000LL
#define JOIN_MAX_PENDING	200000u

struct join *join_new(const struct join_conf *conf);

/* All trails, before their events: a probe that is there is worth waiting for. */
void join_add_trail(struct join *j, struct trail *t);
void join_event(struct join *j, const struct event *ev);

/* No more events: everything that is left comes out. */
void join_end(struct join *j);

/* Behind that: clients sent batches, and this is a probe that saw none of them. */
bool join_is_foreign(const struct join *j, const struct trail *t);
void join_free(struct join *j);

/* Names for enums, as the interface spells them. */
extern const char *const tl_outcome_names[], *const tl_phase_names[], *const tl_part_names[],
	*const tl_known_names[], *const tl_join_names[], *const tl_tier_names[],
	*const tl_cause_names[];
extern const enum tl_tier tl_cause_tiers[];

const char *tl_err_name(int32_t rd_kafka_err);		/* "_MSG_TIMED_OUT"; NULL unknown */
const char *tl_error_name(int16_t kafka_error);		/* "NOT_LEADER_OR_FOLLOWER"; NULL unknown */

#endif
