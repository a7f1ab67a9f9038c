/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_log.c - is a batch in the log?  Yes when an append or a dump of the log shows it;
 * no only with proof; else it is not known.
 */
#include <string.h>
#include "join_int.h"
#include "log_dump.h"

/* A closed connection's requests may still be read by a broker that lags behind. */
#define STILL_READ		(600000 * JOIN_MS)

/* ---- by what a probe saw -------------------------------------------------------- */

#define LASTING			(100 * JOIN_MS)	/* so long an append or a sync takes for the lasting ring: bpf/events.c */

/*
 * Is what the probe told since then still there?  A ring that began anew is whole in its younger half.
 * The lasting one has what stands for the whole run again and again, so its times do not tell how far
 * it reaches back; but what it has of its own does.
 */
static bool held(const struct jtrail *jt, int64_t from)
{
	const struct trail *t = jt->t;

	if (t->wrapped[AT_BULK] && from < (int64_t)(t->newest_ns - t->held_ns[AT_BULK] / 2) + t->to_axis_ns)
		return false;
	return !t->wrapped[AT_LAST] || (jt->lasting_ns && jt->lasting_ns <= from);
}

/* Did the probe watch all of it, from the first byte on, without loss? */
static bool watched(const struct jtrail *t, int64_t from, int64_t to)
{
	static const int need[] = { AT_COVER_APPEND, AT_COVER_REQUEST };

	if (t->t->lost || t->t->account.probe_lost || t->t->incomplete || !held(t, from))
		return false;
	for (unsigned i = 0; i < 2; i++)
		if (!t->covered[need[i]] || t->cover_from[need[i]] > from ||
		    cover_until(t, (uint32_t)need[i], 0) < to)
			return false;
	return true;
}

static bool saw_crc(const struct part *p, const struct jtrail *t)
{
	for (uint32_t i = 0; i < JOIN_CRC_KEPT; i++)
		if (p->crc_kept[i] == t)
			return true;
	return false;
}

/* The CRCs of a partition's batches survive, then: its log is not stamped by the broker, nor compressed anew. */
static void crc_kept(const struct jbatch *jb)
{
	for (uint32_t i = 0; i < jb->b.nr_attempts; i++)
		if (jb->part && jb->state[i].appender && jb->state[i].own_crc &&
		    !saw_crc(jb->part, jb->state[i].appender))
			jb->part->crc_kept[jb->part->nr_crc_kept++ % JOIN_CRC_KEPT] = jb->state[i].appender;
}

/* A call that took so long that the lasting ring has it: the first that it still has. */
void log_reach(struct jtrail *t, int64_t begin, int64_t end)
{
	if (!t->lasting_ns && end - begin >= LASTING)
		t->lasting_ns = end;
}

void log_appended(struct jbatch *jb, uint32_t attempt, enum tl_join how)
{
	const struct tl_attempt *a = &jb->b.attempts[attempt];
	struct jtrail *t = jb->state[attempt].appender;

	jb->state[attempt].own_crc = how != TL_JOIN_SEQUENCE;
	crc_kept(jb);
	log_reach(t, a->append_begin_ns, a->append_end_ns);
}

/* Kafka's errors of what was appended, and then not replicated (in time): REQUEST_TIMED_OUT, NOT_ENOUGH_REPLICAS_AFTER_APPEND. */
static bool after_append(int16_t code)
{
	return code == 7 || code == 20;
}

/*
 * Those that may come then, too, or before: UNKNOWN, KAFKA_STORAGE_ERROR; and of a request that waits for
 * followers UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER.
 */
static bool maybe_after_append(const struct link_state *st, int16_t code)
{
	return code == -1 || code == 56 || ((code == 3 || code == 6) && acks_of(st) < 0);
}

/*
 * Can this attempt not have brought, nor still bring, the batch into the log?  Of one that was
 * read, that no append was seen proves it only where appends are known by their CRCs.
 */
static bool attempt_proven_out(const struct jbatch *jb, uint32_t i)
{
	const struct tl_attempt *a = &jb->b.attempts[i];
	const struct req *r = jb->state[i].req;
	const struct breq *br = jb->state[i].breq;
	const struct bconn *bc = br ? br->bconn : r ? r->conn->bconn : NULL;
	int64_t from = jb->b.attempts[0].write_begin_ns;
	bool told;

	if (!bc)
		return false;
	told = jb->part && saw_crc(jb->part, bc->trail);
	if (a->answered && a->error_code && a->error_code != DUPLICATE_SEQUENCE)
		return !after_append(a->error_code) && (told || !maybe_after_append(&jb->state[i], a->error_code)) &&
		       watched(bc->trail, from, a->response_read_ns);
	if (bc->end_ns && (!br || (br->answered_ns && told)))
		return watched(bc->trail, from, bc->end_ns);
	/* Read, and the connection closed before the answer: it may be appended yet. */
	return false;
}

static bool appended(const struct jbatch *jb)
{
	for (uint32_t i = 0; i < jb->b.nr_attempts; i++)
		if (jb->state[i].appender)
			return true;
	return false;
}

static bool proven_out(const struct jbatch *jb)
{
	const struct jbatch *a;

	if (!jb->b.has_crc || !jb->b.nr_attempts || jb->split_from || jb->twin)
		return false;
	for (uint32_t i = 0; i < jb->b.nr_attempts; i++)
		if (!attempt_proven_out(jb, i))
			return false;
	/* Nor in any of the batches that its messages were in before. */
	DL_FOREACH2(jb->absorbed, a, absorb_next)
		if (appended(a) || !proven_out(a))
			return false;
	return true;
}

static enum tl_in_log by_probe(const struct jbatch *jb)
{
	const struct tl_batch *b = &jb->b;

	if (appended(jb))
		return TL_IN_LOG_YES;
	if (b->outcome == TL_OUTCOME_ACKED)
		return TL_IN_LOG_UNKNOWN;
	if (b->client && !b->nr_attempts)
		return b->sent || b->outcome == TL_OUTCOME_OPEN ? TL_IN_LOG_UNKNOWN : TL_IN_LOG_NO;
	/* Regrouped messages may be there by the batch that took them. */
	if (b->moved)
		return TL_IN_LOG_UNKNOWN;
	return proven_out(jb) && !gap_hides_beginning(jb) ? TL_IN_LOG_NO : TL_IN_LOG_UNKNOWN;
}

/* ---- by a dump of the log -------------------------------------------------------- */

/*
 * When the broker was surely done with an attempt: answered, or a later request of its
 * connection was (they are taken one at a time, in order), or long after its end.
 */
static int64_t done_with(const struct jbatch *jb, uint32_t i)
{
	const struct tl_attempt *a = &jb->b.attempts[i];
	const struct req *r = jb->state[i].req;

	if (a->answered && a->response_read_ns)
		return a->response_read_ns;
	if (r && r->conn->answered_ns && r->conn->answered_corr > a->corr_id)
		return r->conn->answered_ns;
	if (r && r->conn->end_ns)
		return r->conn->end_ns + STILL_READ;
	return INT64_MAX;
}

static bool dump_proves_out(const struct join *j, const struct jbatch *jb)
{
	const struct tl_batch *b = &jb->b;
	int64_t until = log_dump_whole_until(j->conf.log_dump, b->topic, b->partition);
	const struct jbatch *a;

	if (!until || gap_hides_beginning(jb) || !jb->part || !jb->part->in_dump || !b->nr_attempts || !b->has_crc || jb->split_from || jb->twin)
		return false;
	for (uint32_t i = 0; i < b->nr_attempts; i++)
		if (!jb->state[i].req || done_with(jb, i) > until ||
		    (b->attempts[i].answered && b->attempts[i].error_code == DUPLICATE_SEQUENCE))
			return false;
	DL_FOREACH2(jb->absorbed, a, absorb_next)
		if (log_dump_find(j->conf.log_dump, a->b.topic, a->b.partition, a->b.crc, a->b.count) ||
		    !dump_proves_out(j, a))
			return false;
	return true;
}

static bool in_dump(const struct join *j, const struct jbatch *jb)
{
	unsigned times = jb->b.has_crc || (jb->rest && jb->ident.count) ?
			 log_dump_find(j->conf.log_dump, jb->b.topic, jb->b.partition, jb->ident.crc, jb->ident.count) : 0;

	/* Of two with one identity the dump does not say which. */
	return jb->twin ? times > 1 : times > 0;
}

/* Is the broker not known to be done with an attempt that the dump could be asked about? */
bool log_may_tell(const struct join *j, const struct jbatch *jb)
{
	if (!j->conf.log_dump || !jb->b.client || jb->b.outcome == TL_OUTCOME_ACKED)
		return false;
	for (uint32_t i = 0; i < jb->b.nr_attempts; i++)
		if (jb->state[i].req && done_with(jb, i) == INT64_MAX)
			return true;
	return false;
}

void log_judge(struct join *j, struct jbatch *jb)
{
	struct tl_batch *b = &jb->b;

	crc_kept(jb);		/* its client may have been known only after its append */
	b->in_log = by_probe(jb);
	b->in_log_by = b->in_log == TL_IN_LOG_UNKNOWN ? NULL : appended(jb) ? "append" :
		       b->nr_attempts ? "probe" : "never-sent";
	if (!j->conf.log_dump || b->in_log == TL_IN_LOG_YES)
		return;
	if (in_dump(j, jb)) {
		b->in_log = TL_IN_LOG_YES;
		b->in_log_by = "log-dump";
		/* So CRCs of this partition survive on their way into the log. */
		if (jb->part)
			jb->part->in_dump = true;
	} else if (b->in_log == TL_IN_LOG_UNKNOWN && b->client && b->outcome != TL_OUTCOME_ACKED && b->outcome != TL_OUTCOME_OPEN && !b->moved &&
		   dump_proves_out(j, jb)) {
		b->in_log = TL_IN_LOG_NO;
		b->in_log_by = "log-dump";
	}
}
