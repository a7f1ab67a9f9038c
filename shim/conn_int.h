/* SPDX-License-Identifier: BSD-2-Clause */
/* conn_int.h - what the files of a connection share. */
#ifndef ACKTRAIL_CONN_INT_H
#define ACKTRAIL_CONN_INT_H

#include "shim.h"
#include "wire.h"

#define NR_INFLIGHT 4096u		/* unanswered requests that are remembered */

struct inflight {
	uint64_t sent_ns;
	uint32_t corr;
	int16_t	 api, version;
	uint16_t batches;
	bool	 restated;		/* the batch stands in the ring that lasts */
	const struct topic *topic;	/* of the batch below */
	struct ev_batch batch;		/* the first; librdkafka sends one */
};

struct conn {
	uint32_t id;
	uint32_t life;
	int	 fd;
	bool	 tls, closed;
	bool	 peer_ended;		/* and with what error */
	int	 peer_err;
	bool	 plain;			/* TLS, and its clear text is seen (tls.c) */
	uint8_t	 sending, receiving;	/* guards: 1 while a thread is inside */
	uint32_t inst;
	int32_t	 broker;
	uint64_t connect_ns;
	uint64_t unparsed;		/* bytes that passed a parser which is off */
	uint64_t full_ns;		/* the socket has no room since then; 0: it has */
	uint64_t next_sample_ns, next_unread_ns;	/* of tcp.c */
	struct conn *spare;		/* closed, to use again: the next such one */

	/* conn_sync.c: the session that each direction's parser belongs to, and whether it knows its place */
	uint32_t out_session, in_session;
	bool	 out_synced, in_synced;
	bool	 out_proven;		/* a whole request since then */
	bool	 midstream;		/* was not seen from its beginning on */
	uint16_t strange;		/* calls that began with no request */
	uint32_t floor;			/* of the queue: what stands before was sent unseen */

	struct wire_requests out;
	struct wire_responses in;
	const struct topic *last_topic;	/* most requests name the same one again */
	struct ev_batch first;		/* of the request that is being sent */
	const struct topic *first_topic;
	struct inflight answered;	/* the request whose response is being read */
	uint32_t head, tail;		/* of the queue: tail is the sender's, head the receiver's */
	struct inflight queue[NR_INFLIGHT];
};

/* ---- conn.c ---------------------------------------------------------------- */

/* One call's bytes on their way through a parser. */
struct pass { struct conn *c; struct thread *t; };

/* Is there a trail to tell it to?  Whoever shows a whole request opens one. */
bool conn_ready(struct pass *p);

/* ---- conn_told.c ----------------------------------------------------------- */

extern const struct wire_request_ops conn_request_ops;	/* ctx: a struct pass */
extern const struct wire_response_ops conn_response_ops;

void conn_write_batch(struct thread *t, enum at_ring ring, const struct ev_batch *batch,
		      const struct topic *topic, uint64_t ns, uint16_t flags);

/* ---- conn_sync.c ----------------------------------------------------------- */

/* A connection that was made at connect_ns: were all of its bytes seen? */
void conn_sync_new(struct conn *c);
/* Do both parsers belong to this session? */
bool conn_current(const struct conn *c);
/* May these bytes be parsed?  first: a call begins with them.  The direction's guard is held. */
bool conn_sync_out(struct conn *c, const void *bytes, size_t len, bool first);
bool conn_sync_in(struct conn *c, const void *bytes, size_t len, bool first);
/* The parser gave up; false: it had begun in the wrong place, and looks on. */
bool conn_sync_given_up(struct conn *c);
/* The oldest request that is not answered. */
static inline uint32_t conn_oldest(const struct conn *c)
{
	uint32_t head = __atomic_load_n(&c->head, __ATOMIC_RELAXED);

	return (int32_t)(c->floor - head) > 0 ? c->floor : head;
}

#endif
