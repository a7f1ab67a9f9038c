// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * nap: the sleeps of a thread within its write or sync, and why it slept: for I/O
 * or not, and what the tracepoint right before the sleep said.  From that it was
 * woken to that it ran is no sleep: it waited for a CPU.  Of a page fault only a
 * sleep is told that such a tracepoint announced.
 */
#include "op.bpf.h"

#define NAP_NS		500000u		/* shorter ones are only added up */
#define HINT_NS		100000u		/* from the tracepoint to the sleep that it speaks of */

static __always_inline bool was_told(const struct op *op)
{
	return op->hint_ns && op->asleep_ns - op->hint_ns < HINT_NS;
}

static __always_inline __u32 why(const struct op *op)
{
	bool told = was_told(op);

	if (op->in_io)		/* dirty throttling and pages sleep as for I/O, the log does not */
		return told && op->hint != REC_PAUSE_LOG ? op->hint : REC_PAUSE_IO;
	return (told && op->hint == REC_PAUSE_LOG) || op->in_log ? REC_PAUSE_LOG : REC_PAUSE_LOCK;
}

static __always_inline void nap_over(struct op *op, __u32 tid)
{
	__u64 end = op->woken_ns ? op->woken_ns : bpf_ktime_get_ns(), ns = end - op->asleep_ns;
	__u32 cause = why(op);
	struct rec_pause *r;

	op->slept_ns += ns;
	if (ns >= NAP_NS && (r = rec_begin(REC_PAUSE, sizeof(*r), end))) {
		r->h.pid = op->tgid;	/* not who runs now */
		r->h.tid = tid;
		r->begin_ns = op->asleep_ns;
		r->ino = cause == REC_PAUSE_IO && op->place ? REC_PLACE | op->place : op->file.ino;
		r->dev = op->file.dev;
		r->why = cause;
		r->transaction = r->journal_tid = r->pad = 0;
		r->fault = op->what == OP_NAP;
		rec_submit(r);
	}
	op->asleep_ns = op->woken_ns = op->hint_ns = 0;
	if (op->what == OP_NAP)
		op_end_of(tid);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(nap_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	struct op *op;

	if (!preempt) {
		op = op_of_task(prev);
		if (op) {
			op->asleep_ns = bpf_ktime_get_ns();
			op->woken_ns = 0;
			op->in_io = BPF_CORE_READ_BITFIELD(prev, in_iowait);
			if (op->what == OP_NAP && (!was_told(op) || why(op) != op->hint))
				op_end();		/* the sleep that was announced did not come about */
		}
	}
	op = op_of_task(next);
	if (op && op->asleep_ns)
		nap_over(op, next->pid);
	return 0;
}

SEC("tp_btf/sched_waking")
int BPF_PROG(nap_waking, struct task_struct *woken)
{
	struct op *op = op_of_task(woken);

	if (op && op->asleep_ns && !op->woken_ns)
		op->woken_ns = bpf_ktime_get_ns();
	return 0;
}

/* Too much is dirty: the writer is made to pause; for how long stands second to last. */
static __always_inline int dirty(struct bdi_writeback___at *wb, long pause)
{
	if (pause > 0)
		op_hint(REC_PAUSE_DIRTY, BPF_CORE_READ(wb, bdi, owner, devt));
	return 0;
}

SEC("tp_btf/balance_dirty_pages")
int nap_dirty(__u64 *ctx)
{
	return dirty((void *)ctx[0], ctx[AT_DIRTY_ARGS - 2]);
}

SEC("tp_btf/balance_dirty_pages")
int nap_dirty_old(__u64 *ctx)
{
	return dirty((void *)ctx[0], ctx[AT_DIRTY_ARGS_OLD - 2]);
}

/* A page is being written to the disk: a sync waits for its own, a write for a stable one. */
static __always_inline int page_waits(struct address_space *mapping)
{
	op_hint(REC_PAUSE_PAGE, mapping ? BPF_CORE_READ(mapping, host, i_sb, s_dev) : 0);
	return 0;
}

SEC("tp_btf/folio_wait_writeback")
int BPF_PROG(nap_folio, void *folio, struct address_space *mapping)
{
	return page_waits(mapping);
}

SEC("tp_btf/wait_on_page_writeback")
int BPF_PROG(nap_page, void *page, struct address_space *mapping)
{
	return page_waits(mapping);
}

/*
 * A block of metadata is looked up by who then writes it, or waits until another has.
 * Found in the CPU's own few (bh_lrus) it is told, else not.
 */
SEC("tp_btf/block_touch_buffer")
int BPF_PROG(nap_touch, struct buffer_head___at *bh)
{
	struct op *op = op_now();

	if (op)
		op->place = at_bh_sector(bh);
	return 0;
}
