/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_callback.c - when the app was told: its delivery callbacks, resolved to batches
 * whose result is known.
 */
#include <stdlib.h>
#include "join_int.h"

#define DEBT_AGE		(60000 * JOIN_MS)	/* callbacks of rows that were never told */

static bool owed(const struct debt *d, const struct jbatch *jb)
{
	return jb->b.err == d->err && (!d->inst || !jb->inst_id || jb->inst_id == d->inst) &&
	       jb->b.resolved_ns <= d->end;
}

/* Messages whose result is known and whose callback is not. */
static uint32_t waiting(const struct jbatch *jb)
{
	uint32_t known = jb->resolved ? jb->b.messages : jb->taken;

	return known > jb->called ? known - jb->called : 0;
}

static void called(struct part *p, struct debt *d, struct jbatch *jb)
{
	int64_t ns = d->end;

	/* Within a fold: its share of the time, or no sooner than its own ack. */
	if (d->left && d->all_there)
		ns = d->begin + (int64_t)((double)(d->end - d->begin) * d->done / d->count);
	else if (d->left)
		ns = d->begin > jb->b.ended_ns ? d->begin : jb->b.ended_ns;
	jb->b.callback_ns = ns;
	jb->called_tid = d->tid;
	if (ns > jb->b.end_ns)
		jb->b.end_ns = ns;
	DL_DELETE2(p->uncalled, jb, call_prev, call_next);
	jb->in_uncalled = false;
}

/* Callbacks come in the order of acks, for each kind of result. */
void callbacks_settle(struct part *p, int64_t now)
{
	struct jbatch *jb, *tmp;
	struct debt *d, *dtmp;

	DL_FOREACH_SAFE(p->debts, d, dtmp) {
		DL_FOREACH_SAFE2(p->uncalled, jb, tmp, call_next) {
			uint32_t n = waiting(jb);

			if (!d->left)
				break;
			if (!n || !owed(d, jb))
				continue;
			if (n > d->left)
				n = d->left;
			jb->called += n;
			d->left -= n;
			d->done += n;
			if (jb->resolved && jb->called >= jb->b.messages)
				called(p, d, jb);
		}
		if (!d->left || d->end + DEBT_AGE < now) {
			DL_DELETE(p->debts, d);
			free(d);
		}
	}
}

void callback_event(struct join *j, struct jtrail *t, const struct event *ev)
{
	const struct ev_callback *e = &ev->callback;
	struct part *p = part_get(j, t, e->topic, e->partition);
	struct debt *d = join_alloc(sizeof(*d));
	struct jbatch *jb;
	uint32_t there = 0;

	/* Told apart by their order alone: with some lost they would be others'. */
	if (may_lack(t, AT_EV_CALLBACK) || may_lack(t, AT_EV_ACKS)) {
		free(d);
		return;
	}
	d->begin = event_axis(ev, ev->ns);
	d->end = event_axis(ev, e->last_ns ? e->last_ns : ev->ns);
	d->inst = e->inst;
	d->tid = ev->tid;
	d->err = e->err;
	d->left = d->count = e->count;
	DL_FOREACH2(p->uncalled, jb, call_next)
		if (owed(d, jb))
			there += waiting(jb);
	d->all_there = there >= d->count;
	DL_APPEND(p->debts, d);
	callbacks_settle(p, j->now);
}
