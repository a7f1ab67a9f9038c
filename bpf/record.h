/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * record.h - what the BPF programs hand to user space through the ring buffer.
 * Both sides include this; times are bpf_ktime_get_ns() (CLOCK_MONOTONIC), dev
 * is the kernel's dev_t (major << 20 | minor).
 */
#ifndef ACKTRAIL_RECORD_H
#define ACKTRAIL_RECORD_H

#define REC_NAME	256	/* longest name of a directory entry, with NUL */
#define REC_BATCHES	16	/* batches looked at in one write or one request */
#define REC_CLIENT	128	/* bytes kept of a client id */
#define REC_TARGETS	16	/* brokers watched at one time */
#define REC_HEADER	61	/* of a record batch, see kafka.h */
#define REC_COMM	16	/* the name of a thread */
#define REC_DISKS	32	/* disks watched at one time */
#define REC_WAYS	8	/* keys at the head of each set of a table, see slots.bpf.h */

enum rec_kind {
	REC_FILE, REC_APPEND, REC_SYNC, REC_BLOCK, REC_COMMIT,
	REC_TOPIC, REC_BATCH, REC_ARRIVAL, REC_ANSWER, REC_CONN_END,
	REC_WAKE, REC_PAUSE,
	REC_NR_KINDS
};

/* As in trail.h, which BPF cannot include beside vmlinux.h; events.c checks that they agree. */
enum rec_call {
	REC_CALL_FSYNC, REC_CALL_FDATASYNC, REC_CALL_MSYNC, REC_CALL_SYNC_FILE_RANGE,
	REC_CALL_OSYNC_WRITE, REC_CALL_AIO, REC_CALL_URING,
};
enum rec_pause_why { REC_PAUSE_JOURNAL, REC_PAUSE_DIRTY, REC_PAUSE_PAGE, REC_PAUSE_IO, REC_PAUSE_LOCK, REC_PAUSE_LOG };
enum rec_op { REC_OP_READ, REC_OP_WRITE, REC_OP_FLUSH, REC_OP_DISCARD, REC_OP_OTHER };
#define REC_OP_PREFLUSH	(1u << 8)
#define REC_OP_FUA		(2u << 8)
#define REC_OP_SYNC		(4u << 8)
#define REC_OP_META		(8u << 8)
#define REC_OP_FLUSH_SEQ	(16u << 8)
#define REC_OP_HELD		(32u << 8)

struct rec {
	unsigned int kind, pid;
	unsigned int tid, pad;
	unsigned long long ns;
};

/* A file or directory under a log directory, or that itself (name ""), before the first record that speaks of it. */
struct rec_file {
	struct rec h;
	unsigned long long ino, dir;	/* dir: inode of the log directory */
	unsigned int dev, depth;	/* depth 1: in a partition's directory, 0: beside them */
	unsigned int is_dir, pad;
	char name[REC_NAME];
	char parent[REC_NAME];
};

/* One record batch of one write. */
struct rec_append {
	struct rec h;
	unsigned long long begin_ns, ino, pos;
	long long ret;
	unsigned int dev;
	unsigned short index, more;	/* more: batches behind this one were not looked at */
	unsigned char header[REC_HEADER];
	unsigned char unread;		/* 1: the header could not be read */
	unsigned char naps;		/* 1: slept_ns is known */
	unsigned char pad;
	unsigned long long slept_ns;
};

#define REC_SYNC_NAPS		1u	/* slept_ns is known */
#define REC_SYNC_RET_UNKNOWN	2u	/* whether it succeeded could not be seen */

struct rec_sync {
	struct rec h;
	unsigned long long begin_ns, ino, slept_ns;
	long long ret;
	unsigned int dev, call;		/* enum rec_call */
	unsigned int flags, pad;
};

struct rec_block {
	struct rec h;
	unsigned long long queue_ns, start_ns, insert_ns, issue_ns;
	unsigned long long sector, ino;
	unsigned int dev, bytes;
	unsigned int op, queue_tid;	/* op: enum rec_op | REC_OP_* */
	unsigned int error, bios;
	unsigned int queue_pid, ino_fs;	/* ino_fs: file system of ino */
	char comm[REC_COMM];		/* of queue_tid */
};

struct rec_commit {
	struct rec h;
	unsigned long long begin_ns;
	unsigned int dev, transaction;
	unsigned int waiters, how;
	unsigned int by_pid, by_tid;	/* the first sync that asked for it, 0: none did */
	char comm[REC_COMM];
};

/* The topic of the REC_BATCHes that follow on this connection. */
struct rec_topic {
	struct rec h;
	unsigned int conn, nr;		/* nr: counts topics of the connection, as in rec_batch */
	unsigned int by_id, pad;	/* by_id: name holds the 16 bytes of a topic id */
	char name[REC_NAME];
};

struct rec_batch {
	struct rec h;
	unsigned int conn, corr, topic_nr;
	int partition;
	unsigned short index;
	unsigned char header[REC_HEADER];
	unsigned char pad;
};

#define REC_ARRIVAL_MORE	1u	/* batches beyond REC_BATCHES */
#define REC_ARRIVAL_UNPARSED	2u	/* a Produce that could not be read to its end */

struct rec_arrival {
	struct rec h;
	unsigned long long first_ns, arrived_ns, begin_ns;
	unsigned char peer[16];		/* IPv6, or IPv4 mapped */
	unsigned int conn, corr, size, flags;
	unsigned short peer_port, local_port;
	short api, version;
	int timeout_ms;
	short acks;
	unsigned short batches;
	unsigned int client_len, pad;
	char client[REC_CLIENT];
};

struct rec_answer {
	struct rec h;
	unsigned long long begin_ns;
	unsigned int conn, corr, size, throttle_ms;
};

/* ns: when the thread was woken. */
struct rec_wake {
	struct rec h;
	unsigned long long sleep_ns;
	unsigned int waker, pad;
};

#define REC_PLACE		(1ull << 63)	/* as sync_parts.h has it */
struct rec_pause {
	struct rec h;
	unsigned long long begin_ns, ino;	/* ino of an IO: REC_PLACE | the sector looked up last, if any */
	unsigned int dev, why;		/* enum at_pause */
	unsigned int transaction, journal_tid;	/* the one that was committing, and by whom; 0 unknown */
	unsigned int fault, pad;	/* 1: in a page fault, in no call */
};

struct rec_conn_end {
	struct rec h;
	unsigned long long drained_ns;
	unsigned int conn, how;		/* enum at_conn_end */
};

/* What could not be done, counted per CPU; the index into the map "counts". */
enum rec_count {
	COUNT_LOST,				/* + enum rec_kind: no room in the ring buffer */
	COUNT_HEADER_UNREAD = REC_NR_KINDS,	/* a batch header that could not be read */
	COUNT_WRITE_ODD,			/* a write to a segment that does not start with a batch */
	COUNT_REQUEST_ODD,			/* a Produce that could not be parsed to its end */
	COUNT_CONN_ODD,				/* a connection given up: not Kafka's framing */
	COUNT_BLOCK_STALE,			/* a request used again whose completion no program saw */
	COUNT_TABLE_FULL,			/* a table had no room */
	COUNT_BIO_FULL,				/* the same, for when and by whom a block request was queued */
	COUNT_REQUEST_FULL,			/* and for block requests */
	COUNT_NR
};

#endif
