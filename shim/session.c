// SPDX-License-Identifier: BSD-2-Clause
/*
 * session.c - recording is turned on or off while the app runs (acktrail ctl writes one
 * word of the trail's header), and whose end counts in an account that began late.
 */
#include "shim.h"

#define SETTLE_US 5000u		/* by then every thread sees that recording is on */
#define TRIES 64		/* one does in nine of ten cases */

/* ---- on and off ------------------------------------------------------------ */

static void note(const char *text, uint32_t on)
{
	struct thread *t = thread_enter();

	if (!t)
		return;
	emit_note(t, AT_NOTE_STANDBY, on, text);
	thread_leave(t);
}

static void turn_on(struct live *l, struct at_writer *w)
{
	uint64_t now = at_now(), cut;

	w->dormant = false;
	w->header->flags |= AT_F_PARTIAL;
	w->header->on_ns = now;
	l->session++;
	/*
	 * The account begins a little later, with messages that only threads produce which
	 * know it: what is asked when a message is accepted and when it ends must have one
	 * answer.  Where we were held up ourselves it is too late, and a later time is taken.
	 */
	do {
		__atomic_store_n(&l->cut_us, UINT64_MAX / 2, __ATOMIC_SEQ_CST);
		l->turn = live_turn();
		__atomic_store_n(&l->writer, w, __ATOMIC_SEQ_CST);
		instance_leave_open();
		cut = at_now() / 1000 + SETTLE_US;
		__atomic_store_n(&l->cut_us, cut, __ATOMIC_SEQ_CST);
	} while (at_now() / 1000 >= cut);
	note("recording was turned on", 1);
	instance_restate(now);
}

static void turn_off(struct live *l, struct at_writer *w)
{
	note("recording was turned off", 0);
	w->header->off_ns = at_now();
	__atomic_store_n(&l->writer, NULL, __ATOMIC_RELEASE);
}

/* One thread does it; the others go on as before until it is done. */
void session_turn(void)
{
	struct live *l = live;
	struct at_writer *w = l->trail;
	const uint32_t *control;
	uint32_t want;

	if (thread_busy() || !w || __atomic_exchange_n(&l->turning, 1, __ATOMIC_ACQUIRE))
		return;
	control = __atomic_load_n(&l->control, __ATOMIC_ACQUIRE);
	if (!control) {			/* exit() came between (live.c) */
		__atomic_store_n(&l->turning, 0, __ATOMIC_RELEASE);
		return;
	}
	want = __atomic_load_n(control, __ATOMIC_ACQUIRE);
	l->obeyed = want;
	if (want == AT_CONTROL_ON && !l->writer)
		turn_on(l, w);
	else if (want == AT_CONTROL_OFF && l->writer)
		turn_off(l, w);
	if (want == AT_CONTROL_ON || want == AT_CONTROL_OFF)
		__atomic_store_n(&w->header->obeys, want, __ATOMIC_RELEASE);
	__atomic_store_n(&l->turning, 0, __ATOMIC_RELEASE);
}

/* ---- the account ------------------------------------------------------------ */

/*
 * Was that message produced before the account begins?  What is asked when it is sent is
 * asked again when it ends, so the answer must be the same both times: librdkafka keeps
 * when it was produced in us (rkm_ts_enq) and tells its age by the clock that we have,
 * so where the clock stays within one us around the question the difference is exact.
 */
static bool is_early(const struct lib *lib, const rd_kafka_message_t *m, uint64_t at_least_ns)
{
	uint64_t cut = live->cut_us, before, now = at_least_ns / 1000;
	int64_t age;

	/* Mostly the time of an earlier message will do, and one clock less is read. */
	for (int i = 0; i < TRIES; i++) {
		before = now;
		age = lib->rd_kafka_message_latency(m);
		if (before >= cut + (uint64_t)age)
			break;
		now = at_now() / 1000;
		/* The age is of a moment between the two. */
		if (before == now || now < cut + (uint64_t)age)
			break;
	}
	return age >= 0 && now < cut + (uint64_t)age;
}

/*
 * A thread's messages are produced one after the other, so behind its first late one
 * there is nothing to ask.
 */
void session_sent(struct thread *t, struct instance *in, const rd_kafka_message_t *m)
{
	if (unlikely(!t->past_cut)) {
		if (is_early(in->lib, m, at_now()))
			return;
		t->past_cut = true;
	}
	instance_count(in, t, AT_ACCEPTED, 1);
}

/* known: rd_kafka_message_* may be asked of m; else its produce call is still under way. */
void session_ended(struct thread *t, struct instance *in, const rd_kafka_message_t *m, bool known,
		   enum at_count how)
{
	const struct ev_acks *fold = fold_open(t, &t->acks) ? t->acks.ev : NULL;

	if (unlikely(live->cut_us) &&
	    (known ? is_early(in->lib, m, fold ? fold->last_ns : 0) : !t->past_cut))
		__atomic_fetch_add(&in->more->before.n[how], 1, __ATOMIC_RELAXED);
	else
		instance_count(in, t, how, 1);
}
