/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * timeline.h - the joined model: what became of a batch, and where its time was.
 *
 * Times are int64 ns on the common axis (Unix epoch by the first clock pair of
 * the first trail); 0 means not known.  Everything here is filled by cli/join*.c,
 * then cli/phases.c, then cli/verdict.c, and only read by the views.
 */
#ifndef ACKTRAIL_TIMELINE_H
#define ACKTRAIL_TIMELINE_H

#include <stdbool.h>
#include <stdint.h>

/* X(ENUM, "name"): the names are the stable interface. */
#define TL_OUTCOMES(X) \
	X(ACKED, "acked") X(FAILED, "failed") X(EXPIRED, "expired") X(PURGED, "purged") \
	X(DROPPED, "dropped") X(LOST, "lost") X(OPEN, "open") X(BROKER_ONLY, "broker-only")

#define TL_PHASES(X) \
	X(BLOCKED, "blocked") X(LINGER, "linger") X(WINDOW, "window") \
	X(BROKER_DOWN, "broker-down") X(BACKPRESSURE, "backpressure") \
	X(RETRY, "retry")	/* between two attempts, the broker being up */ \
	X(UNSENT, "unsent")	/* nothing held it: the client itself did not run */ \
	X(SOCKET, "socket") X(NETWORK, "network") X(BEHIND, "behind-request") \
	X(QUEUE, "request-queue") X(APPEND, "append") X(FSYNC, "fsync") \
	X(INDEX, "index-sync") X(REPLICATION, "replication") X(BROKER_SIDE, "broker-side") \
	X(RESPONSE, "response") X(CALLBACK, "callback") X(UNKNOWN, "unknown")

/* What a sync or an append waited for; at each instant the first that applies. */
#define TL_PARTS(X) \
	X(DIRTY, "dirty-throttle")	/* an append: too much is dirty, the writer is made to pause */ \
	X(STABLE, "stable-page")	/* an append: the page is being written to the disk */ \
	X(READ, "page-read")		/* an append: the page is read first */ \
	X(FLUSH, "flush") X(DEVICE, "device") X(QUEUED, "queue") X(BEFORE, "before-request") \
	X(SHARED, "journal-shared")	/* a commit of the journal, a force of XFS's log */ \
	X(WRITEBACK, "writeback")	/* the file's pages being written, by a request that was not seen */ \
	X(HANDLE, "journal-handle")	/* in a handle of the journal, no commit being known */ \
	X(LOCK, "lock")			/* asleep, not for I/O: a lock, or another thread */ \
	X(CPU, "cpu")			/* awake: it ran, or waited for a CPU */ \
	X(UNEXPLAINED, "unexplained")

#define TL_KNOWNS(X) \
	X(UNKNOWN, "unknown") X(INFERRED, "inferred") X(ACROSS, "across-clocks") X(EXACT, "exact")

#define TL_JOINS(X) \
	X(NONE, "none") X(TIMESTAMPS, "timestamps") X(SEQUENCE, "sequence") \
	X(OFFSET, "offset") X(CRC, "crc")

#define TL_TIERS(X) \
	X(NONE, "none") X(CLIENT, "client") X(NETWORK, "network") X(BROKER, "broker") X(DISK, "disk")

/* X(ENUM, "name", TIER) */
#define TL_CAUSES(X) \
	X(UNKNOWN, "unknown", NONE) X(HEALTHY, "healthy", NONE) \
	X(APP_NOT_POLLING, "app-not-polling", CLIENT) X(QUEUE_FULL, "queue-full", CLIENT) \
	X(LINGER, "linger", CLIENT) X(WINDOW, "in-flight-window", CLIENT) \
	X(STARVED, "client-starved", CLIENT) X(STALLED, "library-stalled", CLIENT) \
	X(IDEMPOTENCE, "idempotence", CLIENT) X(APP_ENDED, "app-ended", CLIENT) \
	X(COLD_START, "cold-start", CLIENT) \
	X(UNREACHABLE, "broker-unreachable", NETWORK) X(IDLE, "idle-connection", NETWORK) \
	X(AUTH, "auth", NETWORK) X(NO_LEADER, "no-leader", NETWORK) X(NETWORK, "network", NETWORK) \
	X(BROKER_SIDE, "broker-side", BROKER) X(BROKER_BUSY, "broker-busy", BROKER) \
	X(PAUSED, "broker-paused", BROKER) X(LOG_LOCK, "log-lock", BROKER) \
	X(FOLLOWER, "follower", BROKER) X(QUOTA, "quota", BROKER) \
	X(BROKER_ERROR, "broker-error", BROKER) \
	X(APPEND_STALL, "append-stall", DISK) X(LEADER_FSYNC, "leader-fsync", DISK)

#define TL_OUT(e, s)		TL_OUTCOME_##e,
#define TL_PHASE(e, s)		TL_PHASE_##e,
#define TL_PART(e, s)		TL_PART_##e,
#define TL_KNOWN(e, s)		TL_KNOWN_##e,
#define TL_JOIN(e, s)		TL_JOIN_##e,
#define TL_TIER(e, s)		TL_TIER_##e,
#define TL_CAUSE(e, s, t)	TL_CAUSE_##e,
enum tl_outcome	{ TL_OUTCOMES(TL_OUT) TL_NR_OUTCOMES };
enum tl_phase_name { TL_PHASES(TL_PHASE) TL_NR_PHASES };
enum tl_part_name { TL_PARTS(TL_PART) TL_NR_PARTS };
enum tl_known	{ TL_KNOWNS(TL_KNOWN) TL_NR_KNOWNS };	/* weaker is smaller */
enum tl_join	{ TL_JOINS(TL_JOIN) TL_NR_JOINS };	/* weaker is smaller */
enum tl_tier	{ TL_TIERS(TL_TIER) TL_NR_TIERS };
enum tl_cause	{ TL_CAUSES(TL_CAUSE) TL_NR_CAUSES };
#undef TL_OUT
#undef TL_PHASE
#undef TL_PART
#undef TL_KNOWN
#undef TL_JOIN
#undef TL_TIER
#undef TL_CAUSE

enum tl_in_log	{ TL_IN_LOG_UNKNOWN, TL_IN_LOG_YES, TL_IN_LOG_NO };
enum tl_resend	{ TL_RESEND_MAY_DUPLICATE, TL_RESEND_SAFE, TL_RESEND_DUPLICATES };

/* What one sync call (or several) waited for; the parts add up to ns exactly. */
struct tl_parts {
	int64_t	 ns, part[TL_NR_PARTS];
	uint64_t dev;
	const char *device;		/* its name, NULL unknown */
	const char *below;		/* of a stacked one: the disk beneath whose requests were tied, else NULL */
	int64_t	 below_ns;		/* union of those requests within */
	uint32_t waiters;		/* of the journal commits it waited for; 0 none seen */
	bool	 seen;			/* a block or journal probe was there to tell */
	bool	 stacked;		/* loop, dm, md: the device is no disk itself */
	uint32_t other_pid;		/* most of the device's requests meanwhile were this process's; 0 nobody's */
	const char *other;		/* its command, and its share of them */
	double	 other_share;
};

/* An append that held its partition's log: of all that did the longest. */
struct tl_hold {
	int64_t	 base_offset;		/* -1 unknown */
	uint32_t crc, tid, nr;		/* nr: how many held it, one after the other */
	const char *comm;		/* of the thread, NULL unknown */
	int64_t	 ns;			/* of the wait in this one; held_ns: in all of them */
	int64_t	 held_ns, append_ns, sync_ns;	/* of that in their writes, in their syncs */
};

/* A journal's commit that held an append's write. */
struct tl_commit {
	uint64_t transaction;		/* 0 unknown */
	int64_t	 ns, begin_ns, end_ns;	/* ns: of the write; begin, end: its own, 0 unknown */
	const char *device, *by;	/* by: the thread that forced it, NULL unknown */
	uint32_t by_pid, by_tid;	/* 0: no sync asked for it, or it is not known */
	uint32_t requests;		/* of the journal, on their way meanwhile */
	int64_t	 slowest_ns;
};

struct tl_chain {
	bool	 has_hold, has_commit;
	struct tl_hold hold;
	struct tl_commit commit;
};

/* One writing of the batch to a socket, and what the broker did with it. */
struct tl_attempt {
	uint32_t n;			/* from 1 */
	int32_t	 broker;		/* -1 unknown */
	bool	 on_wire;		/* a client saw it: corr and the writes are known */
	bool	 answered;		/* error_code is known */
	bool	 no_answer;		/* none was asked for (acks=0), as the broker read it */
	bool	 inferred;		/* which request it was: by the order of the library's words alone */
	int16_t	 error_code;
	uint32_t corr_id, conn;
	int64_t	 base_offset;		/* -1 unknown */
	int64_t	 write_begin_ns, write_end_ns;
	int64_t	 first_ns, arrived_ns, read_ns;	/* first_ns: of its request's bytes, the broker's host had one */
	int64_t	 append_begin_ns, append_end_ns;
	int64_t	 sync_begin_ns, sync_end_ns, index_end_ns;
	int64_t	 response_written_ns, response_read_ns;
	int64_t	 ended_ns;		/* connection lost before an answer */
	struct tl_parts append, sync, index;
	enum tl_known broker_known;	/* how its broker times stand on the axis */
	int64_t	 bound_ns;		/* across clocks: ± this */
	int64_t	 clock_offset_ns;	/* added to the broker's times, these are as its own clock showed them; 0: one clock */
};

struct tl_phase {
	enum tl_phase_name name;
	enum tl_known known;		/* the weaker of its two boundaries */
	uint32_t attempt;		/* 0: none */
	int64_t	 begin_ns, ns, bound_ns;
	const struct tl_parts *parts;	/* append, fsync, index-sync: add up to ns; else NULL */
	enum tl_cause cause;		/* inherited (behind-request, window, retry), or TCP's word; else UNKNOWN */
	bool	 unsaid;		/* broker-side: behind the socket, and nothing tells network from broker */
	enum tl_cause behind;		/* log-lock: what those who held the log waited for; else UNKNOWN */
	const char *culprit;		/* with cause */
	const struct tl_chain *chain;	/* whom and what it waited for, one by one; NULL not known */
};

struct tl_cause_share {
	enum tl_cause cause;
	enum tl_known known;
	int64_t	 ns;
	double	 share;			/* of created_first..resolved */
	const char *culprit;		/* NULL none */
};

#define TL_MAX_CAUSES	4
#define TL_MAX_PHASES	208
#define TL_MAX_TEXT	800

struct tl_verdict {
	enum tl_cause cause;
	double	 share;
	uint32_t nr;
	struct tl_cause_share causes[TL_MAX_CAUSES];
	const char *text;		/* a sentence */
};

struct tl_producer {
	const char *client_id, *host;	/* NULL unknown */
	uint64_t peer_hi, peer_lo;	/* its address as the broker saw it, where no shim told more */
	uint32_t peer_port;		/* 0 unknown */
	uint32_t pid, instance;		/* 0 unknown */
	int64_t	 id;			/* -1: not idempotent */
	int32_t	 base_sequence;
	int16_t	 epoch;
	uint64_t linger_us, message_timeout_ms, socket_timeout_ms;	/* 0 unknown */
	uint32_t max_in_flight, batch_messages;
	bool	 idempotent;
};

struct tl_replica {
	int32_t	 broker;
	int64_t	 append_ns, sync_end_ns;
	enum tl_known known;		/* how its times stand on the axis */
	int64_t	 bound_ns;
};

struct tl_batch {
	char	 id[64];
	uint32_t trail;			/* the reader's number of the one that told of it first */
	const char *topic;		/* NULL unknown */
	int32_t	 partition;
	uint32_t crc, count, bytes;
	uint32_t messages;		/* that ended with this row: fewer than count when some moved on */
	bool	 has_crc, sent, client, broker_seen;	/* client: a shim saw it */
	bool	 control, internal;
	bool	 moved;			/* all its messages went on in other batches */
	const char *moved_into;		/* id of the first of them, told before */
	bool	 created_inferred;
	bool	 fatal;			/* purged by the library itself, after a fatal error of the idempotent producer */
	bool	 killed;		/* lost with a process that never came to exit() */
	bool	 wire_alone;		/* its client's sockets told of it, no library: what that made of it is not known */
	bool	 probed;		/* a probe watched the brokers of its attempts meanwhile */
	int64_t	 base_offset;		/* -1 unknown */
	int64_t	 first_ts_ms, max_ts_ms;
	struct tl_producer producer;
	enum tl_outcome outcome;
	enum tl_in_log in_log;
	const char *in_log_by;		/* append, probe, never-sent, log-dump; NULL not known */
	enum tl_resend resend;
	enum tl_join join;
	int32_t	 err;			/* rd_kafka_resp_err_t of a failed outcome, else 0 */
	const char *expired_by;		/* NULL: not expired */
	int64_t	 created_first_ns, created_last_ns, blocked_ns;	/* blocked_ns: within a produce call before created */
	int64_t	 acked_ns, callback_ns, resolved_ns, on_disk_ns;
	int64_t	 ended_ns;		/* the library had its result; the callback comes after */
	int64_t	 end_ns;		/* where phases end: resolved, or the end of evidence */
	uint32_t nr_attempts, counted;	/* counted: index of the attempt that counts */
	struct tl_attempt *attempts;
	uint32_t nr_phases;
	struct tl_phase *phases;	/* at most TL_MAX_PHASES */
	uint32_t nr_replicas;
	struct tl_replica replicas[4];
	struct tl_verdict verdict;
};

/* A sync of any file the probe named, with what it waited for. */
struct tl_sync {
	const char *host, *path, *topic;	/* NULL unknown */
	int32_t	 partition;
	uint32_t role, call, tid;		/* enum at_role, enum at_call */
	int64_t	 begin_ns, end_ns, ret;
	struct tl_parts parts;
	bool	 on_path;			/* on the way of a batch */
};

#endif
