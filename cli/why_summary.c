/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * why_summary.c - the verdict over all batches: causes ranked, and messages that no
 * batch was seen to carry.
 */
#include <stdio.h>
#include <stdlib.h>
#include "span.h"
#include "why_int.h"

static void line_told(const char *line)
{
	struct wrap w;

	wrap_begin(&w, stdout, 2);
	wrap_text(&w, line);
	wrap_end(&w);
}

/* ---- messages without a batch ---------------------------------------------------- */

static bool next_unheld(struct why *args, uint32_t *at, struct unheld *u)
{
	if (filter_rows_alone(&args->c.filter) || !accounts_next_unheld(args->accounts, at, u))
		return false;
	for (int i = 0; i < TL_NR_OUTCOMES; i++)
		if (!filter_outcome(&args->c.filter, i))
			u->n[i] = 0;
	return true;
}

static void count_unheld(struct why *args)
{
	struct unheld u;

	for (uint32_t at = 0; next_unheld(args, &at, &u); )
		for (int i = 0; i < TL_NR_OUTCOMES; i++) {
			args->unheld[i] += u.n[i];
			args->any_unheld |= i != TL_OUTCOME_ACKED && u.n[i];
			if (u.n[i] && args->fail_on & 1u << i)
				args->failed = true;
		}
}

static void unheld_told(struct why *args)
{
	char line[512];
	struct unheld u;

	for (uint32_t at = 0; next_unheld(args, &at, &u); )
		for (int i = 0; i < TL_NR_OUTCOMES; i++) {
			if (!u.n[i] || i == TL_OUTCOME_ACKED)
				continue;
			unheld_text(line, sizeof(line), &u, i);
			line_told(line);
		}
}

static void unheld_json(struct why *args)
{
	struct out *o = &args->out;
	struct unheld u;

	out_array(o, "without_batch");
	for (uint32_t at = 0; next_unheld(args, &at, &u); )
		for (int i = 0; i < TL_NR_OUTCOMES; i++) {
			if (!u.n[i] || i == TL_OUTCOME_ACKED)
				continue;
			out_object(o, NULL);
			out_text(o, "host", u.trail->header.host);
			out_u64(o, "pid", u.trail->header.pid);
			out_u64(o, "instance", u.instance);
			out_text(o, "outcome", tl_outcome_names[i]);
			out_u64(o, "messages", u.n[i]);
			if (i == TL_OUTCOME_LOST)
				out_bool(o, "killed", u.trail->gone);
			out_bool(o, "events_complete", u.whole);
			out_end(o);
		}
	out_end(o);
}

/* ---- the summary ----------------------------------------------------------------- */

static int badness(enum tl_outcome o)
{
	return outcome_arrived(o) ? 0 : o == TL_OUTCOME_OPEN ? 1 : 2;
}

/* Lost data first, what hangs, what was late; of these by how many. */
static int worse_first(const void *a, const void *b)
{
	const struct why_bucket *x = a, *y = b;

	if (badness(x->outcome) != badness(y->outcome))
		return badness(y->outcome) - badness(x->outcome);
	return x->batches < y->batches ? 1 : x->batches > y->batches ? -1 : 0;
}

static const char *kind_of(const struct why_bucket *p)
{
	return p->outcome == TL_OUTCOME_ACKED ? "late" :
	       p->outcome == TL_OUTCOME_OPEN ? "late open" :
	       p->outcome == TL_OUTCOME_BROKER_ONLY ? "late broker-only" : tl_outcome_names[p->outcome];
}

static void bucket_text(const struct why *args, const struct why_bucket *p)
{
	bool busy = *p->culprit && p->cause == TL_CAUSE_BROKER_BUSY;
	char line[768], t[24], u[24], v[24];
	uint64_t late = 0;
	int n;

	for (size_t i = 0; i < args->nr_buckets; i++)
		if (args->buckets[i].outcome == p->outcome)
			late += args->buckets[i].batches;
	n = snprintf(line, sizeof(line), "%llu of %llu %s %s (%llu message%s): %s%s%s%s",
		     (unsigned long long)p->batches, (unsigned long long)late, kind_of(p), late == 1 ? "batch" : "batches",
		     (unsigned long long)p->messages, p->messages == 1 ? "" : "s", tl_cause_names[p->cause],
		     busy ? " (its syncs: " : *p->culprit ? " on " : "", p->culprit, busy ? ")" : "");
	if (p->cause != TL_CAUSE_UNKNOWN && p->total_ns > 0 && p->cause_ns > 0)
		n += snprintf(line + n, sizeof(line) - (size_t)n, ", %.0f%% of their time",
			      100.0 * (double)p->cause_ns / (double)p->total_ns);
	for (int c = TL_CAUSE_HEALTHY + 1; c < TL_NR_CAUSES; c++)
		if (2 * p->beside[c] > p->batches)
			n += snprintf(line + n, sizeof(line) - (size_t)n, ", while %llu of them waited for %s",
				      (unsigned long long)p->beside[c], tl_cause_names[c]);
	if (p->syncs) {
		n += snprintf(line + n, sizeof(line) - (size_t)n, "; an fsync of theirs took %s on average",
			      span_text(t, sizeof(t), p->sync_ns / p->syncs));
		if (p->flush_ns * 20 > p->sync_ns)
			n += snprintf(line + n, sizeof(line) - (size_t)n, " (flush %s)",
				      span_text(u, sizeof(u), p->flush_ns / p->syncs));
		if (p->syncs > 1)
			n += snprintf(line + n, sizeof(line) - (size_t)n, ", %s at the most",
				      span_text(t, sizeof(t), p->longest_sync_ns));
	}
	n += snprintf(line + n, sizeof(line) - (size_t)n, p->outcome == TL_OUTCOME_OPEN ? "; the oldest %s so far." :
		      "; the slowest batch %s.", span_text(v, sizeof(v), p->worst_ns));
	if (!outcome_arrived(p->outcome))
		n += snprintf(line + n, sizeof(line) - (size_t)n,
			      " Messages in the log: %llu yes, %llu no, %llu unknown.",
			      (unsigned long long)p->messages_in, (unsigned long long)p->messages_out,
			      (unsigned long long)(p->messages - p->messages_in - p->messages_out));
	if (*p->todo)
		snprintf(line + n, sizeof(line) - (size_t)n, " To do: %s.", p->todo);
	line_told(line);
}

/* Their sockets show what was sent, and nothing else. */
static void wire_alone_told(const struct why *args)
{
	char line[256];

	if (!args->wire_alone)
		return;
	snprintf(line, sizeof(line), "%llu of them %s of clients whose wire alone was seen (no librdkafka): what those kept in "
		 "their own queues, or let expire there, is in no row.", (unsigned long long)args->wire_alone,
		 args->wire_alone == 1 ? "is" : "are");
	line_told(line);
}

static void repeats_told(const struct why *args)
{
	char line[256];

	if (!args->repeats)
		return;
	snprintf(line, sizeof(line), "At least %llu message%s in the log more than once: sent again after an attempt that had "
		 "been written. To do: enable.idempotence=true.", (unsigned long long)args->repeats,
		 args->repeats == 1 ? " is" : "s are");
	line_told(line);
}

/* Their clients and what lies before the broker's read were not watched. */
static void broker_alone_told(const struct why *args)
{
	uint64_t n = args->of_outcome[TL_OUTCOME_BROKER_ONLY];
	char line[256];

	if (!n)
		return;
	snprintf(line, sizeof(line), "%llu of them %s seen by the probe alone: how long %s waited in a client before, and what never "
		 "reached that broker, is not known.", (unsigned long long)n, n == 1 ? "was" : "were", n == 1 ? "it" : "they");
	line_told(line);
}

static void summary_text(struct why *args)
{
	bool alone = args->of_outcome[TL_OUTCOME_BROKER_ONLY] == args->batches;

	if (!args->batches) {
		printf("No batch: none is in these trails, or the filters leave none.\n");
		unheld_told(args);
		return;
	}
	printf("%llu %s:", (unsigned long long)args->batches, args->batches == 1 ? "batch" : "batches");
	for (int i = 0; i < TL_NR_OUTCOMES; i++)
		if (args->of_outcome[i])
			printf(" %llu %s", (unsigned long long)args->of_outcome[i], tl_outcome_names[i]);
	if (!args->affected && !args->any_unheld)
		printf("\n%s\n", alone ? "At the broker nothing was late." :
			args->wire_alone ? "Nothing that was sent was late or lost." : "Nothing was late and nothing was lost.");
	else
		printf("\n");
	for (size_t i = 0; i < args->nr_buckets; i++)
		bucket_text(args, &args->buckets[i]);
	repeats_told(args);
	wire_alone_told(args);
	broker_alone_told(args);
	unheld_told(args);
}

static void summary_json(struct why *args)
{
	struct out *o = &args->out;

	out_begin(o);
	out_object(o, "summary");
	out_u64(o, "batches", args->batches);
	out_u64(o, "affected", args->affected);
	out_object(o, "outcomes");
	for (int i = 0; i < TL_NR_OUTCOMES; i++)
		if (args->of_outcome[i])
			out_u64(o, tl_outcome_names[i], args->of_outcome[i]);
	out_end(o);
	if (args->wire_alone)
		out_u64(o, "wire_alone", args->wire_alone);
	if (args->repeats)
		out_u64(o, "repeats_at_least", args->repeats);
	if (args->nr_buckets)
		out_text(o, "cause", tl_cause_names[args->buckets[0].cause]);
	else
		out_text(o, "cause", tl_cause_names[args->any_unheld ? TL_CAUSE_UNKNOWN : TL_CAUSE_HEALTHY]);
	out_array(o, "causes");
	for (size_t i = 0; i < args->nr_buckets; i++) {
		const struct why_bucket *p = &args->buckets[i];

		out_object(o, NULL);
		out_text(o, "outcome", tl_outcome_names[p->outcome]);
		out_text(o, "cause", tl_cause_names[p->cause]);
		if (tl_cause_tiers[p->cause] != TL_TIER_NONE)
			out_text(o, "tier", tl_tier_names[tl_cause_tiers[p->cause]]);
		if (*p->culprit)
			out_text(o, "culprit", p->culprit);
		out_u64(o, "batches", p->batches);
		out_u64(o, "messages", p->messages);
		out_milli(o, "share", p->total_ns > 0 ? p->cause_ns * 1000 / p->total_ns : 0);
		out_s64(o, "slowest_ns", p->worst_ns);
		if (p->syncs)
			out_s64(o, "sync_ns", p->sync_ns / p->syncs);
		out_u64(o, "in_log_yes", p->in_log);
		out_u64(o, "in_log_no", p->not_in_log);
		out_u64(o, "messages_in_log", p->messages_in);
		out_u64(o, "messages_not_in_log", p->messages_out);
		out_end(o);
	}
	out_end(o);
	if (args->any_unheld)
		unheld_json(args);
	out_end(o);
	out_end(o);
}

void why_summary(struct why *args)
{
	/* A retry may have regrouped messages: then the account alone knows. */
	bool some = filter_rows_alone(&args->c.filter) || args->c.filter.outcomes;
	uint64_t repeats = some ? 0 : accounts_repeats(args->accounts);

	if (repeats > args->repeats)
		args->repeats = repeats;
	count_unheld(args);
	if (args->nr_buckets)
		qsort(args->buckets, args->nr_buckets, sizeof(*args->buckets), worse_first);
	if (args->c.format == FORMAT_NDJSON)
		summary_json(args);
	else
		summary_text(args);
}
