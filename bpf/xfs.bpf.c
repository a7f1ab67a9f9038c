// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * xfs: its log.  A sync forces the log up to what it needs and waits for the
 * buffers (iclogs) that hold it, which any number of syncs may share; a write may
 * wait for room in the log.
 */
#include "op.bpf.h"

/* xfs_log_force, xfs_log_force_seq: from here on the thread waits for the log alone. */
SEC("tp_btf/xfs_log_force")
int xfs_force(void *ctx)
{
	struct op *op = op_now();

	if (op)
		op->in_log = 1;
	return 0;
}

static __always_inline int log_waits(struct xlog___at *log)
{
	op_hint(REC_PAUSE_LOG, log ? BPF_CORE_READ(log, l_mp, m_super, s_dev) : 0);
	return 0;
}

SEC("tp_btf/xfs_log_grant_sleep")
int BPF_PROG(xfs_grant_sleep, struct xlog___at *log)
{
	return log_waits(log);
}

SEC("tp_btf/xfs_log_cil_wait")
int BPF_PROG(xfs_cil_wait, struct xlog___at *log)
{
	return log_waits(log);
}

/* Buffers of the log that are waited for or on their way. */
struct iclog { __u64 begin_ns; __u32 waiters, tid; };
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, __u64);		/* struct xlog_in_core */
	__type(value, struct iclog);
} iclogs SEC(".maps");

static __always_inline struct iclog *iclog_get(__u64 key)
{
	struct iclog *l = bpf_map_lookup_elem(&iclogs, &key), fresh = {};

	if (l)
		return l;
	bpf_map_update_elem(&iclogs, &key, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&iclogs, &key);
}

SEC("tp_btf/xlog_iclog_wait_on")
int BPF_PROG(xfs_iclog_wait_on, struct xlog_in_core___at *iclog)
{
	struct iclog *l;

	if (!iclog || at_iclog_at_rest(iclog))	/* nothing to wait for */
		return 0;
	l = iclog_get((__u64)iclog);
	if (l)
		__sync_fetch_and_add(&l->waiters, 1);
	return 0;
}

/* Given to the disk by this thread. */
SEC("tp_btf/xlog_iclog_syncing")
int BPF_PROG(xfs_iclog_syncing, struct xlog_in_core___at *iclog)
{
	struct iclog *l = iclog_get((__u64)iclog);

	if (l) {
		l->begin_ns = bpf_ktime_get_ns();
		l->tid = (__u32)bpf_get_current_pid_tgid();
	}
	return 0;
}

SEC("tp_btf/xlog_iclog_sync_done")
int BPF_PROG(xfs_iclog_sync_done, struct xlog_in_core___at *iclog)
{
	__u64 key = (__u64)iclog;
	struct iclog *l = bpf_map_lookup_elem(&iclogs, &key);
	struct rec_commit *r;

	if (!iclog || !l)
		return 0;
	if (l->begin_ns && (r = rec_begin(REC_COMMIT, sizeof(*r), bpf_ktime_get_ns()))) {
		r->h.tid = l->tid;
		r->begin_ns = l->begin_ns;
		r->dev = BPF_CORE_READ(iclog, ic_log, l_mp, m_super, s_dev);
		r->transaction = 0;
		r->waiters = l->waiters;
		r->how = 1;
		r->by_pid = r->by_tid = 0;
		__builtin_memset(r->comm, 0, REC_COMM);
		rec_submit(r);
	}
	bpf_map_delete_elem(&iclogs, &key);
	return 0;
}
