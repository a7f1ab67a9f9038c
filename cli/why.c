/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * why.c - acktrail why: the summary verdict over all affected batches, then one
 * verdict a batch.  One pass over the trails: what comes behind the summary is kept until
 * it is told, a few examples in memory, or all lines in a file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "say.h"
#include "spool.h"
#include "verdict.h"
#include "why_int.h"

enum { KEY_FAIL_ON = 0x700 };

static const struct argp_option options[] = {
	{ "fail-on", KEY_FAIL_ON, "OUTCOME,…", 0,
	  "Exit with status 1 when a batch or message ended so (acked, failed, expired, …)", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct why *args = state->input;
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
	"Say why batches were late or expired: the causes ranked over all of them, then each.\v"
	"A cause's share is of its batches' life.  Two causes may hold the same time (a lock, and the sync of "
	"who held it), so shares may add up to more than 100 %.",
	joined_children, NULL, NULL
};

/* Still open counts when it is late by now: in an incident these are what matters. */
static bool affected(const struct why *args, const struct tl_batch *b)
{
	if (b->outcome == TL_OUTCOME_OPEN)
		return b->end_ns - b->created_first_ns >= (args->c.slow_ns ? args->c.slow_ns : JOIN_SLOW_NS);
	return b->verdict.cause != TL_CAUSE_HEALTHY;
}

/* ---- counting -------------------------------------------------------------------- */

static struct why_bucket *bucket_of(struct why *args, const struct tl_batch *b)
{
	const struct tl_cause_share *c = &b->verdict.causes[0];
	char culprit[64] = "";
	struct why_bucket *p;

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

static void count(void *arg, const struct tl_batch *b)
{
	struct why *args = arg;
	int64_t total = b->end_ns - b->created_first_ns;
	struct why_bucket *p;

	args->batches++;
	args->of_outcome[b->outcome]++;
	args->wire_alone += b->wire_alone;
	args->repeats += account_written_again(b);
	if (args->fail_on & 1u << b->outcome)
		args->failed = true;
	if (!affected(args, b))
		return;
	args->affected++;
	args->lost += !outcome_arrived(b->outcome);
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
	if (p->cause == TL_CAUSE_APP_ENDED && b->verdict.nr > 1)
		p->beside[b->verdict.causes[1].cause]++;
	if (total > p->worst_ns || !p->todo) {
		p->worst_ns = total;
		p->todo = advice_todo(b);
	}
	for (uint32_t i = 0; i < b->nr_attempts; i++)
		if (b->attempts[i].sync.ns) {
			p->syncs++;
			p->sync_ns += b->attempts[i].sync.ns;
			p->flush_ns += b->attempts[i].sync.part[TL_PART_FLUSH];
			if (b->attempts[i].sync.ns > p->longest_sync_ns)
				p->longest_sync_ns = b->attempts[i].sync.ns;
		}
}

static void on_event(void *arg, const struct event *ev)
{
	accounts_event(((struct why *)arg)->accounts, ev);
}

static void on_row(void *arg, const struct tl_batch *b)
{
	accounts_row(((struct why *)arg)->accounts, b);
}

/* ---- one by one ------------------------------------------------------------------- */

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

static void tell_text(FILE *f, const struct tl_batch *b, bool colour)
{
	char text[TL_MAX_TEXT + 2];
	const char *todo = strstr(b->verdict.text, ". To do: ");
	struct wrap w;

	batch_head_text(f, b, colour);
	/* What to do stands above, once. */
	snprintf(text, sizeof(text), "%.*s%s", todo ? (int)(todo - b->verdict.text) : TL_MAX_TEXT,
		 b->verdict.text, todo ? "." : "");
	wrap_begin(&w, f, 4);
	wrap_text(&w, text);
	wrap_end(&w);
}

/* How many will be told depends on what is yet to come: the first of both kinds are kept. */
static void keep_example(struct why *args, const struct tl_batch *b)
{
	bool is_lost = !outcome_arrived(b->outcome);
	struct example *e = &args->examples[args->nr_examples[0] + args->nr_examples[1]];
	size_t len;
	FILE *f;

	if (args->nr_examples[is_lost] == EXAMPLES)
		return;
	f = open_memstream(&e->text, &len);
	if (!f)
		return;
	tell_text(f, b, args->colour);
	fclose(f);
	e->lost = is_lost;
	args->nr_examples[is_lost]++;
}

/* What was lost is told before what was merely late. */
static void examples_told(struct why *args)
{
	uint64_t late = args->lost < EXAMPLES ? EXAMPLES - args->lost : 0;

	for (unsigned i = 0; i < args->nr_examples[0] + args->nr_examples[1]; i++) {
		struct example *e = &args->examples[i];

		if (args->told < EXAMPLES && (e->lost || late)) {
			late -= !e->lost;
			if (!args->told++)
				fputc('\n', stdout);
			fputs(e->text, stdout);
		}
		free(e->text);
	}
}

static void summary_told(struct why *args)
{
	if (!args->summed)
		why_summary(args);
	args->summed = true;
}

/* Those that --slowest has chosen come when all are counted. */
static void tell(void *arg, struct tl_batch *b)
{
	struct why *args = arg;

	if (args->c.filter.slowest) {
		summary_told(args);
		if (args->c.format == FORMAT_NDJSON) {
			tell_json(&args->out, b);
		} else if (affected(args, b)) {
			if (!args->told++)
				fputc('\n', stdout);
			tell_text(stdout, b, args->colour);
		}
	} else if (args->c.format == FORMAT_NDJSON) {
		if (args->spooled)
			tell_json(&args->spool, b);
	} else if (affected(args, b)) {
		keep_example(args, b);
	}
}

static void tell_again(void *arg, struct tl_batch *b)
{
	tell_json(&((struct why *)arg)->out, b);
}

/* The lines behind the summary; where no file would take them, by another look at the trails. */
static void lines_told(struct why *args)
{
	if (args->spooled)
		spool_copy(&args->spool, &args->out);
	if (!args->spooled || args->spool.error) {
		reader_rewind(args->c.reader);
		args->c.on_event = NULL;
		args->c.on_row = NULL;
		args->c.on_kept = NULL;
		joined_run(&args->c, tell_again, NULL, args);
	}
}

int cmd_why(int argc, char **argv)
{
	struct why args = { 0 };
	bool json, slowest;
	int status;

	cmd_parse(&argp, argc, argv, 0, NULL, &args);
	if (!joined_open(&args.c))
		return (int)say_unread();
	json = args.c.format == FORMAT_NDJSON;
	slowest = args.c.filter.slowest;
	args.colour = say_colour(stdout);
	out_open(&args.out, STDOUT_FILENO);
	args.spooled = json && !slowest && spool_open(&args.spool);
	args.accounts = accounts_new(args.c.reader);
	args.c.on_event = on_event;
	args.c.on_row = on_row;
	args.c.on_kept = count;
	joined_run(&args.c, tell, NULL, &args);
	summary_told(&args);
	if (json && !slowest)
		lines_told(&args);
	else if (!slowest)
		examples_told(&args);
	if (args.affected > args.told && !slowest && !json)
		printf("… and %llu more: --slowest N for the slowest N, --format ndjson for all.\n",
		       (unsigned long long)(args.affected - args.told));
	if (args.spooled)
		spool_close(&args.spool);
	accounts_free(args.accounts);
	free(args.buckets);
	status = out_close(&args.out) || say_unwritten() ? STATUS_CANNOT : 0;
	if (!status)
		status = joined_close(&args.c);
	else
		joined_close(&args.c);
	return args.failed ? STATUS_FAIL_ON : status;
}
