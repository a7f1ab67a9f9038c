/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_lib.c - requests that the library alone told, because their bytes could not be
 * read (TLS hidden in a wheel, a plugin without a preload).  Its word has no CorrId for
 * an answer and no partition for a request: what follows from the order of events on a
 * broker's thread is inferred, and says so.
 *
 *	A broker answers a connection in order, so an answer is the oldest request's of
 *	its kind; requests that are given up end in the order in which they were sent.
 *	Acknowledgements follow their answer at once, on the same thread.
 *	Messages that went back to the queue and expired there were in the first request
 *	that was sent after they were made and got no answer, and so on from its end.
 */
#include <stdlib.h>
#include "join_int.h"

#define ERR_TIMED_OUT_QUEUE	-166	/* timed out before it was written */
#define ERR_DESTROY_BROKER	-137	/* given up with its broker, and "never sent" then */
#define HANDED_ON		(20 * JOIN_MS)	/* from an answer to its first acknowledgement, on a busy machine */
#define NR_ENDED		4096u
#define NO_CONN			0x80000000u	/* a plugin's: one connection a thread at a time */

struct lib_req {
	uint32_t conn, corr;
	int32_t	 broker, err;
	int64_t	 sent_ns, end_ns;
	int16_t	 api;
	bool	 answered;
	struct req *req;		/* while it flies */
	struct lib_req *prev, *next;
};

/* A broker's thread: its requests in the order of sending. */
struct lib_thread {
	struct key2 key;		/* trail, tid */
	struct lib_req *open;
	struct lib_req last;		/* the Produce that ended last; its messages come now */
	bool	 handing;
	UT_hash_handle hh;
};

/* An instance's Produce requests that nobody answered well, in the order of their end. */
struct lib_inst {
	struct key2 key;		/* trail, inst */
	struct lib_req *ring;		/* NR_ENDED */
	uint32_t nr;
	UT_hash_handle hh;
};

struct lib {
	struct lib_thread *threads;
	struct lib_inst *insts;
	int64_t	 claims_ns;		/* an append may be that of messages that expire so much later */
};

static struct lib *lib_of(struct join *j)
{
	if (!j->lib)
		j->lib = join_alloc(sizeof(*j->lib));
	return j->lib;
}

static struct lib_thread *thread_get(struct join *j, const struct jtrail *t, uint32_t tid)
{
	struct key2 key = { t->index, tid };
	struct lib *lib = lib_of(j);
	struct lib_thread *th;

	HASH_FIND(hh, lib->threads, &key, sizeof(key), th);
	if (th)
		return th;
	th = join_alloc(sizeof(*th));
	th->key = key;
	HASH_ADD(hh, lib->threads, key, sizeof(th->key), th);
	return th;
}

static struct lib_inst *inst_get(struct join *j, const struct jtrail *t, uint32_t inst)
{
	struct key2 key = { t->index, inst };
	struct lib *lib = lib_of(j);
	struct lib_inst *li;

	HASH_FIND(hh, lib->insts, &key, sizeof(key), li);
	if (li)
		return li;
	li = join_alloc(sizeof(*li));
	li->key = key;
	li->ring = join_alloc(NR_ENDED * sizeof(*li->ring));
	HASH_ADD(hh, lib->insts, key, sizeof(li->key), li);
	return li;
}

void lib_free(struct join *j)
{
	struct lib_thread *th, *tht;
	struct lib_inst *li, *lit;
	struct lib_req *r, *rt;

	if (!j->lib)
		return;
	HASH_ITER(hh, j->lib->threads, th, tht) {
		DL_FOREACH_SAFE(th->open, r, rt)
			free(r);
		HASH_DEL(j->lib->threads, th);
		free(th);
	}
	HASH_ITER(hh, j->lib->insts, li, lit) {
		HASH_DEL(j->lib->insts, li);
		free(li->ring);
		free(li);
	}
	free(j->lib);
}

/* ---- requests ----------------------------------------------------------------- */

void lib_request(struct join *j, struct jtrail *t, const struct event *ev)
{
	const struct ev_lib_request *e = &ev->lib_request;
	struct lib_thread *th = thread_get(j, t, ev->tid);
	struct lib_req *r = join_alloc(sizeof(*r));
	int64_t ns = event_axis(ev, ev->ns);
	struct conn *c;
	struct inst *in;

	in = inst_find(j, t->index, e->inst);
	if (in && (int64_t)(in->conf.message_timeout_ms + 5000) * JOIN_MS > j->lib->claims_ns)
		j->lib->claims_ns = (int64_t)(in->conf.message_timeout_ms + 5000) * JOIN_MS;
	r->conn = e->conn ? e->conn : NO_CONN | ev->tid;
	r->corr = e->corr;
	r->broker = e->broker;
	r->api = (int16_t)e->api;
	r->sent_ns = ns;
	c = conn_get(j, t, r->conn);
	conn_bind(j, c, e->inst, e->broker);
	conn_thread(c, ev->tid);
	r->req = req_sent(j, t, r->conn, e->corr, &(struct req){ .begin_ns = ns, .end_ns = ns, .size = (uint32_t)e->size,
		.api = (int16_t)e->api, .version = (int16_t)e->version, .acks = -1 });
	if (r->req)
		r->req->lib = r;
	th->handing = false;
	DL_APPEND(th->open, r);
}

bool lib_may_claim(const struct join *j, const struct jbatch *jb)
{
	return j->lib && !jb->b.client && jb->b.nr_attempts && jb->b.attempts[0].append_begin_ns &&
	       j->now - jb->b.attempts[0].append_begin_ns < j->lib->claims_ns;
}

/* Its connection ended first: the library says so later. */
void lib_landed(struct lib_req *r)
{
	r->req = NULL;
}

void lib_response(struct join *j, struct jtrail *t, const struct event *ev)
{
	const struct ev_lib_response *e = &ev->lib_response;
	struct lib_thread *th = thread_get(j, t, ev->tid);
	int64_t ns = event_axis(ev, ev->ns);
	struct lib_req *r;
	struct lib_inst *li;

	th->handing = false;
	if (e->err == ERR_TIMED_OUT_QUEUE)
		return;
	DL_FOREACH(th->open, r)
		if (r->api == e->api)
			break;
	if (!r)
		return;			/* never written, or read on the wire */
	DL_DELETE(th->open, r);
	r->end_ns = ns;
	r->err = e->err;
	r->answered = !e->err && e->size;
	if (r->req) {
		struct req *q = r->req;

		q->lib = NULL;
		if (r->answered) {
			req_answered(j, q, ns, 0);
		} else {
			peer_land(j, q, ns);
			req_over(j, q);
		}
	}
	if (r->api == 0) {
		th->handing = true;
		th->last = *r;
		if (e->err) {
			li = inst_get(j, t, e->inst);
			li->ring[li->nr++ % NR_ENDED] = *r;
		}
	}
	free(r);
}

/* ---- from acknowledgements to attempts ------------------------------------------ */

static struct tl_attempt *attempt_add(struct join *j, struct jbatch *jb, const struct lib_req *r)
{
	uint32_t n = jbatch_attempt(jb);
	struct tl_attempt *a = &jb->b.attempts[n];
	struct conn *c = conn_find(j, jb->trail->index, r->conn);

	a->on_wire = a->inferred = true;
	a->broker = r->broker;
	a->conn = r->conn;
	a->corr_id = r->corr;
	a->write_begin_ns = a->write_end_ns = r->sent_ns;
	if (r->answered)
		a->response_read_ns = r->end_ns;
	else
		a->ended_ns = r->end_ns;
	jb->state[n].conn = c;
	if (c)
		jb->peer = jb->part->peer = c->peer;
	return a;
}

/* Those that nobody answered, from when the first message was made until `until`. */
static void attempts_before(struct join *j, struct jbatch *jb, int32_t broker, int64_t made, int64_t until)
{
	const struct lib_inst *li = inst_get(j, jb->trail, jb->inst_id);
	uint32_t n = li->nr < NR_ENDED ? li->nr : NR_ENDED;
	int64_t at = made;

	for (;;) {
		const struct lib_req *first = NULL;

		for (uint32_t i = 0; i < n; i++) {
			const struct lib_req *r = &li->ring[i];

			if (r->sent_ns >= at && r->sent_ns < until && (broker < 0 || r->broker == broker) &&
			    (!first || r->sent_ns < first->sent_ns))
				first = r;
		}
		if (!first)
			return;
		attempt_add(j, jb, first);
		at = first->end_ns > first->sent_ns ? first->end_ns : first->sent_ns + 1;
	}
}

/* Was a Produce given up with its broker that may have carried what was made by then? */
static bool given_up(struct join *j, const struct jbatch *jb, int64_t made)
{
	const struct lib_inst *li = inst_get(j, jb->trail, jb->inst_id);
	uint32_t n = li->nr < NR_ENDED ? li->nr : NR_ENDED;

	for (uint32_t i = 0; i < n; i++)
		if (li->ring[i].err == ERR_DESTROY_BROKER && li->ring[i].sent_ns >= made)
			return true;
	return false;
}

/*
 * A row that no batch on the wire carried: what the library's own words say of how it
 * was sent.
 */
void lib_attempts(struct join *j, struct jbatch *jb, const struct event *ev, int64_t made, int64_t ns,
		  int64_t offset)
{
	const struct ev_acks *e = &ev->acks;
	struct tl_attempt *a;
	struct lib_thread *th;
	bool at_once;

	if (!j->lib)
		return;
	if (e->err && !e->persisted && e->err < 0) {
		jb->b.sent |= given_up(j, jb, made);
		return;
	}
	th = thread_get(j, jb->trail, ev->tid);
	/* Messages that time out do so in a scan of the queue, which has nothing to do with an answer. */
	at_once = th->handing && !(e->flags & AT_ACKS_IMPLICIT) && ns - th->last.end_ns < HANDED_ON &&
		  e->err >= 0 && !th->last.err && th->last.sent_ns >= made;
	attempts_before(j, jb, e->broker, made, at_once ? th->last.sent_ns : ns);
	if (!at_once)
		return;
	a = attempt_add(j, jb, &th->last);
	th->handing = false;
	jb->b.counted = jb->b.nr_attempts - 1;
	if (!th->last.answered)
		return;
	a->answered = true;
	a->error_code = e->err > 0 ? (int16_t)e->err : 0;
	a->base_offset = e->err ? -1 : offset;
	idemp_inferred(jb, a->write_begin_ns, a->response_read_ns);
	fate_replied(j, jb, jb->b.counted);
}
