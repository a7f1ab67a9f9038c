/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>
#include "verdict.h"

#define MIN_SHARE	0.05	/* below this a cause is not worth a word */

enum tl_cause verdict_phase_cause(const struct tl_batch *b, const struct tl_phase *p)
{
	/* A sync under the log's lock is to blame as one on the batch's own way. */
	if (p->cause == TL_CAUSE_LOG_LOCK && p->behind == TL_CAUSE_LEADER_FSYNC)
		return TL_CAUSE_LEADER_FSYNC;
	switch (p->name) {
	case TL_PHASE_BLOCKED:	   return TL_CAUSE_QUEUE_FULL;
	case TL_PHASE_LINGER:	   return TL_CAUSE_LINGER;
	case TL_PHASE_WINDOW:	   return p->cause ? p->cause : TL_CAUSE_WINDOW;
	case TL_PHASE_BROKER_DOWN:
		/* A start that took long and then worked. */
		if (p->cause == TL_CAUSE_COLD_START && b->outcome == TL_OUTCOME_ACKED)
			return TL_CAUSE_COLD_START;
		return p->cause != TL_CAUSE_COLD_START ? p->cause : TL_CAUSE_UNKNOWN;
	case TL_PHASE_BACKPRESSURE:
	case TL_PHASE_SOCKET:
	case TL_PHASE_RESPONSE:
	case TL_PHASE_RETRY:	   return p->cause;	/* by evidence, or not known */
	case TL_PHASE_NETWORK:	   return p->cause ? p->cause : TL_CAUSE_NETWORK;
	case TL_PHASE_BEHIND:	   return p->cause ? p->cause : TL_CAUSE_BROKER_SIDE;
	case TL_PHASE_QUEUE:
	case TL_PHASE_BROKER_SIDE:
		if (p->unsaid)
			return TL_CAUSE_UNKNOWN;
		return p->cause ? p->cause : TL_CAUSE_BROKER_SIDE;
	case TL_PHASE_APPEND:	   return p->cause ? p->cause : TL_CAUSE_APPEND_STALL;
	case TL_PHASE_FSYNC:
	case TL_PHASE_INDEX:	   return p->cause ? p->cause : TL_CAUSE_LEADER_FSYNC;
	case TL_PHASE_REPLICATION: return p->cause ? p->cause : TL_CAUSE_FOLLOWER;
	case TL_PHASE_CALLBACK:	   return p->cause ? p->cause : TL_CAUSE_APP_NOT_POLLING;
	case TL_PHASE_UNSENT:	   return p->cause;
	default:		   return TL_CAUSE_UNKNOWN;
	}
}

struct tally {
	int64_t	 ns, worst;
	enum tl_known known;
	const char *culprit;
};

static void tally_add(struct tally *t, const struct tl_phase *p)
{
	if (!t->ns || p->known < t->known)
		t->known = p->known;
	t->ns += p->ns;
	if (p->culprit && p->ns > t->worst) {
		t->worst = p->ns;
		t->culprit = p->culprit;
	}
}

static void rank(struct tl_verdict *v, struct tally *t, int64_t total)
{
	v->nr = 0;
	while (v->nr < TL_MAX_CAUSES) {
		int best = TL_CAUSE_UNKNOWN;

		for (int c = TL_CAUSE_HEALTHY + 1; c < TL_NR_CAUSES; c++)
			if (t[c].ns > t[best].ns || (best == TL_CAUSE_UNKNOWN && t[c].ns))
				best = c;
		if (best == TL_CAUSE_UNKNOWN || (double)t[best].ns < MIN_SHARE * (double)total)
			return;
		v->causes[v->nr++] = (struct tl_cause_share){
			.cause = (enum tl_cause)best, .known = t[best].known, .ns = t[best].ns,
			.share = (double)t[best].ns / (double)total, .culprit = t[best].culprit };
		t[best].ns = 0;
	}
}

static void only(struct tl_verdict *v, enum tl_cause cause, double share)
{
	v->nr = 1;
	v->causes[0] = (struct tl_cause_share){ .cause = cause, .share = share,
						.known = TL_KNOWN_EXACT };
}

/* Where its answer was not seen: librdkafka hands a broker's error on by its number, its own are below 0. */
int16_t verdict_refusal(const struct tl_batch *b)
{
	const struct tl_attempt *a = b->nr_attempts ? &b->attempts[b->counted] : NULL;

	if (a && a->answered)
		return a->error_code;
	return b->outcome == TL_OUTCOME_FAILED && b->err > 0 ? (int16_t)b->err : 0;
}

/* An error that the broker gave says more than where the time was. */
static enum tl_cause cause_of_answer(const struct tl_batch *b)
{
	switch (b->outcome == TL_OUTCOME_FAILED ? verdict_refusal(b) : 0) {
	case 0: return TL_CAUSE_UNKNOWN;
	case 3: case 5: case 6: case 9: case 74: case 100: return TL_CAUSE_NO_LEADER;
	case 45: case 47: case 59: return TL_CAUSE_IDEMPOTENCE;
	case 29: case 31: case 58: return TL_CAUSE_AUTH;
	default: return TL_CAUSE_BROKER_ERROR;
	}
}

/*
 * Nobody told how long its library kept it, nor that it had not given it up long before the app ended:
 * what it waited for is the cause, where that is known.
 */
static bool waited_long(const struct tl_batch *b, int64_t explained, int64_t total, int64_t slow_ns)
{
	return b->wire_alone && total >= slow_ns && 2 * explained >= total;
}

static bool app_ended(const struct tl_batch *b)
{
	return b->outcome == TL_OUTCOME_DROPPED || b->outcome == TL_OUTCOME_LOST ||
	       b->outcome == TL_OUTCOME_PURGED;
}

/* From its arrival over its append until its answer: without a client that is its whole life. */
static bool request_seen(const struct tl_batch *b)
{
	for (uint32_t i = 0; i < b->nr_attempts; i++) {
		const struct tl_attempt *a = &b->attempts[i];

		if (a->arrived_ns && a->append_end_ns && (a->response_written_ns || a->no_answer))
			return true;
	}
	return false;
}

/* The window is never told before what filled it most of the time. */
static void filler_first(struct tl_verdict *v, const int64_t *filled)
{
	enum tl_cause most = TL_CAUSE_UNKNOWN;
	struct tl_cause_share filler;
	uint32_t w = 0, at = 0;
	int64_t all = 0;

	for (int c = 0; c < TL_NR_CAUSES; c++) {
		all += filled[c];
		if (filled[c] > filled[most])
			most = (enum tl_cause)c;
	}
	while (w < v->nr && v->causes[w].cause != TL_CAUSE_WINDOW)
		w++;
	while (at < v->nr && v->causes[at].cause != most)
		at++;
	if (!all || at >= v->nr || at < w || 2 * all < v->causes[w].ns)
		return;
	filler = v->causes[at];
	memmove(&v->causes[w + 1], &v->causes[w], (at - w) * sizeof(filler));
	v->causes[w] = filler;
}

void verdict_of(struct tl_batch *b, int64_t slow_ns)
{
	struct tl_verdict *v = &b->verdict;
	struct tally t[TL_NR_CAUSES];
	int64_t filled[TL_NR_CAUSES] = { 0 };	/* of the window's time what filled it */
	int64_t total = 0, explained = 0, locked = 0;
	enum tl_cause said = cause_of_answer(b);
	const char *text = v->text;

	memset(t, 0, sizeof(t));
	memset(v, 0, sizeof(*v));
	v->text = text;
	for (uint32_t i = 0; i < b->nr_phases; i++) {
		const struct tl_phase *p = &b->phases[i];
		enum tl_cause c = verdict_phase_cause(b, p);

		total += p->ns;
		tally_add(&t[c], p);
		if (c != TL_CAUSE_UNKNOWN)
			explained += p->ns;
		/* A cascade: who filled the window first, the window beside it. */
		if (p->name == TL_PHASE_WINDOW && c != TL_CAUSE_WINDOW) {
			tally_add(&t[TL_CAUSE_WINDOW], p);
			filled[c] += p->ns;
		}
		/* The lock, and what those who held it waited for. */
		if (p->cause == TL_CAUSE_LOG_LOCK && p->behind != TL_CAUSE_UNKNOWN)
			tally_add(&t[c == TL_CAUSE_LOG_LOCK ? p->behind : TL_CAUSE_LOG_LOCK], p);
		if (p->cause == TL_CAUSE_LOG_LOCK && p->behind == TL_CAUSE_APPEND_STALL)
			locked += p->ns;
	}
	/* Never before the sync that held it. */
	if (t[TL_CAUSE_LOG_LOCK].ns && t[TL_CAUSE_LOG_LOCK].ns == t[TL_CAUSE_LEADER_FSYNC].ns)
		t[TL_CAUSE_LOG_LOCK].ns--;
	if (b->outcome == TL_OUTCOME_BROKER_ONLY && total < slow_ns && !request_seen(b)) {
		only(v, TL_CAUSE_UNKNOWN, 1);	/* quick as far as it was seen */
		v->causes[0].known = TL_KNOWN_UNKNOWN;
	} else if ((b->outcome == TL_OUTCOME_ACKED || b->outcome == TL_OUTCOME_BROKER_ONLY) && total < slow_ns) {
		only(v, TL_CAUSE_HEALTHY, 1);
	} else if (said != TL_CAUSE_UNKNOWN) {
		only(v, said, 1);
	} else if (b->fatal) {
		only(v, TL_CAUSE_IDEMPOTENCE, 1);
		v->causes[0].known = TL_KNOWN_INFERRED;
	} else if (app_ended(b) && !waited_long(b, explained, total, slow_ns)) {
		/* What it waited for when the app went comes second. */
		t[TL_CAUSE_UNKNOWN].ns = 0;
		rank(v, t, total > 0 ? total : 1);
		if (v->nr == TL_MAX_CAUSES)
			v->nr--;
		memmove(&v->causes[1], &v->causes[0], v->nr * sizeof(v->causes[0]));
		v->nr++;
		v->causes[0] = (struct tl_cause_share){ .cause = TL_CAUSE_APP_ENDED, .share = 1,
							.known = TL_KNOWN_EXACT };
	} else if (total <= 0 || 2 * explained < total) {
		only(v, TL_CAUSE_UNKNOWN, total > 0 ? 1 - (double)explained / (double)total : 1);
		v->causes[0].known = TL_KNOWN_UNKNOWN;
	} else {
		t[TL_CAUSE_UNKNOWN].ns = 0;
		rank(v, t, total);
		/* Another's stall was behind the lock, the batch's own append was not it. */
		for (uint32_t i = 0; i + 1 < v->nr; i++)
			if (v->causes[i].cause == TL_CAUSE_APPEND_STALL && 2 * locked > v->causes[i].ns &&
			    v->causes[i + 1].cause == TL_CAUSE_LOG_LOCK) {
				struct tl_cause_share stall = v->causes[i];

				v->causes[i] = v->causes[i + 1];
				v->causes[i + 1] = stall;
				break;
			}
		filler_first(v, filled);
	}
	if (!v->nr)
		only(v, TL_CAUSE_UNKNOWN, 1);
	v->cause = v->causes[0].cause;
	v->share = v->causes[0].share;
}
