/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_broker.h - the join's tables of the broker's side: connections, requests as they
 * were read, files, threads, who held a log, what the block layer and the journal did.
 */
#ifndef ACKTRAIL_JOIN_BROKER_H
#define ACKTRAIL_JOIN_BROKER_H

#include "join_base.h"

#define JOIN_BUSY	1024u	/* answered requests remembered per broker connection */

/* What an answered request on the broker was busy with. */
struct busy {
	int64_t	 read, answered;	/* answered 0: not yet */
	int64_t	 arrived, queue_since;	/* see struct breq */
	int64_t	 fsync, append;		/* ns of these within */
	int64_t	 lock;			/* and for another's append to the same log */
	int64_t	 handlers;		/* ns of it until a request handler took it */
	int64_t	 follower;		/* and until the followers that were seen had it */
	int64_t	 throttle, muted;	/* what its answer said; until when nothing was read for that, 0: not */
	bool	 unasked;		/* see struct breq */
	const char *culprit;		/* of fsync */
	const char *stalled;		/* of its longest append, which took stalled_ns, where that is long */
	int64_t	 stalled_ns;
	struct chain *why;		/* of append or lock; the ring's are held */
	enum tl_known known;
};

struct bconn {
	struct key2 key;
	UT_hash_handle hh;
	struct jtrail *trail;
	struct bconn *prev, *next;	/* of the trail's that have any open; prev NULL: it has none */
	struct conn *conn;
	uint64_t peer_hi, peer_lo;
	uint32_t peer_port, local_port;
	uint32_t tried;			/* how many addresses of clients were known when it was looked for among them */
	int64_t	 end_ns, drained_ns, queue_since;
	int64_t	 seen_ns;		/* the first request that was seen on it was read; 0 none */
	struct target *target;		/* the process; NULL unknown */
	struct busy *ring;		/* the last JOIN_BUSY of nr_busy; as many as there were, so far */
	uint32_t nr_busy, ring_room;
	struct breq *open;		/* read, not answered */
};

/* A request as the broker read it. */
struct breq {
	struct key3 key;
	UT_hash_handle hh;
	struct bconn *bconn;
	struct req *req;
	int64_t	 first_ns, arrived_ns, read_ns, written_ns, answered_ns;	/* first: of its bytes that arrived */
	int64_t	 queue_since;		/* the first arrived of those that queued up to it without a gap */
	int64_t	 fsync_ns, longest_ns;	/* the syncs of all its batches, the longest, and what that waited for */
	const char *culprit;
	int64_t	 passed_ns;		/* the next was read, so it was over, whatever was seen of its answer */
	uint32_t size;
	int32_t	 broker;
	int16_t	 api, acks;
	bool	 told, over;
	bool	 unasked;		/* acks=0: nobody answers it */
	bool	 replaced;		/* another one on its connection has the same CorrId */
	const char *client_id;
	struct links links;
	uint32_t live_links;
	struct busy *kept;		/* what it was for those of its batches that are told and gone; or NULL */
	struct breq *prev, *next;	/* of bconn->open */
};

struct file {
	struct key2 key;
	UT_hash_handle hh;
	struct topic *topic;
	const char *path;
	uint64_t dev, ino;
	int64_t	 segment;
	uint32_t role;
	int32_t	 partition;
	bool	 synced;		/* it was, once */
	struct jbatch *waiting;		/* appended, not yet known to be on disk */
};

/* A broker thread's last append, as long as a sync may still belong to it. */
struct bthread {
	struct key2 key;		/* trail, tid */
	UT_hash_handle hh;
	struct bthread *next;		/* of the trail's */
	int64_t	 begin_ns, end_ns;
	int64_t	 free_ns, fsync_ns;	/* done with that, and its syncs, at; ns of those */
	const char *culprit;
	uint32_t conn, corr;		/* the request that it was for, 0 0 unknown */
	uint32_t pid;			/* of its process; 0: no append of it was seen */
	struct links copies;		/* a follower's: what it appended last; attempt counts replicas */
	int64_t	 copied_ns;		/* when that write began */
	struct { struct topic *topic; int64_t begin, end; int32_t partition; const char *culprit; } roll;	/* its last sync of a partition, for no append yet */
	struct topic *topic;
	int32_t	 partition;
	struct links links;
	/* The last time that it was woken, and the append that its waker came from; woken 0: not since its own. */
	struct { int64_t woken, sleep, after; uint32_t waker; } wake;
};

/* A thread's names, as they were told: it has another one after an exec. */
#define JOIN_NAMES 8u
struct tname { int64_t told_ns; uint32_t pid; const char *comm; };
struct tnames { struct key2 key; struct tname name[JOIN_NAMES]; uint32_t nr; UT_hash_handle hh; };	/* trail, tid */

/*
 * Who held a partition's log: it takes one append at a time, and a sync within an
 * append holds it too.
 */
#define JOIN_HOLDS 128u
struct hold {
	int64_t	 begin, end, fsync, append;
	int64_t	 offset;		/* of its batch; -1 unknown */
	uint32_t crc, tid;
	uint32_t by;			/* the number of the one that it waited for itself, 0 none known */
	const char *culprit;		/* of its sync */
	struct chain *why;		/* what its write waited for */
};

/* What an append's write waited for in a journal. */
struct stall {
	int64_t	 ns, longest, end;	/* end: of the longest wait */
	uint64_t fs, transaction;	/* the commit then; 0 unknown */
	uint32_t requests;
	int64_t	 slowest;
	const char *device;		/* NULL unknown */
};

/*
 * A wait with what it was for: of an append for the journal, or (locked) of a request
 * for those who held its partition's log, each of which may have waited itself.
 */
struct chain {
	uint32_t refs, nr;		/* nr: of those who held it */
	bool	 locked;
	enum tl_known known;
	int64_t	 ns;			/* the wait */
	int64_t	 held, fsync, append;	/* locked: of it by holds, in their syncs, in their writes */
	int64_t	 longest;
	struct hold by;			/* the longest of them */
	struct stall stall;
	struct jtrail *trail;
	struct topic *topic;		/* locked: whose log */
	int32_t	 partition;
};

struct plog {
	struct part_key key;
	UT_hash_handle hh;
	uint32_t nr;
	struct hold ring[JOIN_HOLDS];
};

struct target { struct key2 key; UT_hash_handle hh; int32_t broker; struct quiet quiet; };	/* trail, pid */

struct blk {
	int64_t	 queue, start, insert, issue, done;
	uint64_t dev, ino;
	uint32_t trail, tid, op, fs;	/* fs: of ino, as the kernel numbers it; 0 unknown */
};
struct commit {
	int64_t	 begin, end;
	uint64_t dev, fs, transaction;	/* fs: its own device, of which dev is the whole disk */
	uint32_t trail, waiters, tid, by_pid, by_tid;
	bool	 xfs;
};
struct pause { int64_t begin, end; uint64_t fs, transaction, place; uint32_t trail, tid, why, journal_tid; };	/* enum at_pause */
struct device {
	struct { uint64_t dev; uint32_t trail, pad; } key;
	uint64_t root;			/* where its requests are seen, 0: on itself */
	uint64_t below, below_ino;	/* of a loop device: where its file lies */
	uint32_t below_fs, stacked;
	const char *name;
	UT_hash_handle hh;
};

#define JOIN_BLKS	65536u
#define JOIN_COMMITS	4096u
#define JOIN_PAUSES	16384u

#endif
