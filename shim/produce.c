// SPDX-License-Identifier: BSD-2-Clause
/*
 * produce.c - produce calls that had to wait (RD_KAFKA_MSG_F_BLOCK) or were refused
 * (QUEUE_FULL …): interceptors see neither.
 */
#include <alloca.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "shim.h"

/*
 * A few ns, and steps of one timer tick: enough to see that a call waited, since
 * librdkafka waits for at least as long.
 */
static uint64_t coarse_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

rd_kafka_resp_err_t produce_on_send(rd_kafka_t *rk, rd_kafka_message_t *m, void *arg)
{
	struct instance *in = arg;
	struct thread *t = thread_enter();

	(void)rk;
	if (!t)
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	if (in->life == t->life) {
		session_sent(t, in, m);
		t->sent_rkt = m->rkt;
		t->sent_inst = in;
	}
	thread_leave(t);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* ---- what a call leaves behind ------------------------------------------- */

static void write_produce(struct thread *t, const struct instance *in, const struct topic *topic,
			  int32_t partition, int32_t err, uint32_t messages, uint64_t begin,
			  uint64_t now)
{
	struct ev_produce *ev = t->refused.ev;
	uint32_t inst = in ? in->id : 0, topic_id = topic ? topic->id : 0;

	if (err && fold_open(t, &t->refused) && ev->err == err && ev->inst == inst &&
	    ev->topic == topic_id && ev->partition == partition) {
		__atomic_store_n(&ev->count, ev->count + messages, __ATOMIC_RELEASE);
		return;
	}
	ev = emit(t, AT_LAST, AT_EV_PRODUCE, now, sizeof(*ev), topic, NULL, 0);
	if (!ev)
		return;
	ev->begin_ns = begin;
	ev->inst = inst;
	ev->topic = topic_id;
	ev->partition = partition;
	ev->err = err;
	ev->count = messages;
	emit_done(t, AT_LAST);
	if (err)
		t->refused = (struct fold){ ev, t->pen.seq[AT_LAST], AT_LAST };
}

/* What is known before the call. */
struct call {
	uint64_t begin;			/* 0: not a waiting call */
	uint32_t acked;			/* on_acknowledgement calls of this thread so far */
};

static struct call call_begin(int flags, bool batch)
{
	struct call c = { 0, thread_acked() };
	struct thread *t;

	if (likely(!batch && !(flags & RD_KAFKA_MSG_F_BLOCK)))
		return c;
	t = thread_enter();
	if (!t)
		return c;
	if (flags & RD_KAFKA_MSG_F_BLOCK)
		c.begin = coarse_now();
	c.acked = t->acked;
	t->in_produce_batch = batch;
	thread_leave(t);
	return c;
}

/*
 * rk or rkt tells the instance.  A partitioner's failure was acknowledged inside the
 * call and is accounted for there.
 */
static void call_end(const struct call *c, const struct lib *lib, const rd_kafka_t *rk,
		     rd_kafka_topic_t *rkt, const char *name, int32_t partition, int32_t err,
		     uint32_t refused)
{
	int saved = errno;
	bool waited = c->begin && coarse_now() != c->begin;
	struct thread *t = waited || err || refused ? thread_enter() : NULL;
	struct instance *in;

	if (!t)
		return;
	/* A thread that was refused before it ever sent: clear where there is but one. */
	in = rk ? instance_of(rk) : t->sent_rkt == rkt ? t->sent_inst : calls_owner(rkt);
	if (!in && !rk)
		in = instance_only();
	if (in && in->life != t->life)
		in = NULL;
	if (err && t->acked != c->acked) {
		err = 0;
		refused = 0;
	}
	if (!name && rkt)
		name = lib->rd_kafka_topic_name(rkt);
	if (waited || err) {
		uint64_t now = at_now();

		write_produce(t, in, name ? topic_by_name(name, strlen(name)) : NULL, partition,
			      err, err ? refused : 1, c->begin ? c->begin : now, now);
	}
	if (!err)
		t->refused.ev = NULL;
	if (in && refused)
		instance_count(in, t, AT_REFUSED, refused);
	t->in_produce_batch = false;
	thread_leave(t);
	errno = saved;
}

/* ---- the calls ----------------------------------------------------------- */

int produce_produce(const void *caller, rd_kafka_topic_t *rkt, int32_t partition, int flags,
		    void *payload, size_t len, const void *key, size_t keylen, void *opaque)
{
	struct lib *lib = lib_of(caller);
	struct call c;
	int r;

	if (unlikely(!lib)) {
		errno = ENOSYS;
		return -1;
	}
	c = call_begin(flags, false);
	r = lib->rd_kafka_produce(rkt, partition, flags, payload, len, key, keylen, opaque);
	if (unlikely(r == -1))
		call_end(&c, lib, NULL, rkt, NULL, partition, lib->rd_kafka_last_error(), 1);
	else if (unlikely(c.begin))
		call_end(&c, lib, NULL, rkt, NULL, partition, 0, 0);
	return r;
}

int produce_batch(const void *caller, rd_kafka_topic_t *rkt, int32_t partition, int flags,
		  rd_kafka_message_t *messages, int nr)
{
	struct lib *lib = lib_of(caller);
	uint32_t refused = 0, acked;
	int32_t err = 0;
	struct thread *t;
	struct call c;
	int r;

	if (unlikely(!lib)) {
		errno = ENOSYS;
		return 0;
	}
	c = call_begin(flags, true);
	r = lib->rd_kafka_produce_batch(rkt, partition, flags, messages, nr);
	t = thread_enter();
	if (t) {
		acked = t->acked - c.acked;
		t->in_produce_batch = false;
		c.acked = t->acked;
		thread_leave(t);
		for (int i = 0; r < nr && i < nr; i++) {
			if (messages[i].err && acked) {
				acked--;	/* failed partitioner: accounted for */
			} else if (messages[i].err) {
				refused++;
				err = messages[i].err;
			}
		}
		call_end(&c, lib, NULL, rkt, NULL, partition, err, refused);
	}
	return r;
}

rd_kafka_error_t *produce_va(const void *caller, rd_kafka_t *rk, const rd_kafka_vu_t *vus,
			     size_t nr)
{
	struct lib *lib = lib_of(caller);
	const char *name = NULL;
	rd_kafka_topic_t *rkt = NULL;
	int32_t partition = RD_KAFKA_PARTITION_UA;
	int flags = 0;
	rd_kafka_error_t *r;
	struct call c;

	if (unlikely(!lib || !lib->rd_kafka_produceva))
		return NULL;	/* cannot be: the caller got this symbol from somewhere */
	for (size_t i = 0; i < nr; i++) {
		switch (vus[i].vtype) {
		case RD_KAFKA_VTYPE_TOPIC: name = vus[i].u.cstr; break;
		case RD_KAFKA_VTYPE_RKT: rkt = vus[i].u.rkt; break;
		case RD_KAFKA_VTYPE_PARTITION: partition = vus[i].u.i32; break;
		case RD_KAFKA_VTYPE_MSGFLAGS: flags = vus[i].u.i; break;
		default: break;
		}
	}
	c = call_begin(flags, false);
	r = lib->rd_kafka_produceva(rk, vus, nr);
	if (unlikely(r && lib->rd_kafka_error_code))
		call_end(&c, lib, rk, rkt, name, partition, lib->rd_kafka_error_code(r), 1);
	else if (unlikely(c.begin))
		call_end(&c, lib, rk, rkt, name, partition, 0, 0);
	return r;
}

/*
 * rd_kafka_producev(rk, …) has no va_list twin.  It is rebuilt for produceva, which
 * is the same code behind another door (rdkafka_msg.c); the stub in symbols.c comes
 * here only when the copy of librdkafka has produceva and no newer argument types
 * than the ones below.
 */
#define LAST_KNOWN_VERSION 0x02ffffff	/* argument types are unchanged up to 2.x */
#define FEW_ARGS 32		/* then room for twice as many is taken from the stack */

static rd_kafka_resp_err_t rebuilt_producev(rd_kafka_t *rk, ...)
{
	struct instance *in = instance_of(rk);
	rd_kafka_vu_t few[FEW_ARGS], *vus = few;
	rd_kafka_error_t *error;
	rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR_NO_ERROR;
	rd_kafka_vtype_t type;
	const char *name = NULL;
	rd_kafka_topic_t *rkt = NULL;
	int32_t partition = RD_KAFKA_PARTITION_UA;
	int flags = 0;
	size_t nr = 0, room = FEW_ARGS;
	struct call c;
	va_list ap;

	va_start(ap, rk);
	while ((type = va_arg(ap, rd_kafka_vtype_t)) != RD_KAFKA_VTYPE_END) {
		rd_kafka_vu_t *vu;

		if (nr == room) {
			vu = alloca(2 * room * sizeof(*vu));
			vus = memcpy(vu, vus, room * sizeof(*vu));
			room *= 2;
		}
		vu = &vus[nr++];
		vu->vtype = type;
		switch (type) {
		case RD_KAFKA_VTYPE_TOPIC: name = vu->u.cstr = va_arg(ap, const char *); break;
		case RD_KAFKA_VTYPE_RKT: rkt = vu->u.rkt = va_arg(ap, rd_kafka_topic_t *); break;
		case RD_KAFKA_VTYPE_PARTITION: partition = vu->u.i32 = va_arg(ap, int32_t); break;
		case RD_KAFKA_VTYPE_VALUE:
		case RD_KAFKA_VTYPE_KEY:
			vu->u.mem.ptr = va_arg(ap, void *);
			vu->u.mem.size = va_arg(ap, size_t);
			break;
		case RD_KAFKA_VTYPE_OPAQUE: vu->u.ptr = va_arg(ap, void *); break;
		case RD_KAFKA_VTYPE_MSGFLAGS: flags = vu->u.i = va_arg(ap, int); break;
		case RD_KAFKA_VTYPE_TIMESTAMP: vu->u.i64 = va_arg(ap, int64_t); break;
		case RD_KAFKA_VTYPE_HEADER:
			vu->u.header.name = va_arg(ap, const char *);
			vu->u.header.val = va_arg(ap, const void *);
			vu->u.header.size = va_arg(ap, ssize_t);
			break;
		case RD_KAFKA_VTYPE_HEADERS: vu->u.headers = va_arg(ap, rd_kafka_headers_t *); break;
		default: err = RD_KAFKA_RESP_ERR__INVALID_ARG; break;
		}
		if (err)
			break;
	}
	va_end(ap);
	if (!in)
		return RD_KAFKA_RESP_ERR__INVALID_ARG;
	c = call_begin(flags, false);
	if (unlikely(err)) {		/* as the real one says it */
		call_end(&c, in->lib, rk, rkt, name, partition, err, 1);
		return err;
	}
	error = in->lib->rd_kafka_produceva(rk, vus, nr);
	if (unlikely(error)) {
		err = in->lib->rd_kafka_error_code(error);
		in->lib->rd_kafka_error_destroy(error);
		call_end(&c, in->lib, rk, rkt, name, partition, err, 1);
	} else if (unlikely(c.begin)) {
		call_end(&c, in->lib, rk, rkt, name, partition, 0, 0);
	}
	return err;
}

static rd_kafka_resp_err_t nowhere(rd_kafka_t *rk, ...)
{
	(void)rk;
	return RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED;
}

void *produce_v_target(rd_kafka_t *rk, const void *caller)
{
	struct instance *in = instance_of(rk);
	struct lib *lib = in ? in->lib : lib_of(caller);

	if (!lib || !lib->rd_kafka_producev)
		return (void *)nowhere;
	if (in && lib->rd_kafka_produceva && lib->rd_kafka_error_code &&
	    lib->rd_kafka_error_destroy && lib->version <= LAST_KNOWN_VERSION)
		return (void *)rebuilt_producev;
	return (void *)lib->rd_kafka_producev;
}
