// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * block: each request of the disks under the log directories, from the moment its
 * first bio was queued until it completed.  A request is known by its address
 * from insert or issue until complete or merge; a bio by its address from queue
 * until its request is issued.
 */
#include "maps.bpf.h"

#define MAX_BIOS	64	/* looked at in one request */

/* Whole disks to watch: dev → 1. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} disks SEC(".maps");

struct bio_state { __u64 queue_ns, start_ns; __u32 tid, pid, held, pad; char comm[REC_COMM]; };
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct bio_state);
} bios SEC(".maps");

struct rq_state {
	__u64 queue_ns, start_ns, insert_ns, issue_ns, ino;
	__u64 sector;
	__u32 dev, bytes, op, queue_tid, bios, queue_pid;
	__u32 ino_fs, pad;
	char comm[REC_COMM];
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);	/* as many as the disks have tags at most */
	__uint(max_entries, 32768);
	__type(key, __u64);
	__type(value, struct rq_state);
} requests SEC(".maps");

static __always_inline bool watched(__u32 dev)
{
	return bpf_map_lookup_elem(&disks, &dev) != NULL;
}

#define RQ(ctx)		((struct request *)(rq_args_lead ? (ctx)[1] : (ctx)[0]))
#define BIO(ctx)	((struct bio *)(bio_args_lead ? (ctx)[1] : (ctx)[0]))

static __always_inline int bio_queued(struct bio *bio)
{
	struct bio_state state = {};
	__u64 key = (__u64)bio, id;

	if (!watched(at_disk_dev(at_bio_disk(bio))))
		return 0;
	state.queue_ns = bpf_ktime_get_ns();
	id = bpf_get_current_pid_tgid();
	state.tid = (__u32)id;
	state.pid = id >> 32;
	state.held = at_in_throttle();
	bpf_get_current_comm(state.comm, sizeof(state.comm));
	bpf_map_update_elem(&bios, &key, &state, BPF_ANY);
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
	__u64 key = (__u64)BIO(ctx);
	struct bio_state *state = bpf_map_lookup_elem(&bios, &key);

	if (state)
		state->start_ns = bpf_ktime_get_ns();
	return 0;
}

/* Inode of the first page, and its file system, when it belongs to a regular file. */
static __always_inline __u64 first_inode(struct bio *bio, __u32 *fs)
{
	struct page *page = BPF_CORE_READ(bio, bi_io_vec, bv_page);
	struct address_space *mapping;
	struct inode *host;
	__u64 head;

	if (!page)
		return 0;
	head = BPF_CORE_READ(page, compound_head);
	if (head & 1)
		page = (struct page *)(head - 1);
	mapping = BPF_CORE_READ(page, mapping);
	if (!mapping || (__u64)mapping & 3)	/* anonymous or movable */
		return 0;
	host = BPF_CORE_READ(mapping, host);
	if (!host || (BPF_CORE_READ(host, i_mode) & S_IFMT_) != S_IFREG_)
		return 0;
	*fs = BPF_CORE_READ(host, i_sb, s_dev);
	return BPF_CORE_READ(host, i_ino);
}

static __always_inline __u32 op_of(struct request *rq)
{
	__u32 cmd = BPF_CORE_READ(rq, cmd_flags), op = cmd & 0xff, ours;

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
	if (at_rq_in_flush_seq(BPF_CORE_READ(rq, rq_flags)))
		ours |= REC_OP_FLUSH_SEQ;
	return ours;
}

/*
 * The bios of a request: the earliest one tells when and by whom it was queued.
 * state lies in a map: what the verifier does not follow cannot multiply its work.
 */
static __always_inline void take_bios(struct request *rq, struct rq_state *state)
{
	struct bio *bio = BPF_CORE_READ(rq, bio);

	if (bio)
		state->ino = first_inode(bio, &state->ino_fs);
	for (int i = 0; i < MAX_BIOS && bio; i++) {
		__u64 key = (__u64)bio;
		struct bio_state *b = bpf_map_lookup_elem(&bios, &key);

		state->bios++;
		if (b) {
			if (!state->queue_ns || b->queue_ns < state->queue_ns) {
				state->queue_ns = b->queue_ns;
				state->queue_tid = b->tid;
				state->queue_pid = b->pid;
				__builtin_memcpy(state->comm, b->comm, REC_COMM);
			}
			if (b->start_ns && (!state->start_ns || b->start_ns < state->start_ns))
				state->start_ns = b->start_ns;
			if (b->held)
				state->op |= REC_OP_HELD;
			bpf_map_delete_elem(&bios, &key);
		}
		bio = BPF_CORE_READ(bio, bi_next);
	}
}

SEC("tp_btf/block_rq_insert")
int block_rq_insert(__u64 *ctx)
{
	struct request *rq = RQ(ctx);
	struct rq_state state = {}, *old;
	__u64 key = (__u64)rq;
	__u32 dev = at_disk_dev(at_rq_disk(rq));

	if (!watched(dev))
		return 0;
	old = bpf_map_lookup_elem(&requests, &key);
	if (old && old->issue_ns)
		count(COUNT_BLOCK_STALE);
	if (old && !old->issue_ns && old->insert_ns)
		return 0;		/* requeued: it waits since the first time */
	state.dev = dev;
	state.insert_ns = bpf_ktime_get_ns();
	bpf_map_update_elem(&requests, &key, &state, BPF_ANY);
	return 0;
}

SEC("tp_btf/block_rq_issue")
int block_rq_issue(__u64 *ctx)
{
	struct request *rq = RQ(ctx);
	struct rq_state state = {}, *old;
	__u64 key = (__u64)rq;
	__u32 dev = at_disk_dev(at_rq_disk(rq));

	if (!watched(dev))
		return 0;
	old = bpf_map_lookup_elem(&requests, &key);
	if (old && old->issue_ns)
		count(COUNT_BLOCK_STALE);
	else if (old)
		state = *old;
	state.dev = dev;
	state.issue_ns = bpf_ktime_get_ns();
	state.op = op_of(rq);
	state.bytes = BPF_CORE_READ(rq, __data_len);
	state.sector = BPF_CORE_READ(rq, __sector);
	state.bios = 0;
	bpf_map_update_elem(&requests, &key, &state, BPF_ANY);
	old = bpf_map_lookup_elem(&requests, &key);
	if (old)
		take_bios(rq, old);
	return 0;
}

SEC("tp_btf/block_rq_requeue")
int block_rq_requeue(__u64 *ctx)
{
	__u64 key = (__u64)RQ(ctx);
	struct rq_state *state = bpf_map_lookup_elem(&requests, &key);

	if (state)
		state->issue_ns = 0;	/* the device refused it */
	return 0;
}

/* Swallowed by a neighbour, which now carries its bios. */
SEC("tp_btf/block_rq_merge")
int block_rq_merge(__u64 *ctx)
{
	__u64 key = (__u64)RQ(ctx);

	bpf_map_delete_elem(&requests, &key);
	return 0;
}

static __always_inline void emit(struct rq_state *state, __u32 error)
{
	struct rec_block *r = rec_begin(REC_BLOCK, sizeof(*r), bpf_ktime_get_ns());

	if (!r)
		return;
	r->queue_ns = state->queue_ns;
	r->start_ns = state->start_ns;
	r->insert_ns = state->insert_ns;
	r->issue_ns = state->issue_ns;
	r->sector = state->sector;
	r->ino = state->ino;
	r->dev = state->dev;
	r->bytes = state->bytes;
	r->op = state->op;
	r->queue_tid = state->queue_tid;
	r->error = error;
	r->bios = state->bios;
	r->queue_pid = state->queue_pid;
	r->ino_fs = state->ino ? state->ino_fs : 0;
	__builtin_memcpy(r->comm, state->comm, REC_COMM);
	rec_submit(r);
}

/* (rq, error, nr_bytes): never had the queue in front. */
SEC("tp_btf/block_rq_complete")
int block_rq_complete(__u64 *ctx)
{
	struct request *rq = (void *)ctx[0];
	__u32 error = ctx[1], bytes = ctx[2], left, dev;
	__u64 key = (__u64)rq, bio;
	struct rq_state *state = bpf_map_lookup_elem(&requests, &key);

	if (state) {
		left = BPF_CORE_READ(rq, __data_len);
		if (bytes < left)
			return 0;		/* a part of it */
		emit(state, error);
		bpf_map_delete_elem(&requests, &key);
		return 0;
	}
	/*
	 * An empty flush is never issued itself: the flush machinery sends a request
	 * of its own.  Its bio still tells who asked, and this is when it was answered.
	 */
	if (bytes || !(bio = (__u64)BPF_CORE_READ(rq, bio)) || !bpf_map_lookup_elem(&bios, &bio))
		return 0;
	dev = at_disk_dev(at_rq_disk(rq));
	if (watched(dev)) {
		struct rq_state flush = { .dev = dev };

		flush.op = op_of(rq);
		if ((flush.op & 0xff) == REC_OP_WRITE)
			flush.op = (flush.op & ~0xffu) | REC_OP_FLUSH;
		bpf_map_update_elem(&requests, &key, &flush, BPF_ANY);
		state = bpf_map_lookup_elem(&requests, &key);
		if (!state)
			return 0;
		take_bios(rq, state);
		state->ino = 0;
		emit(state, error);
		bpf_map_delete_elem(&requests, &key);
	}
	return 0;
}

const volatile __u32 rq_args_lead = 0, bio_args_lead = 0;
char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
