/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_state.c - a broker's state as librdkafka tells it: connecting, shaking hands, up,
 * down and why; and what a cold start went by.
 */
#include <stdio.h>
#include <string.h>
#include "join_int.h"
#include "span.h"

#define HANDSHAKE		(5000 * JOIN_MS)	/* what is refused is refused sooner */

/* "host:port/STATE", as librdkafka names its states. */
static bool state_is(const struct event *ev, const char *const names[])
{
	const char *slash = memrchr(ev->tail, '/', ev->tail_len);
	size_t n;

	if (!slash)
		return false;
	n = ev->tail_len - (size_t)(++slash - ev->tail);
	for (; *names; names++)
		if (strlen(*names) == n && !memcmp(*names, slash, n))
			return true;
	return false;
}

/* An address by which no broker is known yet. */
static uint32_t address_of(const struct event *ev)
{
	const char *slash = memrchr(ev->tail, '/', ev->tail_len);
	uint32_t h = 2166136261u;

	for (const char *s = ev->tail; slash && s < slash; s++)
		h = (h ^ (uint8_t)*s) * 16777619u;
	return h | 0x80000000u;
}

/* It went down in that state, after so long in it. */
static enum tl_cause cause_of_down(int from, int64_t after)
{
	if (from == PEER_CONNECT)
		return TL_CAUSE_UNREACHABLE;
	return (from == PEER_AUTH || from == PEER_TLS) && after < HANDSHAKE ? TL_CAUSE_AUTH : TL_CAUSE_UNKNOWN;
}

/* Down from here on; `from` is what it came from. */
static void peer_down(struct peer *p, int64_t ns, int from, int64_t from_ns, bool whole)
{
	/* Where events were lost another connection may have ended since, for another reason. */
	bool lost = ns - p->lost_ns < 10000 * JOIN_MS && (whole || p->shook_ns < p->lost_ns);
	/* Of states that may have been lost it is not known: it may have connected in between. */
	enum tl_cause cause = whole ? cause_of_down(from, ns - from_ns) : TL_CAUSE_UNKNOWN;

	/* Packets that were lost are lost, still: no other reason is known. */
	if (cause == TL_CAUSE_UNREACHABLE && ns - from_ns >= SYN_AGAIN && p->down.open_since &&
	    p->down.open_cause == TL_CAUSE_NETWORK)
		return;

	spans_close(&p->shaking, ns);
	if (!p->down.open_since) {
		if (cause == TL_CAUSE_UNKNOWN && lost)
			cause = p->lost_cause;
		spans_open(&p->down, ns, cause);
		if (lost && cause == p->lost_cause)
			spans_blame(&p->down, p->lost_conn, p->lost_since);
	} else if (cause != TL_CAUSE_UNKNOWN) {
		spans_because(&p->down, ns, cause);	/* now it is known that connecting fails */
	}
}

/*
 * librdkafka may leave it to another handle of the same address to connect again (that of
 * bootstrap.servers): what that one meets holds for this one, too.
 */
static void address_refused(struct join *j, const struct peer *p, int64_t ns)
{
	struct peer *o, *tmp;

	HASH_ITER(hh, j->peers, o, tmp)
		if (o != p && o->key.trail == p->key.trail && o->key.conn == p->key.conn && o->address == p->address &&
		    o->down.open_since && o->down.open_cause == TL_CAUSE_UNKNOWN)
			spans_because(&o->down, ns, TL_CAUSE_UNREACHABLE);
}

/* A SYN that nobody answered for long enough to be sent again: dropped without a word. */
static void connecting_ends(struct peer *p, int64_t ns)
{
	if (p->connecting.open_since && ns - p->connecting.open_since < SYN_AGAIN)
		p->connecting.open_since = 0;
	spans_close(&p->connecting, ns);
}

void broker_state(struct join *j, struct jtrail *t, const struct event *ev)
{
	static const char *const up[] = { "UP", "UPDATE", NULL };
	static const char *const connecting[] = { "CONNECT", NULL };
	static const char *const tls[] = { "SSL_HANDSHAKE", NULL };
	static const char *const auth[] = { "AUTH_HANDSHAKE", "AUTH_REQ", "AUTH_LEGACY", NULL };
	static const char *const shaking[] = { "APIVERSION_QUERY", "REAUTH", NULL };
	static const char *const down[] = { "DOWN", NULL };
	struct key3 key = { t->index, ev->broker_state.inst, (uint32_t)ev->broker_state.broker };
	struct inst *in = inst_find(j, t->index, ev->broker_state.inst);
	int64_t ns = event_axis(ev, ev->ns);
	struct peer *p;
	bool whole = !may_lack(t, AT_EV_BROKER_STATE) && !may_lack(t, AT_EV_INSTANCE_END);
	enum tl_cause why;
	int64_t from_ns;
	int from;

	if (!ev->tail_len)
		return;
	/* A connect that the library's own end cuts short was not refused. */
	if (in && in->ending_ns)
		return;
	if (ev->broker_state.broker < 0)
		key.corr = address_of(ev);
	p = peer_get(j, key);
	p->address = address_of(ev);
	if (!p->states) {
		p->states = true;
		if (!p->down.open_since && !p->down.nr && !(in && in->conf.flags & AT_INST_EARLIER))
			spans_open(&p->down, in ? in->begin_ns : ns, whole ? TL_CAUSE_COLD_START : TL_CAUSE_UNKNOWN);
	}
	from = p->state;
	from_ns = p->state_ns;
	if (in && !in->produced && p->state_ns && (from == PEER_CONNECT || from == PEER_TLS))
		cold_step(in, from == PEER_TLS ? "TLS" : "connect", p->state_ns, ns);
	p->state = PEER_OTHER;
	p->state_ns = ns;
	connecting_ends(p, ns);
	if (state_is(ev, up)) {
		p->state = PEER_UP;
		spans_close(&p->down, ns);
		spans_close(&p->shaking, ns);
		if (in) {
			in->ever_up = true;
			spans_close(&in->no_broker, ns);
		}
	} else if (state_is(ev, auth) || state_is(ev, tls) || state_is(ev, shaking)) {
		p->state = state_is(ev, tls) ? PEER_TLS : state_is(ev, auth) ? PEER_AUTH : PEER_OTHER;
		p->shook_ns = ns;
		spans_close(&p->down, ns);
		spans_open(&p->shaking, ns, TL_CAUSE_UNKNOWN);
	} else if (state_is(ev, connecting)) {
		p->state = PEER_CONNECT;
		peer_down(p, ns, PEER_OTHER, from_ns, whole);
		if (whole)
			spans_open(&p->connecting, ns, TL_CAUSE_UNREACHABLE);
	} else {
		peer_down(p, ns, state_is(ev, down) ? from : PEER_OTHER, from_ns, whole);
		why = state_is(ev, down) && whole ? cause_of_down(from, ns - from_ns) : TL_CAUSE_UNKNOWN;
		if (why == TL_CAUSE_UNREACHABLE)
			address_refused(j, p, ns);
		if (in && !in->ever_up && why != TL_CAUSE_UNKNOWN) {
			spans_open(&in->no_broker, in->begin_ns, why);
			spans_because(&in->no_broker, ns, why);
		}
	}
}

/* ---- a cold start ------------------------------------------------------------ */

/* A step of the start; of those that run side by side each moment counts once a kind. */
void cold_step(struct inst *in, const char *name, int64_t begin, int64_t end)
{
	struct cold *c = NULL;

	if (begin < in->begin_ns)
		begin = in->begin_ns;
	for (uint32_t i = 0; i < in->nr_cold; i++)
		if (!strcmp(in->cold[i].name, name))
			c = &in->cold[i];
	if (!c && in->nr_cold < JOIN_COLD) {
		c = &in->cold[in->nr_cold++];
		c->name = name;
	}
	if (!c)
		return;
	if (begin < c->end)
		begin = c->end;
	if (end > begin) {
		c->ns += end - begin;
		c->end = end;
	}
}

const char *cold_text(struct join *j, const struct inst *in)
{
	bool told[JOIN_COLD] = { false };
	char text[512], t[24];	/* a step's name is below 100 */
	size_t n = 0;

	for (int k = 0; in && k < 4; k++) {
		int best = -1;

		for (uint32_t i = 0; i < in->nr_cold; i++)
			if (!told[i] && (best < 0 || in->cold[i].ns > in->cold[best].ns))
				best = (int)i;
		if (best < 0 || (k && in->cold[best].ns < JOIN_MS))
			break;
		told[best] = true;
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %s", n ? ", " : "", in->cold[best].name,
				      span_text(t, sizeof(t), in->cold[best].ns));
	}
	return join_intern(j, text, n);
}
