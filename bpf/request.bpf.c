// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * request: Kafka's requests on the broker's plain-text sockets, from the arrival
 * of their last byte to the write of the response's last byte.
 *
 * A network thread reads a request as 4 bytes of size and then, in one or more
 * reads, exactly that many: a read of 4 is where a connection is recognised.
 * From there on the reads are one stream, parsed field by field as it passes: a
 * field that lies across two reads is put together in conn.carry, and records are
 * stepped over by their length, unread.
 */
#include "maps.bpf.h"

#define AF_INET_	2
#define AF_INET6_	10
#define MAX_FRAME	(1u << 30)
#define MAX_STEPS	128	/* of the parser in one read */
#define CARRY		288	/* longest field that is read in one piece, and more */
#define ARRIVALS	64	/* segments remembered of a socket, a power of two */
#define END_CLOSED	0u	/* enum at_conn_end */
#define END_REUSED	3u
#define END_PARSER_OFF	5u

#define FLEXIBLE	9	/* Produce version: see kafka.h */
#define TOPIC_ID	13

enum step {
	STEP_SIZE, STEP_HEAD, STEP_CLIENT, STEP_TXN, STEP_ACKS,
	STEP_TOPIC, STEP_NAME, STEP_PART, STEP_TAGS, STEP_REST,
};

struct conn {
	__u64 sk, last_read_ns, begin_ns, out_begin_ns;
	__u32 id, step;
	__u32 off;		/* in the read that is being parsed */
	__u32 skip, left;	/* bytes to step over; bytes of the frame to come, those included */
	__u32 carried;
	__u32 end_seq;		/* TCP sequence behind the read that is being parsed */
	__u32 fresh;		/* 1: a size was read, nothing confirms yet that it was one */

	__u32 size, corr, flags, client_len, name_len;
	__u32 topics_left, parts_left, topic_nr;
	__s32 timeout_ms;
	__s16 api, version, acks;
	__u16 batches;

	__u32 out_left, out_corr, out_size, out_off;	/* out_off: responses given up */
	__u16 peer_port, local_port;
	__u32 pad;
	__u8 peer[16];
	char client[REC_CLIENT];
	__u8 carry[2 * CARRY];	/* twice, so that the verifier need not know the sum */
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);		/* tgid << 32 | fd */
	__type(value, struct conn);
} conns SEC(".maps");

/* A conn of zeroes to begin with, and the window that a step looks through. */
struct scratch { struct conn none; __u8 window[2 * CARRY + 64]; };
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

struct read_state { __u64 begin_ns, buf, sk; __u32 fd, count; };
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct read_state);
} reads SEC(".maps");

struct answer_state { __u64 begin_ns, buf, conn; __u32 nr_iov, pad; };
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct answer_state);
} answers SEC(".maps");

/* Listening ports of the targets. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u32);
} ports SEC(".maps");

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

__u32 last_conn;

static __always_inline __u32 be32(const __u8 *b)
{
	return (__u32)b[0] << 24 | (__u32)b[1] << 16 | (__u32)b[2] << 8 | b[3];
}

static __always_inline __u16 be16(const __u8 *b)
{
	return (__u16)(b[0] << 8 | b[1]);
}

/* Bytes that the unsigned varint takes; 0: it is none. */
static __always_inline __u32 uvarint(const __u8 *b, __u32 *value)
{
	*value = b[0] & 0x7f;
	if (!(b[0] & 0x80))
		return 1;
	*value |= (__u32)(b[1] & 0x7f) << 7;
	if (!(b[1] & 0x80))
		return 2;
	*value |= (__u32)(b[2] & 0x7f) << 14;
	if (!(b[2] & 0x80))
		return 3;
	*value |= (__u32)(b[3] & 0x7f) << 21;
	if (!(b[3] & 0x80))
		return 4;
	*value |= (__u32)(b[4] & 0x0f) << 28;
	return b[4] & 0x80 ? 0 : 5;
}

/* ---- arrival --------------------------------------------------------------- */

SEC("tp_btf/tcp_probe")
int BPF_PROG(request_tcp_probe, struct sock *sk, struct sk_buff *skb)
{
	__u32 port = BPF_CORE_READ(sk, __sk_common.skc_num), zero = 0, seq, end, next;
	struct tcp_skb_cb *cb = (void *)__builtin_preserve_access_index(&skb->cb);
	struct tcp_sock *tp = (void *)sk;
	__u64 key = (__u64)sk;
	struct arrived *a;
	struct segment *s;

	if (!bpf_map_lookup_elem(&ports, &port))
		return 0;
	seq = BPF_CORE_READ(cb, seq);
	end = BPF_CORE_READ(cb, end_seq);
	next = BPF_CORE_READ(tp, rcv_nxt);
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

/* When the byte before `end` was there, and all before it; 0 unknown. */
static __always_inline __u64 arrived_ns(__u64 sk, __u32 end)
{
	struct arrived *a = bpf_map_lookup_elem(&arrivals, &sk);

	if (!a)
		return 0;
	for (int i = 0; i < ARRIVALS; i++) {
		struct segment *s = &a->ring[i];

		if ((__s32)(end - s->seq) > 0 && (__s32)(s->end - end) >= 0 && s->end != s->seq)
			return s->ns;
	}
	return 0;
}

/* ---- the parser ------------------------------------------------------------ */

static __always_inline void emit_arrival(struct conn *c, __u32 behind)
{
	struct rec_arrival *r = rec_begin(REC_ARRIVAL, sizeof(*r), c->last_read_ns);

	if (!r)
		return;
	r->arrived_ns = arrived_ns(c->sk, c->end_seq - behind);
	r->begin_ns = c->begin_ns;
	__builtin_memcpy(r->peer, c->peer, sizeof(r->peer));
	r->conn = c->id;
	r->corr = c->corr;
	r->size = c->size;
	r->flags = c->flags;
	r->peer_port = c->peer_port;
	r->local_port = c->local_port;
	r->api = c->api;
	r->version = c->version;
	r->timeout_ms = c->timeout_ms;
	r->acks = c->acks;
	r->batches = c->batches;
	r->client_len = c->client_len < REC_CLIENT ? c->client_len : REC_CLIENT;
	r->pad = 0;
	__builtin_memcpy(r->client, c->client, sizeof(r->client));
	bpf_ringbuf_submit(r, 0);
}

static __always_inline void emit_topic(struct conn *c, const __u8 *name, __u32 len)
{
	struct rec_topic *r = rec_begin(REC_TOPIC, sizeof(*r), c->last_read_ns);

	c->topic_nr++;
	if (!r)
		return;
	r->conn = c->id;
	r->nr = c->topic_nr;
	r->by_id = c->version >= TOPIC_ID;
	r->pad = 0;
	__builtin_memset(r->name, 0, sizeof(r->name));
	if (len < REC_NAME)
		bpf_probe_read_kernel(r->name, len, name);
	bpf_ringbuf_submit(r, 0);
}

static __always_inline void emit_batch(struct conn *c, __s32 partition, const __u8 *header)
{
	struct rec_batch *r = rec_begin(REC_BATCH, sizeof(*r), c->last_read_ns);

	if (r) {
		r->conn = c->id;
		r->corr = c->corr;
		r->topic_nr = c->topic_nr;
		r->partition = partition;
		r->index = c->batches;
		bpf_probe_read_kernel(r->header, REC_HEADER, header);
		bpf_ringbuf_submit(r, 0);
	}
	c->batches++;
}

static __always_inline void step_over_rest(struct conn *c, __u32 flag)
{
	c->step = STEP_REST;
	c->skip = c->left;
	c->carried = 0;
	c->flags |= flag;
	if (flag & REC_ARRIVAL_UNPARSED)
		count(COUNT_REQUEST_ODD);
}

/* Bytes the step wants to see before it begins. */
static __always_inline __u32 wanted(struct conn *c)
{
	bool flexible = c->version >= FLEXIBLE;

	switch (c->step) {
	case STEP_SIZE:
		return 4;
	case STEP_HEAD:
		return 10;
	case STEP_CLIENT:
		return c->client_len < REC_CLIENT ? c->client_len : REC_CLIENT;
	case STEP_TXN:
		return flexible ? 3 : 2;
	case STEP_ACKS:
		return flexible ? 9 : 10;
	case STEP_TOPIC:
		return c->version >= TOPIC_ID ? 18 : 2;
	case STEP_NAME:
		return c->name_len + (flexible ? 2 : 4);
	case STEP_PART:
		return !flexible ? 69 : c->left < 70 ? c->left : 70;
	case STEP_TAGS:
		return c->parts_left ? 1 : 2;
	}
	return 1;
}

static __always_inline void next_partition(struct conn *c)
{
	c->step = c->parts_left ? STEP_PART : c->topics_left ? STEP_TOPIC : STEP_REST;
}

static __always_inline void begin_topic(struct conn *c, __u32 parts)
{
	c->parts_left = parts;
	c->topics_left--;
	next_partition(c);
}

/* One field, or a few that stand together: bytes used, or -1 when it is not Kafka's. */
static __always_inline int parse_fields(struct conn *c, __u8 *w)
{
	bool flexible = c->version >= FLEXIBLE;
	__u32 value = 0, len = 0, used = 0;

	switch (c->step) {
	case STEP_SIZE:
		c->size = be32(w);
		if (c->size < 8 || c->size > MAX_FRAME)
			return -1;
		c->step = STEP_HEAD;
		c->flags = c->client_len = c->batches = 0;
		c->timeout_ms = c->acks = 0;
		return 4;
	case STEP_HEAD:
		c->api = be16(w);
		c->version = be16(w + 2);
		c->corr = be32(w + 4);
		if (c->api < 0 || c->api > 127 || c->version < 0 || c->version > 99)
			return -1;
		len = be16(w + 8);
		c->client_len = len > 0x7fff ? 0 : len;
		c->step = STEP_CLIENT;
		return 10;
	case STEP_CLIENT:
		len = c->client_len < REC_CLIENT ? c->client_len : REC_CLIENT;
		bpf_probe_read_kernel(c->client, len & (2 * REC_CLIENT - 1) & 0xff, w);
		c->skip = c->client_len - len;
		if (c->api == 0 && c->version >= 3 && c->version <= TOPIC_ID)
			c->step = STEP_TXN;
		else
			c->step = STEP_REST;	/* left over: see request_step() */
		return len;
	case STEP_TXN:
		c->step = STEP_ACKS;
		if (!flexible) {
			len = be16(w);
			c->skip = len > 0x7fff ? 0 : len;
			return 2;
		}
		if (w[0])			/* tagged fields of the header: none is known */
			return -2;
		len = uvarint(w + 1, &value);
		if (len < 1 || len > 2)
			return -2;
		c->skip = value ? value - 1 : 0;
		return 1 + len;
	case STEP_ACKS:
		c->acks = be16(w);
		c->timeout_ms = be32(w + 2);
		c->step = STEP_TOPIC;
		if (!flexible) {
			c->topics_left = be32(w + 6);
			used = 10;
		} else {
			len = uvarint(w + 6, &value);
			if (!len || len > 3 || !value)
				return -2;
			c->topics_left = value - 1;
			used = 6 + len;
		}
		if (!c->topics_left || c->topics_left > 1u << 20)
			return -2;
		return used;
	case STEP_TOPIC:
		if (c->version >= TOPIC_ID) {
			emit_topic(c, w, 16);
			len = uvarint(w + 16, &value);
			if (len < 1 || len > 2 || value < 2)
				return -2;
			begin_topic(c, value - 1);
			return 16 + len;
		}
		if (flexible) {
			used = uvarint(w, &value);
			if (used < 1 || used > 2 || !value)
				return -2;
			value--;
		} else {
			used = 2;
			value = be16(w);
		}
		if (!value || value > 249)
			return -2;
		c->name_len = value;
		c->step = STEP_NAME;
		return used;
	case STEP_NAME:
		len = c->name_len & 0xff;
		emit_topic(c, w, len);
		if (flexible) {
			used = uvarint(w + len, &value);
			if (used < 1 || used > 2 || value < 2)
				return -2;
			value--;
		} else {
			used = 4;
			value = be32(w + len);
		}
		if (!value || value > 1u << 20)
			return -2;
		begin_topic(c, value);
		return len + used;
	case STEP_PART:
		if (flexible) {
			used = uvarint(w + 4, &value);
			if (!used)
				return -2;
			value = value ? value - 1 : 0;
		} else {
			used = 4;
			value = be32(w + 4);
			if (value > MAX_FRAME)
				value = 0;	/* null */
		}
		if (value < REC_HEADER || used > 5)
			return -2;
		if (c->batches < REC_BATCHES)
			emit_batch(c, be32(w), w + 4 + used);
		c->skip = value - REC_HEADER;
		c->parts_left--;
		if (c->batches == REC_BATCHES && (c->parts_left || c->topics_left)) {
			c->flags |= REC_ARRIVAL_MORE;
			c->parts_left = c->topics_left = 0;
			c->step = STEP_REST;	/* the rest is not looked at */
		} else if (flexible) {
			c->step = STEP_TAGS;
		} else {
			next_partition(c);
		}
		return 4 + used + REC_HEADER;
	case STEP_TAGS:
		used = c->parts_left ? 1 : 2;	/* of the partition, and of the topic behind its last */
		if (w[0] || (used == 2 && w[1]))
			return -2;
		next_partition(c);
		return used;
	}
	return -2;
}

/*
 * One step of the parser on the bytes [buf, buf + n): 1 to go on, 0 when they are
 * used up, -1 when this is not Kafka's framing.  A global function, so that the
 * verifier looks at it once and not for each turn of the loop.
 */
__noinline int request_step(__u64 key, __u64 buf, __u32 n)
{
	struct conn *c = bpf_map_lookup_elem(&conns, &key);
	__u32 zero = 0, need, rest, carried, fresh, step;
	struct scratch *sc = bpf_map_lookup_elem(&scratch, &zero);
	int used;

	if (!c || !sc)
		return 0;
	if (c->skip) {
		rest = c->carried < c->skip ? c->carried : c->skip;
		if (rest && rest < c->carried)	/* a field's tail behind what is stepped over: never seen */
			return -1;
		c->carried = 0;
		c->skip -= rest;
		c->left -= rest;
		rest = n - c->off < c->skip ? n - c->off : c->skip;
		c->skip -= rest;
		c->left -= rest;
		c->off += rest;
	}
	if (c->step != STEP_SIZE && !c->left) {
		emit_arrival(c, n - c->off);
		c->step = STEP_SIZE;
		c->carried = 0;
	}
	if (c->skip)
		return 0;
	if (c->step == STEP_REST) {
		c->skip = c->left;
		return 1;
	}
	need = wanted(c);
	if (c->step != STEP_SIZE && need > c->left) {
		step_over_rest(c, c->api == 0 && c->step > STEP_CLIENT ? REC_ARRIVAL_UNPARSED : 0);
		return 1;
	}
	carried = c->carried;
	if (carried > CARRY || need > CARRY || c->off > n)
		return -1;
	rest = n - c->off;
	if (carried + rest < need) {
		if (rest < CARRY) {		/* it is, need is no longer than that */
			if (bpf_probe_read_user(c->carry + carried, rest, (void *)(buf + c->off)))
				return -1;
			c->carried = carried + rest;
			c->off = n;
		}
		return 0;
	}
	if (carried)
		bpf_probe_read_kernel(sc->window, carried, c->carry);
	fresh = need > carried ? need - carried : 0;
	if (fresh > CARRY || (fresh && bpf_probe_read_user(sc->window + carried, fresh, (void *)(buf + c->off)))) {
		count(COUNT_HEADER_UNREAD);
		if (c->step == STEP_SIZE)
			return -1;
		step_over_rest(c, REC_ARRIVAL_UNPARSED);
		return 1;
	}
	step = c->step;
	used = parse_fields(c, sc->window);
	if (used == -1)
		return -1;
	if (used < 0) {
		step_over_rest(c, REC_ARRIVAL_UNPARSED);
		return 1;
	}
	if (step == STEP_SIZE)
		c->left = c->size;
	else
		c->left -= used;
	if ((__u32)used >= carried) {
		c->off += (__u32)used - carried;
		c->carried = 0;
	} else {
		/* Looked further than was used: the rest of the carry comes again. */
		rest = carried - (__u32)used;
		if (rest > CARRY || used > CARRY)
			return -1;
		bpf_probe_read_kernel(c->carry, rest, sc->window + used);
		c->carried = rest;
	}
	return 1;
}

/* ---- reading --------------------------------------------------------------- */

static __always_inline struct sock *sock_of(struct file *file)
{
	struct inode *inode = NULL;
	struct socket *socket = NULL;

	bpf_core_read(&inode, sizeof(inode), &file->f_inode);
	if (!inode || (BPF_CORE_READ(inode, i_mode) & S_IFMT_) != S_IFSOCK_)
		return NULL;
	bpf_core_read(&socket, sizeof(socket), &file->private_data);
	return BPF_CORE_READ(socket, sk);
}

static __always_inline __u64 conn_key(__u32 fd)
{
	return (bpf_get_current_pid_tgid() & ~0xffffffffull) | fd;
}

static __always_inline void emit_end(struct conn *c, __u32 how)
{
	struct rec_conn_end *r = rec_begin(REC_CONN_END, sizeof(*r), bpf_ktime_get_ns());

	bpf_map_delete_elem(&arrivals, &c->sk);
	if (!r)
		return;
	r->drained_ns = c->last_read_ns;
	r->conn = c->id;
	r->how = how;
	bpf_ringbuf_submit(r, 0);
}

static __always_inline int read_enter(__u32 fd, __u64 buf, __u64 size)
{
	struct read_state state = {};
	struct file *file;
	struct sock *sk;
	__u32 port;
	__u64 id;

	if (!is_target())
		return 0;
	file = file_of_fd(fd);
	sk = file ? sock_of(file) : NULL;
	if (!sk)
		return 0;
	port = BPF_CORE_READ(sk, __sk_common.skc_num);
	if (!bpf_map_lookup_elem(&ports, &port))
		return 0;
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

	if (!is_target())
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
		if (ret != 4 || s.count != 4)
			return 0;
		c = conn_new(key, s.sk);
		if (!c)
			return 0;
	} else if (c->fresh && ret > 0) {
		if (s.count != c->left) {
			count(COUNT_CONN_ODD);
			bpf_map_delete_elem(&conns, &key);
			return 0;
		}
		c->fresh = 0;
	}
	c->last_read_ns = bpf_ktime_get_ns();
	if (ret <= 0 || ret > MAX_FRAME)
		return 0;
	c->begin_ns = s.begin_ns;
	c->off = 0;
	tp = (void *)s.sk;
	c->end_seq = BPF_CORE_READ(tp, copied_seq);
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

/* ---- answering ------------------------------------------------------------- */

/* Called by the programs of write and writev in append.bpf.c. */
__noinline int answer_enter(__u32 fd, __u64 file, __u64 buf, __u32 nr_iov)
{
	struct answer_state state = {};
	struct conn *c;
	__u64 id;

	state.conn = conn_key(fd);
	c = bpf_map_lookup_elem(&conns, &state.conn);
	if (!c || c->out_off || (__u64)sock_of((struct file *)file) != c->sk)
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

__noinline int answer_exit(__s64 ret)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct answer_state *state = bpf_map_lookup_elem(&answers, &id), s;
	struct rec_answer *r;
	__u8 head[8] = {};
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
	r->pad = 0;
	bpf_ringbuf_submit(r, 0);
	return 0;
}

/* The records of a fetch: never the first bytes of a response, hence no buffer to look at. */
SEC("tracepoint/syscalls/sys_enter_sendfile64")
int request_enter_sendfile(struct sys_enter *ctx)
{
	struct file *file;

	if (!is_target())
		return 0;
	file = file_of_fd(ctx->args[0]);
	return file ? answer_enter(ctx->args[0], (__u64)file, 0, 0) : 0;
}

SEC("tracepoint/syscalls/sys_exit_sendfile64")
int request_exit_sendfile(struct sys_exit *ctx)
{
	return is_target() ? answer_exit(ctx->ret) : 0;
}

SEC("tracepoint/syscalls/sys_enter_close")
int request_enter_close(struct sys_enter *ctx)
{
	__u64 key = conn_key(ctx->args[0]);
	struct conn *c;

	if (!is_target())
		return 0;
	c = bpf_map_lookup_elem(&conns, &key);
	if (c) {
		emit_end(c, END_CLOSED);
		bpf_map_delete_elem(&conns, &key);
	}
	return 0;
}

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";
