// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * response: the broker's answers, from the write of the first byte to that of the
 * last.
 */
#include "request.bpf.h"

struct answer_state { __u64 begin_ns, buf, conn; __u32 nr_iov, pad; };
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct answer_state);
} answers SEC(".maps");

/* Called by the programs of write and writev in append.bpf.c. */
__noinline int answer_enter(__u32 fd, __u64 buf, __u32 nr_iov)
{
	struct answer_state state = {};
	struct file *file;
	struct conn *c;
	__u64 id;

	state.conn = conn_key(fd);
	c = bpf_map_lookup_elem(&conns, &state.conn);
	if (!c || c->out_off || !(file = file_of_fd(fd)) || (__u64)sock_of(file) != c->sk)
		return 0;
	state.begin_ns = bpf_ktime_get_ns();
	state.buf = buf;
	state.nr_iov = nr_iov;
	id = bpf_get_current_pid_tgid();
	if (bpf_map_update_elem(&answers, &id, &state, BPF_ANY))
		count(COUNT_TABLE_FULL);
	return 0;
}

/* The first 8 bytes of a response: its size and correlation id; Kafka may keep the size apart. */
static __always_inline bool answer_head(struct answer_state *s, __u8 head[8])
{
	struct { __u64 base, len; } iov[2] = {};

	if (!s->nr_iov)
		return s->buf && !bpf_probe_read_user(head, 8, (void *)s->buf);
	if (bpf_probe_read_user(&iov[0], sizeof(iov[0]), (void *)s->buf))
		return false;
	if (iov[0].len >= 8)
		return !bpf_probe_read_user(head, 8, (void *)iov[0].base);
	if (iov[0].len != 4 || s->nr_iov < 2 ||
	    bpf_probe_read_user(&iov[1], sizeof(iov[1]), (void *)(s->buf + sizeof(iov[0]))) || iov[1].len < 4)
		return false;
	return !bpf_probe_read_user(head, 4, (void *)iov[0].base) &&
	       !bpf_probe_read_user(head + 4, 4, (void *)iov[1].base);
}

/*
 * The throttle time at the end of a Produce response that went out in one call: for so
 * long the broker reads nothing more of the connection.  0: none, or not to be read.
 */
static __always_inline __u32 answer_throttle(struct conn *c, struct answer_state *s, __u64 ret)
{
	struct { __u64 base, len; } iov[2] = {};
	bool flexible = c->version >= 9;
	__u64 end = s->buf + ret;
	__u8 tail[5] = {};

	if (c->api || c->version < 1 || c->corr != c->out_corr || c->step != STEP_SIZE || ret < 16)
		return 0;
	if (s->nr_iov) {
		if (s->nr_iov > 2 || bpf_probe_read_user(iov, s->nr_iov == 2 ? sizeof(iov) : sizeof(iov[0]), (void *)s->buf) ||
		    iov[0].len + iov[1].len != ret)
			return 0;
		end = iov[1].len ? iov[1].base + iov[1].len : iov[0].base + iov[0].len;
		if ((iov[1].len ? iov[1].len : iov[0].len) < sizeof(tail))
			return 0;
	}
	/* Behind it are the tagged fields, none; where there are some, the response is an error's. */
	if (bpf_probe_read_user(tail, sizeof(tail), (void *)(end - sizeof(tail))) || (flexible && tail[4]))
		return 0;
	return be32(flexible ? tail : tail + 1);
}

__noinline int answer_exit(__s64 ret)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct answer_state *state = bpf_map_lookup_elem(&answers, &id), s;
	struct rec_answer *r;
	__u8 head[8] = {};
	__u32 throttle_ms = 0;
	struct conn *c;

	if (!state)
		return 0;
	s = *state;
	bpf_map_delete_elem(&answers, &id);
	c = bpf_map_lookup_elem(&conns, &s.conn);
	if (!c || ret <= 0)
		return 0;
	if (!c->out_left) {
		if (!answer_head(&s, head) || be32(head) < 4 || be32(head) > MAX_FRAME) {
			c->out_off = 1;
			count(COUNT_CONN_ODD);
			return 0;
		}
		c->out_size = be32(head);
		c->out_corr = be32(head + 4);
		c->out_left = c->out_size + 4;
		c->out_begin_ns = s.begin_ns;
		if (ret == c->out_left)
			throttle_ms = answer_throttle(c, &s, (__u64)ret);
	}
	if (ret < c->out_left) {
		c->out_left -= (__u32)ret;
		return 0;
	}
	if (ret > c->out_left)
		c->out_off = 1;			/* two responses in one write: not the broker we know */
	c->out_left = 0;
	r = rec_begin(REC_ANSWER, sizeof(*r), bpf_ktime_get_ns());
	if (!r)
		return 0;
	r->begin_ns = c->out_begin_ns;
	r->conn = c->id;
	r->corr = c->out_corr;
	r->size = c->out_size;
	r->throttle_ms = throttle_ms;
	rec_submit(r);
	return 0;
}

/* The records of a fetch: never the first bytes of a response, hence no buffer to look at. */
SEC("tracepoint/syscalls/sys_enter_sendfile64")
int request_enter_sendfile(struct sys_enter *ctx)
{
	return is_target() ? answer_enter(ctx->args[0], 0, 0) : 0;
}

SEC("tracepoint/syscalls/sys_exit_sendfile64")
int request_exit_sendfile(struct sys_exit *ctx)
{
	return is_target() ? answer_exit(ctx->ret) : 0;
}
