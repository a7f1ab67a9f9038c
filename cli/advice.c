/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * advice.c - the sentences.  Each says what held the batch, where, and which setting
 * or whom to turn to; none says more than the evidence.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "join.h"
#include "span.h"
#include "verdict.h"

#define SOON_NS	300000000	/* as the join has it, where no library tells more */

static const char *const settings[TL_NR_CAUSES] = {
	[TL_CAUSE_HEALTHY] = "",
	[TL_CAUSE_APP_NOT_POLLING] = "call rd_kafka_poll() (flush, or the binding's poll) more often",
	[TL_CAUSE_QUEUE_FULL] =
		"raise queue.buffering.max.messages/.kbytes or slow the app: it outruns the broker",
	[TL_CAUSE_LINGER] = "lower linger.ms (queue.buffering.max.ms) if that is too long",
	[TL_CAUSE_WINDOW] =
		"raise max.in.flight, or bigger batches (batch.size, linger.ms)",
	[TL_CAUSE_STARVED] = "give the client CPU",
	[TL_CAUSE_STALLED] = "report it with this trail: the library did not send although it could",
	[TL_CAUSE_IDEMPOTENCE] = "look at the broker's producer state and at transactional.id",
	[TL_CAUSE_APP_ENDED] =
		"give rd_kafka_flush() as long as message.timeout.ms before the producer is purged or destroyed",
	[TL_CAUSE_COLD_START] = "connect before the first message, e.g. by asking for metadata at start",
	[TL_CAUSE_UNREACHABLE] =
		"check that broker's address (advertised.listeners), port and process: there was no connection to it",
	[TL_CAUSE_IDLE] = "lower connections.max.idle.ms below the middlebox's limit, or keep-alive",
	[TL_CAUSE_AUTH] = "check TLS and SASL settings on both sides",
	[TL_CAUSE_NO_LEADER] = "look at the broker's controller log: the leader moved or metadata was stale",
	[TL_CAUSE_NETWORK] = "look at the path between client and broker (loss, delay, full buffers)",
	[TL_CAUSE_BROKER_BUSY] = "raise num.io.threads or num.network.threads, or spread partitions",
	[TL_CAUSE_PAUSED] = "look for GC, SIGSTOP or starvation: the broker's process did not run",
	[TL_CAUSE_LOG_LOCK] = "cure what the append that held this partition's log waited for",
	[TL_CAUSE_FOLLOWER] = "look at that follower's disk, or at acks",
	[TL_CAUSE_QUOTA] = "raise the client's producer_byte_rate quota, or send less",
	[TL_CAUSE_BROKER_ERROR] = "see the error: the broker refused it",
	[TL_CAUSE_APPEND_STALL] =
		"look at that disk's writeback: the write to the page cache stalled (journal, dirty limits)",
	[TL_CAUSE_LEADER_FSYNC] =
		"move this log directory to a faster disk, or raise log.flush.interval.messages",
};

/* Syncs that no disk held up: more threads would not help them. */
static const char *busy_todo(const char *culprit)
{
	if (culprit && !strcmp(culprit, tl_part_names[TL_PART_LOCK]))
		return "look at what else syncs that file system, and at the host's CPU: its syncs slept, and not for I/O";
	if (culprit && !strcmp(culprit, tl_part_names[TL_PART_CPU]))
		return "look at the host's CPU: its syncs ran, or waited to run";
	return settings[TL_CAUSE_BROKER_BUSY];
}

/* What would tell more, of that which is not there yet. */
const char *advice_todo(const struct tl_batch *b)
{
	enum tl_cause cause = b->verdict.cause;

	if (cause == TL_CAUSE_BROKER_BUSY)
		return busy_todo(b->verdict.causes[0].culprit);
	if (cause == TL_CAUSE_BROKER_SIDE)
		return b->probed ? "nothing that the probe saw explains it: look at that broker's request queue, "
				   "GC and CPU"
				 : "behind the client's socket, in the broker or a proxy before it: run the probe "
				   "on that broker's host";
	if (cause == TL_CAUSE_APP_ENDED && b->wire_alone && !b->killed)
		return "call the producer's flush() or close() before the app exits";
	if (cause == TL_CAUSE_APP_ENDED && b->killed)
		return "the process was killed or crashed: look for SIGKILL, the OOM killer, a core";
	if (cause == TL_CAUSE_WINDOW && b->producer.idempotent)
		return "more partitions, or a shorter way: with enable.idempotence librdkafka sends nothing more of a "
		       "partition while 5 messages of it are in flight, or one bigger batch";
	if (cause != TL_CAUSE_UNKNOWN)
		return settings[cause] ? settings[cause] : "";
	if (!b->client)
		return "run the shim in the app to learn more";
	if (b->sent && !b->probed)
		return "run the probe on the broker's host to learn more";
	return "";
}

static const struct tl_phase *longest(const struct tl_batch *b, enum tl_cause cause)
{
	const struct tl_phase *best = NULL;

	for (uint32_t i = 0; i < b->nr_phases; i++)
		if (verdict_phase_cause(b, &b->phases[i]) == cause &&
		    (!best || b->phases[i].ns > best->ns))
			best = &b->phases[i];
	return best;
}

/*
 * How much of that cause's time there was no connection: one was given up because of it, and librdkafka
 * makes the next when its backoff is over, the broker being well or not.
 */
static int64_t away(const struct tl_batch *b, enum tl_cause cause)
{
	enum tl_tier tier = tl_cause_tiers[cause];
	int64_t ns = 0;

	for (uint32_t i = 0; i < b->nr_phases && (tier == TL_TIER_BROKER || tier == TL_TIER_DISK); i++)
		if (b->phases[i].name == TL_PHASE_BROKER_DOWN && verdict_phase_cause(b, &b->phases[i]) == cause)
			ns += b->phases[i].ns;
	return ns;
}

static const char *story(enum tl_cause cause)
{
	switch (cause) {
	case TL_CAUSE_LEADER_FSYNC:	return "the leader syncing to disk";
	case TL_CAUSE_APPEND_STALL:	return "the leader's write to its log";
	case TL_CAUSE_LOG_LOCK:		return "another's turn at the partition's log";
	case TL_CAUSE_WINDOW:		return "a full in-flight window";
	case TL_CAUSE_LINGER:		return "waiting for more messages (linger)";
	case TL_CAUSE_BROKER_SIDE:	return "the broker's side";
	case TL_CAUSE_UNREACHABLE:	return "no connection to the broker";
	case TL_CAUSE_COLD_START:	return "the start: connecting and what is asked before the first Produce";
	case TL_CAUSE_APP_NOT_POLLING:	return "the app not serving delivery reports";
	case TL_CAUSE_QUEUE_FULL:	return "produce() blocked by a full queue";
	case TL_CAUSE_QUOTA:		return "the broker's quota";
	case TL_CAUSE_NETWORK:		return "the network";
	case TL_CAUSE_FOLLOWER:		return "replication";
	case TL_CAUSE_NO_LEADER:	return "looking for the partition's leader";
	case TL_CAUSE_AUTH:		return "TLS or the login failing";
	case TL_CAUSE_IDLE:		return "a connection that something between had forgotten while it was idle";
	default:			return tl_cause_names[cause];
	}
}

static const char *state_of_log(const struct tl_batch *b)
{
	switch (b->in_log) {
	case TL_IN_LOG_YES: return "; it IS in the log, a resend duplicates it";
	case TL_IN_LOG_NO:  return "; it is not in the log, resending is safe";
	default:	    return "; whether it is in the log is not known, a resend may duplicate it";
	}
}

/* The broker's error that ended it, where that is the cause; else 0. */
static int16_t refused(const struct tl_batch *b)
{
	enum tl_cause c = b->verdict.cause;

	return c == TL_CAUSE_BROKER_ERROR || c == TL_CAUSE_AUTH || c == TL_CAUSE_IDEMPOTENCE ? verdict_refusal(b) : 0;
}

/* Attempts whose connection ended without an answer, too soon for anybody to be late. */
static uint32_t given_up_soon(const struct tl_batch *b)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->nr_attempts && b->wire_alone; i++) {
		const struct tl_attempt *a = &b->attempts[i];

		n += !a->answered && a->ended_ns && a->ended_ns - a->write_end_ns < SOON_NS;
	}
	return n;
}

/* How long it waited for another to be sent again, or for a connection to do so. */
static int64_t again_ns(const struct tl_batch *b)
{
	int64_t ns = 0;

	for (uint32_t i = 0; i < b->nr_phases; i++)
		if (b->phases[i].cause == TL_CAUSE_UNKNOWN && !b->phases[i].attempt &&
		    (b->phases[i].name == TL_PHASE_RETRY || b->phases[i].name == TL_PHASE_BROKER_DOWN))
			ns += b->phases[i].ns;
	return ns;
}

void advice_text(struct tl_batch *b, char *text, size_t size)
{
	struct tl_verdict *v = &b->verdict;
	const struct tl_cause_share *first = &v->causes[0];
	const struct tl_phase *p;
	char *t = text, total[24], part[24];
	int64_t gone;
	/* When it gave it up its library did not say: not later than that. */
	const char *after = b->wire_alone && b->outcome == TL_OUTCOME_EXPIRED ? "within" :
			    b->outcome == TL_OUTCOME_OPEN ? "for" : "after";
	int n = 0;

	span_text(total, sizeof(total), b->end_ns - b->created_first_ns);
	/* Most are, so not by printf; there is room for a row of any outcome. */
	if (v->cause == TL_CAUSE_HEALTHY) {
		strcpy(stpcpy(stpcpy(stpcpy(t, tl_outcome_names[b->outcome]), " in "), total), ".");
		return;
	}
	p = longest(b, first->cause);
	switch (v->cause) {
	case TL_CAUSE_UNKNOWN:
		n = text_put(t, size, n, "%s %s %s, less than half of it explained",
			tl_outcome_names[b->outcome], after, total);
		p = longest(b, TL_CAUSE_UNKNOWN);
		if (p && p->name == TL_PHASE_RESPONSE && 2 * p->ns > b->end_ns - b->created_first_ns)
			n = text_put(t, size, n, ": %s between the broker's answer and the client's reading it",
				span_text(part, sizeof(part), p->ns));
		else if (p && p->name == TL_PHASE_BROKER_DOWN && 2 * p->ns > b->end_ns - b->created_first_ns)
			n = text_put(t, size, n, ": %s without a connection, and nothing that says why",
				span_text(part, sizeof(part), p->ns));
		else if (b->nr_attempts > 1 && 2 * given_up_soon(b) >= b->nr_attempts)
			n = text_put(t, size, n, ": of its %u sendings %u ended with their connection before an answer could come; "
				"the client's own timeout (request.timeout.ms) may be too short",
				b->nr_attempts, given_up_soon(b));
		else if (2 * again_ns(b) > b->end_ns - b->created_first_ns)
			n = text_put(t, size, n, ": %s behind what had to be sent again before it",
				span_text(part, sizeof(part), again_ns(b)));
		break;
	case TL_CAUSE_APP_ENDED:
		n = text_put(t, size, n, b->killed ? "the app was killed %s after it was created"
					      : "the app ended or gave it up %s after it was created", total);
		/* What hangs is often killed. */
		if (v->nr > 1 && 2 * v->causes[1].share >= 1) {
			n = text_put(t, size, n, ", %.0f%% of that for %s", 100 * v->causes[1].share, story(v->causes[1].cause));
			if (v->causes[1].culprit)
				n = text_put(t, size, n, " (%s)", v->causes[1].culprit);
		}
		break;
	default:
		if (refused(b)) {
			const char *name = tl_error_name(refused(b));

			n = text_put(t, size, n, "%s after %s: broker error %d%s%s", tl_outcome_names[b->outcome],
				total, refused(b), name ? " " : "", name ? name : "");
			break;
		}
		gone = away(b, first->cause);
		span_text(part, sizeof(part), 2 * gone > first->ns ? gone : first->ns);
		n = text_put(t, size, n, 2 * gone > first->ns ? "%s %s %s, %s of it without a connection; that was given up because of %s"
			: "%s %s %s, %s of it %s", tl_outcome_names[b->outcome], after, total, part, story(v->cause));
		if (p && p->name == TL_PHASE_BEHIND)
			n = text_put(t, size, n, ", for requests ahead on its connection");
		if (first->culprit)
			n = text_put(t, size, n, " (%s)", first->culprit);
		if (2 * gone > first->ns)
			n = text_put(t, size, n, ", and reconnect.backoff.max.ms limits how long until the next");
		else if (10 * gone > first->ns)
			n = text_put(t, size, n, ", in %s of that without a connection, given up because of it: "
				"reconnect.backoff.max.ms limits how long", span_text(part, sizeof(part), gone));
		if (v->nr > 1)
			n = text_put(t, size, n, ", beside %s (%.0f%%)", story(v->causes[1].cause),
				100 * v->causes[1].share);
	}
	if (b->outcome != TL_OUTCOME_ACKED && b->outcome != TL_OUTCOME_BROKER_ONLY &&
	    b->outcome != TL_OUTCOME_OPEN)
		n = text_put(t, size, n, "%s", state_of_log(b));
	if (*advice_todo(b))
		text_put(t, size, n, ". To do: %s.", advice_todo(b));
	else
		text_put(t, size, n, ".");
}
