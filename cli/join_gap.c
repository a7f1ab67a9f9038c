/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_gap.c - times in which a client recorded nothing (acktrail ctl): what was under way
 * when it was turned off, or before it was turned on, is known in part, and no more is said.
 */
#include "join_int.h"

static void land_all(struct join *j, struct conn *c, int64_t ns)
{
	struct req *r, *tmp;

	DL_FOREACH_SAFE(c->reqs, r, tmp) {
		if (r->over)
			continue;
		peer_land(j, r, ns);
		req_over(j, r);		/* answered or not, nobody saw it */
	}
	spans_close(&c->throttled, ns);
}

static void turned_off(struct join *j, struct jtrail *t, int64_t ns)
{
	struct inst *in, *in_tmp;
	struct conn *c, *c_tmp;
	struct peer *p, *p_tmp;

	HASH_ITER(hh, j->conns, c, c_tmp)
		if (c->key.trail == t->index)
			land_all(j, c, ns);
	HASH_ITER(hh, j->peers, p, p_tmp) {
		if (p->key.trail != t->index)
			continue;
		spans_close(&p->down, ns);
		spans_close(&p->shaking, ns);
		spans_close(&p->full, ns);
		spans_close(&p->busy, ns);
		spans_close(&p->connecting, ns);
		p->state = PEER_OTHER;
		p->state_ns = 0;
	}
	HASH_ITER(hh, j->insts, in, in_tmp) {
		if (in->key.trail != t->index)
			continue;
		spans_close(&in->no_id, ns);
		spans_close(&in->no_broker, ns);
		spans_close(&in->prelude, ns);
		in->produced = true;
	}
}

void gap_note(struct join *j, struct jtrail *t, const struct event *ev)
{
	int64_t ns = event_axis(ev, ev->ns);

	if (ev->note.what != AT_NOTE_STANDBY)
		return;
	if (ev->note.count) {
		t->seen_from = ns;
	} else {
		t->seen_until = ns;
		turned_off(j, t, ns);
	}
}

bool gap_hides_end(const struct jbatch *jb)
{
	return jb->trail->seen_until && jb->b.nr_attempts &&
	       jb->b.attempts[0].write_begin_ns < jb->trail->seen_until;
}

bool gap_hides_beginning(const struct jbatch *jb)
{
	return jb->seen_from && jb->b.created_first_ns < jb->seen_from;
}
