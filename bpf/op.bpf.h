/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * op.bpf.h - a thread's write or sync while it lasts.  A write to a file that was
 * opened O_DSYNC is both.  nap.bpf.c watches the sleeps of these threads alone.
 */
#ifndef ACKTRAIL_OP_BPF_H
#define ACKTRAIL_OP_BPF_H

#include "slots.bpf.h"

#define OP_APPEND	1u	/* a write to a segment */
#define OP_SYNC		2u	/* told as a sync when it ends */
#define OP_NAMELESS	4u	/* a sync whose file is not known yet */
#define OP_ASYNC	8u	/* in a worker, for whom it was submitted */
#define OP_NAP		16u	/* neither: one sleep in a page fault */

/* Why the next sleep will be, as a tracepoint right before it said; enum at_pause, 0 unknown. */
struct op {
	__u64 begin_ns;
	__u64 pos, buf;			/* buf: the bytes, or the iovec when nr_iov > 0 */
	__u64 asleep_ns, woken_ns;	/* 0: awake; 0: nobody woke it yet */
	__u64 slept_ns;			/* in all, also what is too short to be told */
	__u64 hint_ns;
	__u64 place;			/* sector of the block of metadata that was looked up last, 0 none */
	struct inode_key file;
	__u32 nr_iov, what, call, hint;
	__u32 in_io, in_log;		/* the sleep is for I/O; XFS was asked to force its log */
	__u32 tgid, pad;
};
#define OP_SETS		512
struct op_slots { __u64 key[SLOT_WAYS]; struct op state[SLOT_WAYS]; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OP_SETS);
	__uint(map_flags, SLOT_FLAGS);
	__type(key, __u32);
	__type(value, struct op_slots);
} ops SEC(".maps");

/* How many are in workers: 0 most of the time, and then only threads of the brokers have one. */
extern __u32 ops_async;

static __always_inline struct op_slots *op_slots(__u64 key)
{
	__u32 i = slot_set(key, OP_SETS);

	return bpf_map_lookup_elem(&ops, &i);
}

/* Never 0, as the idle thread's id is. */
static __always_inline __u64 op_key(__u32 tid)
{
	return 1ull << 32 | tid;
}

static __always_inline struct op *op_by_tid(__u32 tid)
{
	__u64 key = op_key(tid);
	struct op_slots *set = op_slots(key);
	__u32 at;

	return set && (at = slot_find(set->key, key)) < SLOT_WAYS ? &set->state[at] : NULL;
}

static __always_inline struct op *op_now(void)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct op *op = ops_async || is_target_tgid(id >> 32) ? op_by_tid((__u32)id) : NULL;

	return op && op->what != OP_NAP ? op : NULL;
}

static __always_inline struct op *op_of_task(struct task_struct *task)
{
	return ops_async || is_target_tgid(task->tgid) ? op_by_tid(task->pid) : NULL;
}

static __always_inline int op_begin(struct op *op)
{
	__u64 id = bpf_get_current_pid_tgid(), key = op_key((__u32)id);
	struct op_slots *set = op_slots(key);
	__u32 at;

	if (!set)
		return 0;
	if (!op->tgid)
		op->tgid = id >> 32;
	if (!op->begin_ns)
		op->begin_ns = bpf_ktime_get_ns();
	at = slot_find(set->key, key);
	if (at >= SLOT_WAYS) {
		at = slot_claim(set->key, &set->state[0].begin_ns, sizeof(set->state[0]), key, op->begin_ns, COUNT_TABLE_FULL);
		if (at >= SLOT_WAYS)
			return 0;
		/* Whose end is never seen (a worker killed in the middle) still counts. */
		if (op->what & OP_ASYNC)
			__sync_fetch_and_add(&ops_async, 1);
	}
	set->state[at] = *op;
	return 0;
}

static __always_inline void op_end_of(__u32 tid)
{
	__u64 key = op_key(tid);
	struct op_slots *set = op_slots(key);
	__u32 at;

	if (set && (at = slot_find(set->key, key)) < SLOT_WAYS)
		slot_free(&set->key[at]);
}

/* The current thread's. */
static __always_inline void op_end(void)
{
	op_end_of((__u32)bpf_get_current_pid_tgid());
}

static __always_inline void op_tell_sync(struct op *op, __u64 now, __s64 ret, __u32 flags)
{
	struct rec_sync *r = rec_begin(REC_SYNC, sizeof(*r), now);

	if (!r)
		return;
	r->h.pid = op->tgid;
	r->begin_ns = op->begin_ns;
	r->slept_ns = op->slept_ns;
	r->ino = op->file.ino;
	r->dev = op->file.dev;
	r->call = op->call;
	r->ret = ret;
	r->flags = flags | (with_naps ? REC_SYNC_NAPS : 0);
	r->pad = 0;
	rec_submit(r);
}

/*
 * What is written by a mapping, as Kafka's indexes are, waits in a page fault
 * (fault_dirty_shared_page), where no call shows it.
 */
static __always_inline bool in_fault(void)
{
	return with_faults && is_target() && at_syscall_nr((void *)bpf_task_pt_regs(bpf_get_current_task_btf())) < 0;
}

/* The tracepoint in which the current thread is comes right before a sleep, for the device `dev`; 0 unknown. */
static __always_inline void op_hint(__u32 why, __u32 dev)
{
	struct op *op = op_now(), nap = { .what = OP_NAP, .hint = why };

	if (op) {
		op->hint = why;
		op->hint_ns = bpf_ktime_get_ns();
	} else if (in_fault()) {
		nap.file.dev = dev;
		nap.hint_ns = nap.begin_ns = bpf_ktime_get_ns();
		op_begin(&nap);
	}
}

#endif
