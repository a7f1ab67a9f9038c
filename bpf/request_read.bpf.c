// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * request_read: Kafka's requests as the broker reads them.  A network thread reads
 * 4 bytes of size and then, in one or more reads, exactly that many: a read that asks
 * for 4 is where a connection is recognised, also when it does not get them all.
 */
#include "request.bpf.h"

#define AF_INET_	2
#define AF_INET6_	10
#define MAX_STEPS	128	/* of the parser in one read */
#define END_CLOSED	0u	/* enum at_conn_end */
#define END_REUSED	3u
#define END_PARSER_OFF	5u

struct read_state { __u64 begin_ns, buf, sk; __u32 fd, count; };
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct read_state);
} reads SEC(".maps");

__u32 last_conn;

extern int request_step(__u64 key, __u64 buf, __u32 n);

static __always_inline void emit_end(struct conn *c, __u32 how)
{
	struct rec_conn_end *r;

	arrive_forget(c->sk);
	r = rec_begin(REC_CONN_END, sizeof(*r), bpf_ktime_get_ns());
	if (!r)
		return;
	r->drained_ns = c->last_read_ns;
	r->conn = c->id;
	r->how = how;
	rec_submit(r);
}

static __always_inline int read_enter(__u32 fd, __u64 buf, __u64 size)
{
	struct read_state state = {};
	struct file *file;
	struct sock *sk;
	struct conn *c;
	__u32 port;
	__u64 id, key;

	if (!is_target())
		return 0;
	file = file_of_fd(fd);
	sk = file ? sock_of(file) : NULL;
	if (!sk)
		return 0;
	port = BPF_CORE_READ(sk, __sk_common.skc_num);
	if (!bpf_map_lookup_elem(&ports, &port)) {
		/* A reset takes the port (inet_put_port), and leaves what came before it to be read. */
		key = conn_key(fd);
		c = bpf_map_lookup_elem(&conns, &key);
		if (!c || c->sk != (__u64)sk)
			return 0;
	}
	state.begin_ns = bpf_ktime_get_ns();
	state.buf = buf;
	state.sk = (__u64)sk;
	state.fd = fd;
	state.count = size > MAX_FRAME ? MAX_FRAME : size;
	id = bpf_get_current_pid_tgid();
	if (bpf_map_update_elem(&reads, &id, &state, BPF_ANY))
		count(COUNT_TABLE_FULL);
	return 0;
}

static __noinline struct conn *conn_new(__u64 key, __u64 sk_addr)
{
	struct sock *sk = (void *)sk_addr;
	struct scratch *sc;
	struct conn *c;
	__u32 zero = 0, v4;

	sc = bpf_map_lookup_elem(&scratch, &zero);
	if (!sc)
		return NULL;
	if (bpf_map_update_elem(&conns, &key, &sc->none, BPF_ANY)) {
		count(COUNT_TABLE_FULL);
		return NULL;
	}
	c = bpf_map_lookup_elem(&conns, &key);
	if (!c)
		return NULL;
	c->sk = sk_addr;
	c->id = __sync_fetch_and_add(&last_conn, 1) + 1;
	c->fresh = 1;
	c->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	c->peer_port = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET6_) {
		bpf_core_read(c->peer, sizeof(c->peer), &sk->__sk_common.skc_v6_daddr);
	} else {
		v4 = BPF_CORE_READ(sk, __sk_common.skc_daddr);
		c->peer[10] = c->peer[11] = 0xff;
		__builtin_memcpy(c->peer + 12, &v4, 4);
	}
	return c;
}

static __always_inline int read_exit(__s64 ret)
{
	__u64 id = bpf_get_current_pid_tgid(), key;
	struct read_state *state, s;
	struct tcp_sock *tp;
	struct conn *c;
	int more = 1;

	if (!is_target_tgid(id >> 32))
		return 0;
	state = bpf_map_lookup_elem(&reads, &id);
	if (!state)
		return 0;
	s = *state;
	bpf_map_delete_elem(&reads, &id);
	key = conn_key(s.fd);
	c = bpf_map_lookup_elem(&conns, &key);
	if (c && c->sk != s.sk) {		/* its close was not seen */
		emit_end(c, END_REUSED);
		bpf_map_delete_elem(&conns, &key);
		c = NULL;
	}
	if (!c) {
		if (ret < 1 || ret > 4 || s.count != 4)
			return 0;
		c = conn_new(key, s.sk);
		if (!c)
			return 0;
	} else if (c->fresh && ret > 0) {
		if (s.count != (c->step == STEP_SIZE ? 4 - c->carried : c->left)) {
			count(COUNT_CONN_ODD);
			bpf_map_delete_elem(&conns, &key);
			return 0;
		}
		if (c->step != STEP_SIZE)
			c->fresh = 0;
	}
	c->last_read_ns = bpf_ktime_get_ns();
	if (ret <= 0 || ret > MAX_FRAME)
		return 0;
	c->begin_ns = s.begin_ns;
	c->off = 0;
	tp = (void *)s.sk;
	c->end_seq = AT_READ(tp, copied_seq);
	for (int i = 0; i < MAX_STEPS && more > 0; i++)
		more = request_step(key, s.buf, (__u32)ret);
	if (more) {				/* no Kafka, or more fields than steps */
		count(COUNT_CONN_ODD);
		if (!c->fresh)
			emit_end(c, END_PARSER_OFF);
		bpf_map_delete_elem(&conns, &key);
	}
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_read")
int request_enter_read(struct sys_enter *ctx)
{
	return read_enter(ctx->args[0], ctx->args[1], ctx->args[2]);
}

SEC("tracepoint/syscalls/sys_exit_read")
int request_exit_read(struct sys_exit *ctx)
{
	return read_exit(ctx->ret);
}

SEC("tracepoint/syscalls/sys_enter_recvfrom")
int request_enter_recvfrom(struct sys_enter *ctx)
{
	return read_enter(ctx->args[0], ctx->args[1], ctx->args[2]);
}

SEC("tracepoint/syscalls/sys_exit_recvfrom")
int request_exit_recvfrom(struct sys_exit *ctx)
{
	return read_exit(ctx->ret);
}

SEC("tracepoint/syscalls/sys_enter_close")
int request_enter_close(struct sys_enter *ctx)
{
	struct conn *c;
	__u64 key;

	if (!is_target())
		return 0;
	key = conn_key(ctx->args[0]);
	c = bpf_map_lookup_elem(&conns, &key);
	if (c) {
		emit_end(c, END_CLOSED);
		bpf_map_delete_elem(&conns, &key);
	}
	return 0;
}
