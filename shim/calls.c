// SPDX-License-Identifier: BSD-2-Clause
/*
 * calls.c - when the app is told of its messages: delivery callbacks, and delivery
 * reports that it reads as events.
 *
 * A batch is one event that grows in place, as in acks.c.
 */
#include <errno.h>
#include <string.h>

#include "shim.h"

#define PAUSE_NS 5000000u	/* between callbacks of one batch there is no such pause */

enum how { MSG_CB, CB, EVENT };	/* of ev_callback.how */

static void end_calls(struct thread *t, uint64_t now)
{
	struct ev_callback *ev = t->calls.ev;

	if (fold_open(t, &t->calls))
		ev->last_ns = now;
	t->calls.ev = NULL;
}

/* in is NULL when it is not known whose message that is. */
static void begin_calls(struct thread *t, const struct lib *lib, const struct instance *in,
			const rd_kafka_message_t *m, const void *event, enum how how, uint64_t now)
{
	const struct topic *topic = acks_topic(lib, m);
	enum at_ring ring = m->err ? AT_LAST : AT_BULK;
	struct ev_callback *ev;

	t->calls.ev = NULL;
	ev = emit(t, ring, AT_EV_CALLBACK, now, sizeof(*ev), topic, NULL, 0);
	if (!ev)
		return;
	ev->last_ns = now;
	ev->first_offset = ev->last_offset = m->offset;
	ev->inst = in ? in->id : 0;
	ev->topic = topic ? topic->id : 0;
	ev->partition = m->partition;
	ev->err = m->err;
	ev->count = 1;
	ev->how = how;
	emit_done(t, ring);
	t->calls = (struct fold){ ev, t->pen.seq[ring], ring };
	t->calls_rkt = m->rkt;
	t->calls_event = event;
}

static bool continues(const struct thread *t, const rd_kafka_message_t *m, uint32_t inst,
		      const void *event)
{
	const struct ev_callback *ev = t->calls.ev;

	return fold_open(t, &t->calls) && t->calls_rkt == m->rkt && t->calls_event == event &&
	       ev->inst == inst && ev->partition == m->partition && ev->err == (int32_t)m->err &&
	       (m->err || m->offset == ev->last_offset + 1 || m->offset < 0);
}

static void add_call(struct ev_callback *ev, const rd_kafka_message_t *m)
{
	if (!m->err)
		ev->last_offset = m->offset;
	__atomic_store_n(&ev->count, ev->count + 1, __ATOMIC_RELEASE);
}

/* ---- callbacks ----------------------------------------------------------- */

/*
 * Inside a wrapped call its end is the last callback's.  Elsewhere (the background
 * thread, rd_kafka_queue_poll, a transaction's end) each callback takes the time.
 */
static void callback(struct thread *t, const struct instance *in, const rd_kafka_message_t *m)
{
	bool more = continues(t, m, in->id, NULL);
	uint64_t now = more && t->serving ? 0 : at_now();
	struct ev_callback *ev = t->calls.ev;

	if (more && !t->serving && now - ev->last_ns > PAUSE_NS)
		more = false;
	if (!more) {
		if (t->serving)
			end_calls(t, now);
		begin_calls(t, in->lib, in, m, NULL, in->dr_msg_cb ? MSG_CB : CB, now);
		return;
	}
	add_call(ev, m);
	if (now)
		ev->last_ns = now;
}

void calls_dr_msg_cb(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	struct instance *in = instance_of(rk);
	struct thread *t;

	if (!in)	/* between on_new and the end of destroy there always is one */
		return;
	t = thread_enter();
	if (t && in->life == t->life) {
		callback(t, in, m);
		instance_count(in, t, AT_CALLED, 1);
	}
	if (t)
		thread_leave(t);
	if (in->dr_msg_cb)
		in->dr_msg_cb(rk, m, opaque);
	else	/* as rd_kafka_poll_cb calls it */
		in->dr_cb(rk, m->payload, m->len, m->err, opaque, m->_private);
}

/* True: an outer call of this thread serves already (poll() inside a callback). */
static bool serve_begin(void)
{
	struct thread *t = thread_enter();
	bool outer = true;

	if (t) {
		outer = t->serving;
		if (!outer)
			t->calls.ev = NULL;
		t->serving = true;
		thread_leave(t);
	}
	return outer;
}

static void serve_end(bool outer)
{
	struct thread *t = thread_enter();

	if (!t)
		return;
	if (t->calls.ev)
		end_calls(t, at_now());
	if (!outer)
		t->serving = false;
	thread_leave(t);
}

int calls_poll(const void *caller, rd_kafka_t *rk, int timeout_ms)
{
	struct lib *lib = lib_of(caller);
	bool outer;
	int r;

	if (!lib)
		return 0;
	outer = serve_begin();
	r = lib->rd_kafka_poll(rk, timeout_ms);
	serve_end(outer);
	return r;
}

int calls_queue_poll(const void *caller, rd_kafka_queue_t *queue, int timeout_ms)
{
	struct lib *lib = lib_of(caller);
	bool outer;
	int r;

	if (!lib || !lib->rd_kafka_queue_poll_callback)
		return 0;
	outer = serve_begin();
	r = lib->rd_kafka_queue_poll_callback(queue, timeout_ms);
	serve_end(outer);
	return r;
}

rd_kafka_resp_err_t calls_flush(const void *caller, rd_kafka_t *rk, int timeout_ms)
{
	struct lib *lib = lib_of(caller);
	rd_kafka_resp_err_t r;
	bool outer;

	if (!lib)
		return RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED;
	outer = serve_begin();
	r = lib->rd_kafka_flush(rk, timeout_ms);
	serve_end(outer);
	return r;
}

/* ---- events -------------------------------------------------------------- */

/*
 * A message in an event names its topic object alone.  It was acknowledged before, and
 * there the instance is known.  The topic object lives until the event is destroyed, so
 * its address cannot mean another one.
 */
#define NR_OWNERS 1024u
#define NR_PROBES 4u

static struct owner { const rd_kafka_topic_t *rkt; struct instance *in; uint8_t busy; } owners[NR_OWNERS];

static struct owner *owner_slot(const rd_kafka_topic_t *rkt, unsigned probe)
{
	uintptr_t h = (uintptr_t)rkt >> 4;

	return &owners[((h ^ h >> 10) + probe) % NR_OWNERS];
}

void calls_learn(const rd_kafka_topic_t *rkt, struct instance *in)
{
	struct owner *free_one = NULL, *o;

	for (unsigned i = 0; rkt && i < NR_PROBES; i++) {
		const rd_kafka_topic_t *there;

		o = owner_slot(rkt, i);
		there = __atomic_load_n(&o->rkt, __ATOMIC_ACQUIRE);
		if (there == rkt && __atomic_load_n(&o->in, __ATOMIC_RELAXED) == in)
			return;
		if (there == rkt || (!there && !free_one))
			free_one = o;
		if (there == rkt)
			break;
	}
	o = free_one ? free_one : owner_slot(rkt, 0);
	if (!rkt || __atomic_exchange_n(&o->busy, 1, __ATOMIC_ACQUIRE))
		return;
	__atomic_store_n(&o->rkt, NULL, __ATOMIC_RELEASE);
	__atomic_store_n(&o->in, in, __ATOMIC_RELEASE);
	__atomic_store_n(&o->rkt, rkt, __ATOMIC_RELEASE);
	__atomic_store_n(&o->busy, 0, __ATOMIC_RELEASE);
}

struct instance *calls_owner(const rd_kafka_topic_t *rkt)
{
	for (unsigned i = 0; rkt && i < NR_PROBES; i++) {
		struct owner *o = owner_slot(rkt, i);
		struct instance *in;

		if (__atomic_load_n(&o->rkt, __ATOMIC_ACQUIRE) != rkt)
			continue;
		in = __atomic_load_n(&o->in, __ATOMIC_ACQUIRE);
		if (__atomic_load_n(&o->rkt, __ATOMIC_RELAXED) == rkt)
			return in;
	}
	return NULL;
}

/* So that it is known whose call is refused, before any of its messages was sent. */
rd_kafka_topic_t *calls_topic_new(const void *caller, rd_kafka_t *rk, const char *name,
				  rd_kafka_topic_conf_t *conf)
{
	struct lib *lib = lib_of(caller);
	rd_kafka_topic_t *rkt;
	int saved;

	if (!lib || !lib->rd_kafka_topic_new)
		return NULL;
	rkt = lib->rd_kafka_topic_new(rk, name, conf);
	saved = errno;
	if (rkt && live_trail())
		calls_learn(rkt, instance_of(rk));
	errno = saved;
	return rkt;
}

static void report(struct thread *t, const struct lib *lib, const rd_kafka_event_t *event,
		   const rd_kafka_message_t *m)
{
	struct instance *in = calls_owner(m->rkt);

	if (in && in->life != t->life)
		return;
	if (continues(t, m, in ? in->id : 0, event))
		add_call(t->calls.ev, m);
	else
		begin_calls(t, lib, in, m, event, EVENT, at_now());
	if (in)
		instance_count(in, t, AT_CALLED, 1);
}

/* The app has them all, as far as this thread was told. */
static void end_event(struct thread *t, const rd_kafka_event_t *event)
{
	if (t->calls.ev && t->calls_event == event)
		end_calls(t, at_now());
}

static bool is_report(const struct lib *lib, rd_kafka_event_t *event)
{
	return lib->rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR;	/* else what was fetched */
}

/* rd_kafka_event_message_array() may come here for each of its messages, through the PLT. */
const rd_kafka_message_t *calls_event_next(const void *caller, rd_kafka_event_t *event)
{
	struct lib *lib = lib_of(caller);
	const rd_kafka_message_t *m = NULL;
	struct thread *t;

	if (!lib || !lib->rd_kafka_event_message_next)
		return NULL;
	m = lib->rd_kafka_event_message_next(event);
	t = thread_enter();
	if (!t)
		return m;
	if (!t->in_event_array && lib->usable && is_report(lib, event)) {
		if (m)
			report(t, lib, event, m);
		else
			end_event(t, event);
	}
	thread_leave(t);
	return m;
}

size_t calls_event_array(const void *caller, rd_kafka_event_t *event,
			 const rd_kafka_message_t **messages, size_t nr)
{
	struct lib *lib = lib_of(caller);
	struct thread *t;

	if (!lib || !lib->rd_kafka_event_message_array)
		return 0;
	t = thread_enter();
	if (t) {
		t->in_event_array = true;
		thread_leave(t);
	}
	nr = lib->rd_kafka_event_message_array(event, messages, nr);
	t = thread_enter();
	if (!t)
		return nr;
	t->in_event_array = false;
	if (lib->usable && is_report(lib, event)) {
		for (size_t i = 0; i < nr; i++)
			report(t, lib, event, messages[i]);
		end_event(t, event);
	}
	thread_leave(t);
	return nr;
}

/*
 * What the app did not look at was handed to it all the same.  Taking the messages out
 * moves them from one queue of the event to its other, and both are freed with it
 * (rd_kafka_op_destroy).
 */
void calls_event_destroy(const void *caller, rd_kafka_event_t *event)
{
	struct lib *lib = lib_of(caller);
	const rd_kafka_message_t *m;
	struct thread *t;

	if (!lib || !lib->rd_kafka_event_destroy)
		return;
	t = event && lib->usable ? thread_enter() : NULL;
	if (t) {
		if (is_report(lib, event)) {
			while ((m = lib->rd_kafka_event_message_next(event)))
				report(t, lib, event, m);
			end_event(t, event);
		}
		thread_leave(t);
	}
	lib->rd_kafka_event_destroy(event);
}
