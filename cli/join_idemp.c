/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_idemp.c - an idempotent producer: what it may have in flight, and how it recovers.
 * After a batch that failed for good, or came out of sequence, librdkafka sends nothing
 * until all that is in flight has come back, from every broker, and goes on with the next
 * epoch (rd_kafka_idemp_drain_epoch_bump); after a fatal error it sends nothing any more,
 * and purges what waits.
 */
#include "join_int.h"

#define ERR_FATAL		(-150)	/* rd_kafka_resp_err_t */
#define ERR_FENCED		(-144)
#define PRODUCER_FENCED		90	/* Kafka's */
#define RACE	(20 * JOIN_MS)		/* its thread may have been at a send just then */

/* ---- in flight ------------------------------------------------------------------ */

/*
 * Of one partition librdkafka begins no request while that many of its *messages* are in flight: it takes
 * them for requests (rd_kafka_toppar_producer_serve(): RD_KAFKA_IDEMP_MAX_INFLIGHT - rktp_msgs_inflight,
 * from 1.0 to 2.15).  So a batch of five or more goes alone.
 */
#define MAX_MESSAGES	5u

static bool counts(const struct jbatch *jb)
{
	return jb->part && jb->inst && jb->inst->conf.flags & AT_INST_IDEMPOTENT && !wire_alone(jb);
}

static struct spans *full_of(struct part *p)
{
	if (!p->full)
		p->full = join_alloc(sizeof(*p->full));
	return p->full;
}

void idemp_flies(struct jbatch *jb, int64_t ns)
{
	const struct jtrail *t = jb->trail;

	if (jb->flying || !counts(jb) || may_lack(t, AT_EV_RESPONSE) || may_lack(t, AT_EV_BATCH))
		return;
	jb->flying = jb->b.count;
	jb->part->flying += jb->flying;
	if (jb->part->flying >= MAX_MESSAGES)
		spans_open(full_of(jb->part), ns, TL_CAUSE_UNKNOWN);
}

void idemp_lands(struct jbatch *jb, int64_t ns)
{
	struct part *p = jb->part;

	if (!jb->flying)
		return;
	p->flying -= jb->flying;
	jb->flying = 0;
	if (p->flying < MAX_MESSAGES && p->full)
		spans_close(p->full, ns);
}

void idemp_inferred(struct jbatch *jb, int64_t from, int64_t to)
{
	if (counts(jb) && jb->b.count >= MAX_MESSAGES)
		spans_add(full_of(jb->part), from, to);
}

/* ---- recovery ------------------------------------------------------------------- */

/* To the app these mean the end: a sequence error that librdkafka recovers from is not told to it. */
static bool is_fatal(int32_t err)
{
	return err == OUT_OF_ORDER_SEQUENCE || err == ERR_FATAL || err == ERR_FENCED || err == PRODUCER_FENCED;
}

/*
 * A batch of that partition failed (`told`: and the app was told so), or came out of sequence.  Whether
 * that made it wait is known by the epoch of what it sends next.
 */
void idemp_failed(struct inst *in, const struct topic *topic, int32_t partition, int64_t ns, int32_t err, bool told)
{
	if (!in || !(in->conf.flags & AT_INST_IDEMPOTENT) || in->fatal_ns)
		return;
	if (told && is_fatal(err)) {
		in->fatal_ns = ns;
		spans_open(&in->drain, ns, TL_CAUSE_IDEMPOTENCE);
	} else if (!in->drain_since && topic && partition >= 0) {
		in->drain_since = ns;
		in->drain_topic = topic;
		in->drain_partition = partition;
		in->drain_conn = NULL;
	}
}

/* A batch of it is on its way, from `ns` on. */
void idemp_sent(struct inst *in, const struct topic *topic, int32_t partition, int64_t pid, int32_t epoch, int64_t ns)
{
	if (!in || pid < 0)
		return;
	in->no_id.open_since = 0;		/* it has one, though the answer that gave it was lost */
	if (in->drain_since && (pid != in->pid || epoch != in->epoch)) {
		spans_open(&in->drain, in->drain_since, TL_CAUSE_IDEMPOTENCE);
		if (in->drain_conn)
			spans_blame(&in->drain, in->drain_conn, in->drain_since);
		spans_close(&in->drain, ns);
		in->drain_since = 0;
	} else if (in->drain_since && topic == in->drain_topic && partition == in->drain_partition &&
		   ns > in->drain_since + RACE) {
		in->drain_since = 0;		/* it went on: there was nothing to recover from */
	}
	in->pid = pid;
	in->epoch = epoch;
}
