// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * request_parse: what stands in a request.  The reads of a connection are one
 * stream, parsed field by field as it passes: a field that lies across two reads is
 * put together in conn.carry, and records are stepped over by their length, unread.
 */
#include "request.bpf.h"

#define FLEXIBLE	9	/* Produce version: see kafka.h */
#define TOPIC_ID	13

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

static __always_inline void emit_arrival(struct conn *c, __u32 behind)
{
	__u64 arrived = arrive_when(c->sk, c->end_seq - behind);
	struct rec_arrival *r = rec_begin(REC_ARRIVAL, sizeof(*r), c->last_read_ns);

	if (!r)
		return;
	r->first_ns = c->first_ns;
	r->arrived_ns = arrived;
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
	rec_submit(r);
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
	rec_submit(r);
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
		rec_submit(r);
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
	/* One register for it: what the verifier of 6.1 learns from a comparison it knows of no copy. */
	asm volatile("" : "+r"(fresh));
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
	if (step == STEP_SIZE) {
		c->left = c->size;
		c->first_ns = arrive_when(c->sk, c->end_seq - (n - c->off) - carried + 1);
	} else {
		c->left -= used;
	}
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
