// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * arrive: when TCP took in the bytes that a broker has yet to read, also while it
 * is stopped.
 */
#include "request.bpf.h"

#define ARRIVALS	64	/* segments remembered of a socket, a power of two */

/* When TCP took in which bytes: the last segments of each socket. */
struct segment { __u32 seq, end; __u64 ns; };	/* ns 0: something before it was missing */
struct arrived { __u32 nr, pad; struct segment ring[ARRIVALS]; };
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct arrived);
} arrivals SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct arrived);	/* never written */
} arrived_none SEC(".maps");

SEC("tp_btf/tcp_probe")
int BPF_PROG(request_tcp_probe, struct sock *sk, struct sk_buff *skb)
{
	__u32 port = sk->__sk_common.skc_num, zero = 0, seq, end, next;
	struct tcp_skb_cb *cb = (void *)__builtin_preserve_access_index(&skb->cb);
	struct tcp_sock *tp = (void *)sk;
	__u64 key = (__u64)sk;
	struct arrived *a;
	struct segment *s;

	if (!bpf_map_lookup_elem(&ports, &port))
		return 0;
	seq = AT_READ(cb, seq);
	end = AT_READ(cb, end_seq);
	next = AT_READ(tp, rcv_nxt);
	if (seq == end || (__s32)(end - next) <= 0)
		return 0;			/* no data, or data that is there */
	a = bpf_map_lookup_elem(&arrivals, &key);
	if (!a) {
		a = bpf_map_lookup_elem(&arrived_none, &zero);
		if (!a || bpf_map_update_elem(&arrivals, &key, a, BPF_ANY))
			return 0;
		a = bpf_map_lookup_elem(&arrivals, &key);
		if (!a)
			return 0;
	}
	s = &a->ring[a->nr++ & (ARRIVALS - 1)];
	s->seq = seq;
	s->end = end;
	s->ns = (__s32)(seq - next) > 0 ? 0 : bpf_ktime_get_ns();
	return 0;
}

/* Only the low 32 bits of end count. */
__noinline __u64 arrive_when(__u64 sk, __u64 end_seq)
{
	struct arrived *a = bpf_map_lookup_elem(&arrivals, &sk);
	__u32 end = (__u32)end_seq;

	if (!a)
		return 0;
	for (int i = 0; i < ARRIVALS; i++) {
		struct segment *s = &a->ring[i];

		if ((__s32)(end - s->seq) > 0 && (__s32)(s->end - end) >= 0 && s->end != s->seq)
			return s->ns;
	}
	return 0;
}

__noinline int arrive_forget(__u64 sk)
{
	return bpf_map_delete_elem(&arrivals, &sk);
}
