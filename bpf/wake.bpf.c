// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * wake: who ended the last sleep of a thread before it appends.  A thread of the
 * broker that sleeps in a futex waits for a lock or for work; the thread that
 * wakes it is in a futex call of its own.  Timers, which also end such sleeps,
 * interrupt whoever runs and are told apart by that.  One record an append.
 */
#include "maps.bpf.h"

struct sleeper { __u64 asleep_ns, woken_ns, sleep_ns; __u32 waker, pad; };
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);		/* tid */
	__type(value, struct sleeper);
} sleepers SEC(".maps");

static __always_inline bool in_futex(void)
{
	return at_syscall_nr((void *)bpf_task_pt_regs(bpf_get_current_task_btf())) == AT_FUTEX;
}

/* The thread that leaves the CPU is still the current one. */
SEC("tp_btf/sched_switch")
int wake_switch(__u64 *ctx)
{
	struct sleeper *s, fresh = {};
	__u32 tid;

	if (!is_target() || (bool)ctx[0] || !in_futex())
		return 0;		/* another's, preempted, or asleep for something else */
	tid = (__u32)bpf_get_current_pid_tgid();
	s = bpf_map_lookup_elem(&sleepers, &tid);
	if (!s) {
		fresh.asleep_ns = bpf_ktime_get_ns();
		bpf_map_update_elem(&sleepers, &tid, &fresh, BPF_ANY);
	} else if (!s->asleep_ns) {	/* else a timer had it look in between */
		s->asleep_ns = bpf_ktime_get_ns();
	}
	return 0;
}

SEC("tp_btf/sched_waking")
int BPF_PROG(wake_waking, struct task_struct *woken)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct sleeper *s;
	__u32 tid;

	if (!is_target() || (__u32)woken->tgid != id >> 32 || !in_futex())
		return 0;
	tid = woken->pid;
	s = bpf_map_lookup_elem(&sleepers, &tid);
	if (!s || !s->asleep_ns)
		return 0;
	s->woken_ns = bpf_ktime_get_ns();
	s->sleep_ns = s->woken_ns - s->asleep_ns;
	s->waker = (__u32)id;
	s->asleep_ns = 0;
	return 0;
}

/* Called when the current thread begins to append. */
__noinline int wake_tell(__u64 now)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	struct sleeper *s = bpf_map_lookup_elem(&sleepers, &tid);
	struct rec_wake *r;

	if (!s)
		return 0;
	s->asleep_ns = 0;
	if (!s->woken_ns || s->woken_ns > now)
		return 0;
	r = rec_begin(REC_WAKE, sizeof(*r), s->woken_ns);
	if (r) {
		r->sleep_ns = s->sleep_ns;
		r->waker = s->waker;
		r->pad = 0;
		rec_submit(r);
	}
	s->woken_ns = 0;
	return 0;
}
