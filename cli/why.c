/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * why.c - acktrail why: the summary verdict over all affected batches, then one
 * verdict a batch.  Two passes over the trails: nothing is kept but counts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "account.h"
#include "batch_view.h"
#include "joined.h"
#include "say.h"
#include "span.h"
#include "verdict.h"

#define EXAMPLES 20	/* sentences in text; all of them with --slowest or ndjson */

enum { KEY_FAIL_ON = 0x700 };

struct bucket {
	enum tl_outcome outcome;
	enum tl_cause cause;
	char	 culprit[64];		/* the device, without what it did */
	uint64_t batches, messages, in_log, not_in_log;
	uint64_t messages_in, messages_out;	/* of the log, for certain */
	int64_t	 total_ns, cause_ns, worst_ns;
	int64_t	 sync_ns, flush_ns, syncs;
	const char *todo;		/* of the slowest */
};

struct args {
	struct joined c;
	uint32_t fail_on;
	bool	 failed, colour;
	struct out out;
	struct bucket *buckets;
	size_t	 nr_buckets;
	uint64_t batches, affected, lost, told, told_late;
	uint64_t of_outcome[TL_NR_OUTCOMES];
	struct accounts *accounts;
	uint64_t unheld[TL_NR_OUTCOMES];	/* messages that ended in no batch */
	bool	 any_unheld;			/* of them: any that was not acked */
};

static const struct argp_option options[] = {
	{ "fail-on", KEY_FAIL_ON, "OUTCOME,…", 0,
	  "Exit with status 1 when a batch or message ended so (acked, failed, expired, …)", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *args = state->input;
	const char *bad;
	int len;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &args->c;
		return 0;
	case KEY_FAIL_ON:
		if (!outcome_list(arg, &args->fail_on, &bad, &len))
			argp_error(state, "--fail-on: “%.*s” is no outcome", len, bad);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	options, parse, "TRAIL…",
	"Say why batches were late or expired: the causes ranked over all of them, then each.",
	joined_children, NULL, NULL
};

static bool affected(const struct tl_batch *b)
{
	return b->verdict.cause != TL_CAUSE_HEALTHY && b->outcome != TL_OUTCOME_OPEN;
}

static bool arrived(const struct tl_batch *b)
{
	return b->outcome == TL_OUTCOME_ACKED || b->outcome == TL_OUTCOME_BROKER_ONLY;
}

/* ---- first pass ------------------------------------------------------------------ */

static struct bucket *bucket_of(struct args *args, const struct tl_batch *b)
{
	const struct tl_cause_share *c = &b->verdict.causes[0];
	char culprit[64] = "";
	struct bucket *p;

	if (c->culprit && c->cause != TL_CAUSE_COLD_START)
		snprintf(culprit, sizeof(culprit), "%.*s", (int)strcspn(c->culprit, ":,"), c->culprit);
	for (size_t i = 0; i < args->nr_buckets; i++) {
		p = &args->buckets[i];
		if (p->outcome == b->outcome && p->cause == c->cause && !strcmp(p->culprit, culprit))
			return p;
	}
	p = realloc(args->buckets, (args->nr_buckets + 1) * sizeof(*p));
	if (!p)
		return NULL;
	args->buckets = p;
	p = &args->buckets[args->nr_buckets++];
	memset(p, 0, sizeof(*p));
	p->outcome = b->outcome;
	p->cause = c->cause;
	memcpy(p->culprit, culprit, sizeof(culprit));
	return p;
}

static void count(void *arg, struct tl_batch *b)
{
	struct args *args = arg;
	int64_t total = b->end_ns - b->created_first_ns;
	struct bucket *p;

	args->batches++;
	args->of_outcome[b->outcome]++;
	if (args->fail_on & 1u << b->outcome)
		args->failed = true;
	if (!affected(b))
		return;
	args->affected++;
	args->lost += !arrived(b);
	p = bucket_of(args, b);
	if (!p)
		return;
	p->batches++;
	p->messages += b->messages;
	p->in_log += b->in_log == TL_IN_LOG_YES;
	p->not_in_log += b->in_log == TL_IN_LOG_NO;
	if (b->in_log == TL_IN_LOG_YES)
		p->messages_in += b->messages;
	else if (b->in_log == TL_IN_LOG_NO)
		p->messages_out += b->messages;
	p->total_ns += total;
	p->cause_ns += b->verdict.causes[0].ns;
	if (total > p->worst_ns || !p->todo) {
		p->worst_ns = total;
		p->todo = advice_todo(b);
	}
	for (uint32_t i = 0; i < b->nr_attempts; i++)
		if (b->attempts[i].sync.ns) {
			p->syncs++;
			p->sync_ns += b->attempts[i].sync.ns;
			p->flush_ns += b->attempts[i].sync.part[TL_PART_FLUSH];
		}
}

static void on_event(void *arg, const struct event *ev)
{
	accounts_event(((struct args *)arg)->accounts, ev);
}

static void on_row(void *arg, const struct tl_batch *b)
{
	accounts_row(((struct args *)arg)->accounts, b);
}

/* ---- messages without a batch ---------------------------------------------------- */

static bool next_unheld(struct args *args, uint32_t *at, struct unheld *u)
{
	if (filter_rows_alone(&args->c.filter) || !accounts_next_unheld(args->accounts, at, u))
		return false;
	for (int i = 0; i < TL_NR_OUTCOMES; i++)
		if (!filter_outcome(&args->c.filter, i))
			u->n[i] = 0;
	return true;
}

static void count_unheld(struct args *args)
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

static void unheld_told(struct args *args)
{
	char line[512];
	struct unheld u;
	struct wrap w;

	for (uint32_t at = 0; next_unheld(args, &at, &u); )
		for (int i = 0; i < TL_NR_OUTCOMES; i++) {
			if (!u.n[i] || i == TL_OUTCOME_ACKED)
				continue;
			unheld_text(line, sizeof(line), &u, i);
			wrap_begin(&w, stdout, 2);
			wrap_text(&w, line);
			wrap_end(&w);
		}
}

static void unheld_json(struct args *args)
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

/* Lost data first, then by how many. */
static int worse_first(const void *a, const void *b)
{
	const struct bucket *x = a, *y = b;
	bool fine_x = x->outcome == TL_OUTCOME_ACKED || x->outcome == TL_OUTCOME_BROKER_ONLY;
	bool fine_y = y->outcome == TL_OUTCOME_ACKED || y->outcome == TL_OUTCOME_BROKER_ONLY;

	if (fine_x != fine_y)
		return fine_x ? 1 : -1;
	return x->batches < y->batches ? 1 : x->batches > y->batches ? -1 : 0;
}

static const char *kind_of(const struct bucket *p)
{
	return p->outcome == TL_OUTCOME_ACKED ? "late" : tl_outcome_names[p->outcome];
}

static void bucket_text(const struct args *args, const struct bucket *p)
{
	char line[512], t[24], u[24], v[24];
	uint64_t late = 0;
	struct wrap w;
	int n;

	for (size_t i = 0; i < args->nr_buckets; i++)
		if (args->buckets[i].outcome == p->outcome)
			late += args->buckets[i].batches;
	n = snprintf(line, sizeof(line), "%llu of %llu %s %s (%llu message%s): %s%s%s",
		     (unsigned long long)p->batches, (unsigned long long)late, kind_of(p), late == 1 ? "batch" : "batches",
		     (unsigned long long)p->messages, p->messages == 1 ? "" : "s", tl_cause_names[p->cause],
		     *p->culprit ? " on " : "", p->culprit);
	if (p->cause != TL_CAUSE_UNKNOWN && p->total_ns > 0 && p->cause_ns > 0)
		n += snprintf(line + n, sizeof(line) - (size_t)n, ", %.0f%% of their time",
			      100.0 * (double)p->cause_ns / (double)p->total_ns);
	if (p->syncs) {
		n += snprintf(line + n, sizeof(line) - (size_t)n, "; an fsync of theirs took %s on average",
			      span_text(t, sizeof(t), p->sync_ns / p->syncs));
		if (p->flush_ns * 20 > p->sync_ns)
			n += snprintf(line + n, sizeof(line) - (size_t)n, " (flush %s)",
				      span_text(u, sizeof(u), p->flush_ns / p->syncs));
	}
	n += snprintf(line + n, sizeof(line) - (size_t)n, "; the slowest batch %s.",
		      span_text(v, sizeof(v), p->worst_ns));
	if (p->outcome != TL_OUTCOME_ACKED && p->outcome != TL_OUTCOME_BROKER_ONLY)
		n += snprintf(line + n, sizeof(line) - (size_t)n,
			      " Messages in the log: %llu yes, %llu no, %llu unknown.",
			      (unsigned long long)p->messages_in, (unsigned long long)p->messages_out,
			      (unsigned long long)(p->messages - p->messages_in - p->messages_out));
	if (*p->todo)
		snprintf(line + n, sizeof(line) - (size_t)n, " To do: %s.", p->todo);
	wrap_begin(&w, stdout, 2);
	wrap_text(&w, line);
	wrap_end(&w);
}

static void summary_text(struct args *args)
{
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
		printf("\nNothing was late and nothing was lost.\n");
	else
		printf("\n");
	for (size_t i = 0; i < args->nr_buckets; i++)
		bucket_text(args, &args->buckets[i]);
	unheld_told(args);
}

static void summary_json(struct args *args)
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
	if (args->nr_buckets)
		out_text(o, "cause", tl_cause_names[args->buckets[0].cause]);
	else
		out_text(o, "cause", tl_cause_names[args->any_unheld ? TL_CAUSE_UNKNOWN : TL_CAUSE_HEALTHY]);
	out_array(o, "causes");
	for (size_t i = 0; i < args->nr_buckets; i++) {
		const struct bucket *p = &args->buckets[i];

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

/* ---- second pass ------------------------------------------------------------------ */

static void tell_json(struct out *o, const struct tl_batch *b)
{
	out_begin(o);
	out_text(o, "id", b->id);
	out_text(o, "topic", b->topic);
	out_s64(o, "partition", b->partition);
	if (b->has_crc)
		out_u64(o, "crc", b->crc);
	out_u64(o, "count", b->count);
	if (b->base_offset >= 0)
		out_s64(o, "base_offset", b->base_offset);
	out_text(o, "outcome", tl_outcome_names[b->outcome]);
	out_bool(o, "sent", b->sent);
	out_text(o, "in_log", in_log_name(b->in_log));
	out_text(o, "resend", resend_name(b->resend));
	out_text(o, "expired_by", b->expired_by);
	if (b->client)
		out_s64(o, "created_first_ns", b->created_first_ns);
	if (b->outcome != TL_OUTCOME_OPEN)
		out_s64(o, "resolved_ns", b->resolved_ns);
	verdict_json(o, &b->verdict);
	out_end(o);
}

static void tell(void *arg, struct tl_batch *b)
{
	struct args *args = arg;
	char text[TL_MAX_TEXT + 2];
	const char *todo;
	struct wrap w;

	if (args->c.format == FORMAT_NDJSON) {
		tell_json(&args->out, b);
		return;
	}
	if (!affected(b))
		return;
	/* What was lost is told before what was merely late. */
	if (!args->c.filter.slowest) {
		if (arrived(b) && args->told_late + args->lost >= EXAMPLES)
			return;
		if (args->told >= EXAMPLES)
			return;
	}
	if (!args->told)
		fputc('\n', stdout);
	args->told_late += arrived(b);
	args->told++;
	batch_head_text(stdout, b, args->colour);
	/* What to do stands above, once. */
	todo = strstr(b->verdict.text, ". To do: ");
	snprintf(text, sizeof(text), "%.*s%s", todo ? (int)(todo - b->verdict.text) : TL_MAX_TEXT,
		 b->verdict.text, todo ? "." : "");
	wrap_begin(&w, stdout, 4);
	wrap_text(&w, text);
	wrap_end(&w);
}

int cmd_why(int argc, char **argv)
{
	struct args args = { 0 };
	uint32_t slowest;
	int status;

	cmd_parse(&argp, argc, argv, 0, NULL, &args);
	if (!joined_open(&args.c))
		return STATUS_USAGE;
	args.colour = say_colour(stdout);
	out_open(&args.out, STDOUT_FILENO);
	/* The summary is over all that the filters keep, however few are told. */
	slowest = args.c.filter.slowest;
	args.c.filter.slowest = 0;
	args.accounts = accounts_new(args.c.reader);
	args.c.on_event = on_event;
	args.c.on_row = on_row;
	joined_run(&args.c, count, NULL, &args);
	args.c.on_event = NULL;
	args.c.on_row = NULL;
	args.c.filter.slowest = slowest;
	count_unheld(&args);
	if (args.nr_buckets)
		qsort(args.buckets, args.nr_buckets, sizeof(*args.buckets), worse_first);
	if (args.c.format == FORMAT_NDJSON)
		summary_json(&args);
	else
		summary_text(&args);
	reader_rewind(args.c.reader);
	joined_run(&args.c, tell, NULL, &args);
	if (args.affected > args.told && !slowest && args.c.format == FORMAT_TEXT)
		printf("… and %llu more: --slowest N for the slowest N, --format ndjson for all.\n",
		       (unsigned long long)(args.affected - args.told));
	accounts_free(args.accounts);
	free(args.buckets);
	status = out_close(&args.out) || fflush(stdout) ? STATUS_CANNOT : 0;
	if (!status)
		status = joined_close(&args.c);
	else
		joined_close(&args.c);
	return args.failed ? STATUS_FAIL_ON : status;
}
