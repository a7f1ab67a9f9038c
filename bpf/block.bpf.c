// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * block: each request of the disks under the log directories, from the moment its
 * first bio was queued until it completed.  A request is known by its address
 * from insert or issue until complete or merge; a bio by its address from queue
 * until its request is issued.
 */
#include "slots.bpf.h"

#define MAX_BIOS	128	/* looked at in one request */

/* Whole disks to watch, from the front without gaps. */
__u32 disks[REC_DISKS];

#define BIO_SETS	2048
struct bio_state { __u64 queue_ns, start_ns; char comm[REC_COMM]; __u32 tid, pid, held, pad[5]; };
struct bio_slots { __u64 key[SLOT_WAYS]; struct bio_state state[SLOT_WAYS]; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BIO_SETS);
	__uint(map_flags, SLOT_FLAGS);
	__type(key, __u32);
	__type(value, struct bio_slots);
} bios SEC(".maps");

/* The record of a request is made up where it lies; until it is told, h.ns is when that began. */
#define RQ_SETS		4096	/* as many places as the disks have tags at most */
struct rq_slots { __u64 key[SLOT_WAYS]; struct rec_block state[SLOT_WAYS]; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RQ_SETS);
	__uint(map_flags, SLOT_FLAGS);	/* user space counts what is left in the end */
	__type(key, __u32);
	__type(value, struct rq_slots);
} requests SEC(".maps");

static __always_inline bool watched(struct gendisk *disk)
{
	return listed(disks, REC_DISKS, at_disk_dev(disk));
}

static __always_inline struct bio_slots *bio_slots(__u64 key)
{
	__u32 i = slot_set(key, BIO_SETS);

	return bpf_map_lookup_elem(&bios, &i);
}

static __always_inline struct rq_slots *rq_slots(__u64 key)
{
	__u32 i = slot_set(key, RQ_SETS);

	return bpf_map_lookup_elem(&requests, &i);
}

#define RQ(ctx)		((struct request *)(rq_args_lead ? (ctx)[1] : (ctx)[0]))
#define BIO(ctx)	((struct bio *)(bio_args_lead ? (ctx)[1] : (ctx)[0]))

static __always_inline int bio_queued(struct bio *bio)
{
	struct task_struct *task;
	struct bio_state *state;
	struct bio_slots *set;
	__u64 key, now;
	__u32 at;

	if (!watched(at_bio_disk(bio)))
		return 0;
	key = slot_key(bio);
	set = bio_slots(key);
	if (!set)
		return 0;
	now = bpf_ktime_get_ns();
	at = slot_find(set->key, key);	/* of one that ended without a request */
	if (at >= SLOT_WAYS)
		at = slot_claim(set->key, &set->state[0].queue_ns, sizeof(set->state[0]), key, now, COUNT_BIO_FULL);
	if (at >= SLOT_WAYS)
		return 0;
	state = &set->state[at];
	task = bpf_get_current_task_btf();
	state->queue_ns = now;
	state->start_ns = 0;
	state->tid = task->pid;
	state->pid = task->tgid;
	state->held = at_in_throttle(task);
	at_comm(state->comm, task);
	return 0;
}

SEC("tp_btf/block_bio_queue")
int block_bio_queue(__u64 *ctx)
{
	return bio_queued(BIO(ctx));
}

/* The front of a split bio is a new one that was never queued: it was just now. */
SEC("tp_btf/block_split")
int block_split(__u64 *ctx)
{
	return bio_queued(BIO(ctx));
}

/* A request was found for the bio: throttling and the wait for a tag are over. */
SEC("tp_btf/block_getrq")
int block_getrq(__u64 *ctx)
{
	__u64 key = slot_key(BIO(ctx));
	struct bio_slots *set = bio_slots(key);
	__u32 at;

	if (set && (at = slot_find(set->key, key)) < SLOT_WAYS)
		set->state[at].start_ns = bpf_ktime_get_ns();
	return 0;
}

static __always_inline bool is_file(__u16 mode)
{
	return (mode & S_IFMT_) == S_IFREG_;
}

/* What is a number now and then is a pointer for the verifier, until it was in memory that it does not follow. */
static __always_inline __u64 number(volatile unsigned long long *through, const void *pointer)
{
	*through = (__u64)pointer;
	return *through;
}

/* Inode of the first page, and its file system, when it belongs to a regular file. */
static __always_inline void first_inode(struct bio *bio, struct rec_block *r)
{
	struct page *page = bio->bi_io_vec->bv_page;
	struct address_space *mapping = NULL;
	struct inode *host;
	__u64 head;

	if (page) {
		head = number(&r->ino, (void *)page->compound_head);
		mapping = head & 1 ? AT_READ((struct page *)(head - 1), mapping) : page->mapping;
		mapping = (void *)number(&r->ino, mapping);
	}
	r->ino = r->ino_fs = 0;
	if (!mapping || (__u64)mapping & 3)	/* anonymous or movable */
		return;
	host = AT_READ(mapping, host);
	if (!host || !is_file(AT_READ(host, i_mode)))
		return;
	r->ino_fs = AT_READ(AT_READ(host, i_sb), s_dev);
	r->ino = AT_READ(host, i_ino);
}

static __always_inline __u32 rec_op(struct request *rq)
{
	__u32 cmd = rq->cmd_flags, op = cmd & 0xff, ours;

	/* These four kept their numbers since 4.10; what came later did not. */
	ours = op == 0 ? REC_OP_READ : op == 1 ? REC_OP_WRITE : op == 2 ? REC_OP_FLUSH :
	       op == 3 ? REC_OP_DISCARD : REC_OP_OTHER;
	if (at_req_flag(cmd, __REQ_PREFLUSH))
		ours |= REC_OP_PREFLUSH;
	if (at_req_flag(cmd, __REQ_FUA))
		ours |= REC_OP_FUA;
	if (at_req_flag(cmd, __REQ_SYNC))
		ours |= REC_OP_SYNC;
	if (at_req_flag(cmd, __REQ_META))
		ours |= REC_OP_META;
	if (at_rq_in_flush_seq(rq->rq_flags))
		ours |= REC_OP_FLUSH_SEQ;
	return ours;
}

/* The earliest bio of a request tells when and by whom it was queued. */
static __always_inline void take_bio(__u64 key, struct rec_block *r)
{
	struct bio_slots *set = bio_slots(key);
	struct bio_state *b;
	__u32 at;

	r->bios++;
	if (!set || (at = slot_find(set->key, key)) >= SLOT_WAYS)
		return;
	b = &set->state[at];
	if (!r->queue_ns || b->queue_ns < r->queue_ns) {
		r->queue_ns = b->queue_ns;
		r->queue_tid = b->tid;
		r->queue_pid = b->pid;
		__builtin_memcpy(r->comm, b->comm, REC_COMM);
	}
	if (b->start_ns && (!r->start_ns || b->start_ns < r->start_ns))
		r->start_ns = b->start_ns;
	if (b->held)
		r->op |= REC_OP_HELD;
	slot_free(&set->key[at]);
}

static __always_inline void rq_begin(struct rec_block *r, __u32 dev, __u64 now)
{
	__builtin_memset(r, 0, sizeof(*r));
	r->h.ns = now;
	r->dev = dev;
}

/* What is known of a request of a watched disk that is inserted or issued now. */
static __always_inline struct rec_block *rq_get(struct request *rq, __u64 *now)
{
	struct gendisk *disk = at_rq_disk(rq);
	__u64 key = slot_key(rq);
	struct rec_block *r;
	struct rq_slots *set;
	__u32 at;

	if (!watched(disk) || !(set = rq_slots(key)))
		return NULL;
	*now = bpf_ktime_get_ns();
	at = slot_find(set->key, key);
	if (at < SLOT_WAYS) {
		r = &set->state[at];
		if (!r->issue_ns)
			return r;		/* inserted before, or refused by the device */
		count(COUNT_BLOCK_STALE);
	} else {
		at = slot_claim(set->key, &set->state[0].h.ns, sizeof(set->state[0]), key, *now, COUNT_REQUEST_FULL);
		if (at >= SLOT_WAYS)
			return NULL;
		r = &set->state[at];
	}
	rq_begin(r, at_disk_dev(disk), *now);
	return r;
}

SEC("tp_btf/block_rq_insert")
int block_rq_insert(__u64 *ctx)
{
	struct rec_block *r;
	__u64 now;

	r = rq_get(RQ(ctx), &now);
	if (r && !r->insert_ns)	/* else requeued: it waits since the first time */
		r->insert_ns = now;
	return 0;
}

SEC("tp_btf/block_rq_issue")
int block_rq_issue(__u64 *ctx)
{
	struct request *rq = RQ(ctx);
	struct rec_block *r;
	struct bio *bio;
	__u64 now;

	r = rq_get(rq, &now);
	if (!r)
		return 0;
	r->issue_ns = now;
	r->op = rec_op(rq) | (r->op & REC_OP_HELD);
	r->bytes = rq->__data_len;
	r->sector = rq->__sector;
	r->bios = 0;
	bio = rq->bio;
	if (bio)
		first_inode(bio, r);
	for (int i = 0; i < MAX_BIOS && bio; i++) {
		take_bio(slot_key(bio), r);
		bio = bio->bi_next;
	}
	return 0;
}

SEC("tp_btf/block_rq_requeue")
int block_rq_requeue(__u64 *ctx)
{
	__u64 key = slot_key(RQ(ctx));
	struct rq_slots *set = rq_slots(key);
	__u32 at;

	if (set && (at = slot_find(set->key, key)) < SLOT_WAYS)
		set->state[at].issue_ns = 0;	/* the device refused it */
	return 0;
}

/* Swallowed by a neighbour, which now carries its bios. */
SEC("tp_btf/block_rq_merge")
int block_rq_merge(__u64 *ctx)
{
	__u64 key = slot_key(RQ(ctx));
	struct rq_slots *set = rq_slots(key);
	__u32 at;

	if (set && (at = slot_find(set->key, key)) < SLOT_WAYS)
		slot_free(&set->key[at]);
	return 0;
}

/*
 * An empty flush is never issued itself: the flush machinery sends a request of its
 * own.  Its bio, which merges with no other, still tells who asked, and this is when
 * it was answered.
 */
static __always_inline void flushed(struct request *rq, struct bio *bio, struct rq_slots *set, __u64 key, __u32 error)
{
	struct gendisk *disk = at_rq_disk(rq);
	__u64 bio_key = slot_key(bio), now;
	struct bio_slots *queued = bio_slots(bio_key);
	struct rec_block *r;
	__u32 at;

	if (!queued || slot_find(queued->key, bio_key) >= SLOT_WAYS || !watched(disk))
		return;
	now = bpf_ktime_get_ns();
	at = slot_claim(set->key, &set->state[0].h.ns, sizeof(set->state[0]), key, now, COUNT_REQUEST_FULL);
	if (at >= SLOT_WAYS)
		return;
	r = &set->state[at];
	rq_begin(r, at_disk_dev(disk), now);
	r->op = rec_op(rq);
	if ((r->op & 0xff) == REC_OP_WRITE)
		r->op = (r->op & ~0xffu) | REC_OP_FLUSH;
	take_bio(bio_key, r);
	r->error = error;
	rec_output(&r->h, sizeof(*r), REC_BLOCK, now);
	slot_free(&set->key[at]);
}

/* (rq, error, nr_bytes): never had the queue in front. */
SEC("tp_btf/block_rq_complete")
int block_rq_complete(__u64 *ctx)
{
	struct request *rq = (void *)ctx[0];
	__u32 error = ctx[1], bytes = ctx[2], at;
	__u64 key = slot_key(rq);
	struct rq_slots *set = rq_slots(key);
	struct rec_block *r;

	if (!set)
		return 0;
	at = slot_find(set->key, key);
	if (at >= SLOT_WAYS) {
		if (!bytes && rq->bio)
			flushed(rq, rq->bio, set, key, error);
		return 0;
	}
	if (bytes < rq->__data_len)
		return 0;		/* a part of it */
	r = &set->state[at];
	if (!bytes && r->bytes) {	/* an empty flush where data was: that one's end no program saw */
		count(COUNT_BLOCK_STALE);
		slot_free(&set->key[at]);
		if (rq->bio)
			flushed(rq, rq->bio, set, key, error);
		return 0;
	}
	r->error = error;
	rec_output(&r->h, sizeof(*r), REC_BLOCK, bpf_ktime_get_ns());
	slot_free(&set->key[at]);
	return 0;
}
