/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * summary.c - acktrail summary: the account of messages, where the time went, and
 * percentiles per phase.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "account.h"
#include "batch_view.h"
#include "hist.h"
#include "joined.h"
#include "say.h"
#include "span.h"
#include "table.h"

enum by { BY_TOPIC, BY_PARTITION, BY_BROKER, BY_DISK, NR_BY };
static const char *const by_names[] = { "topic", "partition", "broker", "disk" };

#define MAX_LINES	12	/* of each table in text; ndjson has all */

struct group {
	char	 name[300];	/* prefixed by its table's number */
	enum by	 by;
	uint64_t batches, count;	/* records in those batches, as on the wire */
	uint64_t messages;		/* of them that ended there: others moved into other batches */
	uint64_t outcome[TL_NR_OUTCOMES], ended[TL_NR_OUTCOMES];	/* batches, messages */
	uint64_t twice;			/* messages that are in the log again */
	int64_t	 total_ns, worst_ns, phase_ns[TL_NR_PHASES], sync_ns, flush_ns;
	int64_t	 cause_ns[TL_NR_PHASES][TL_NR_CAUSES];	/* where a phase had a cause of its own */
	UT_hash_handle hh;
};

struct args {
	struct joined c;
	struct out out;
	struct group *groups;
	struct accounts *accounts;
	struct hist *total, *phase[TL_NR_PHASES];
	uint64_t batches;
};

static const struct argp argp = {
	NULL, joined_parse, "TRAIL…",
	"Account for every message, and say where the time went: per topic, partition, broker and "
	"disk, with percentiles per phase.\v"
	"In [] what most of a phase's time was due to, where that is not the phase itself.",
	joined_children, NULL, NULL
};

/* ---- gathering -------------------------------------------------------------------- */

static struct group *group_of(struct args *args, enum by by, const char *name)
{
	char key[300];
	struct group *g;
	int n = snprintf(key, sizeof(key), "%d%s", (int)by, name);

	if (n >= (int)sizeof(key))
		n = (int)sizeof(key) - 1;
	HASH_FIND(hh, args->groups, key, (size_t)n, g);
	if (g)
		return g;
	g = calloc(1, sizeof(*g));
	if (!g)
		exit(STATUS_CANNOT);
	memcpy(g->name, key, sizeof(key));
	g->by = by;
	HASH_ADD_KEYPTR(hh, args->groups, g->name, (size_t)n, g);
	return g;
}

static void group_add(struct args *args, enum by by, const char *name, const struct tl_batch *b)
{
	struct group *g = group_of(args, by, name);
	int64_t total = b->end_ns - b->created_first_ns;

	g->batches++;
	g->count += b->count;
	g->messages += b->messages;
	g->outcome[b->outcome]++;
	g->ended[b->outcome] += b->messages;
	g->twice += account_written_again(b);
	g->total_ns += total;
	if (total > g->worst_ns)
		g->worst_ns = total;
	for (uint32_t i = 0; i < b->nr_phases; i++) {
		const struct tl_phase *p = &b->phases[i];

		g->phase_ns[p->name] += p->ns;
		g->cause_ns[p->name][p->cause] += p->ns;
	}
	for (uint32_t i = 0; i < b->nr_attempts; i++) {
		g->sync_ns += b->attempts[i].sync.ns + b->attempts[i].index.ns;
		g->flush_ns += b->attempts[i].sync.part[TL_PART_FLUSH] +
			       b->attempts[i].index.part[TL_PART_FLUSH];
	}
}

static void gather(void *arg, struct tl_batch *b)
{
	struct args *args = arg;
	int64_t ns[TL_NR_PHASES] = { 0 };
	const char *topic = b->topic ? b->topic : "?";
	const char *disk = NULL;
	int32_t broker = -1;
	char name[280];

	args->batches++;
	hist_add(args->total, b->end_ns - b->created_first_ns);
	for (uint32_t i = 0; i < b->nr_phases; i++)
		ns[b->phases[i].name] += b->phases[i].ns;
	for (int i = 0; i < TL_NR_PHASES; i++)
		if (ns[i])
			hist_add(args->phase[i], ns[i]);
	for (uint32_t i = 0; i < b->nr_attempts; i++) {
		if (b->attempts[i].broker >= 0)
			broker = b->attempts[i].broker;
		if (b->attempts[i].sync.device)
			disk = b->attempts[i].sync.device;
	}
	group_add(args, BY_TOPIC, topic, b);
	snprintf(name, sizeof(name), "%s-%d", topic, b->partition);
	group_add(args, BY_PARTITION, name, b);
	if (broker >= 0) {
		snprintf(name, sizeof(name), "%d", broker);
		group_add(args, BY_BROKER, name, b);
	}
	if (disk)
		group_add(args, BY_DISK, disk, b);
}

static void on_event(void *arg, const struct event *ev)
{
	accounts_event(((struct args *)arg)->accounts, ev);
}

static void on_row(void *arg, const struct tl_batch *b)
{
	accounts_row(((struct args *)arg)->accounts, b);
}

/* ---- telling ---------------------------------------------------------------------- */

static void quantiles_text(const char *name, const struct hist *h, double share)
{
	char a[40], b[40], c[40], d[40];

	printf("  %-15s %8" PRIu64 "  %s %s %s %s", name, h->nr,
	       span_column(a, sizeof(a), hist_quantile(h, 0.5), 9),
	       span_column(b, sizeof(b), hist_quantile(h, 0.95), 9),
	       span_column(c, sizeof(c), hist_quantile(h, 0.99), 9),
	       span_column(d, sizeof(d), (int64_t)h->max, 9));
	if (share >= 0)
		printf("  %5.1f%%", share);
	putchar('\n');
}

static void phases_told(struct args *args)
{
	struct out *o = &args->out;
	double all = 0;

	for (int i = 0; i < TL_NR_PHASES; i++)
		all += (double)args->phase[i]->sum;
	if (args->c.format == FORMAT_TEXT) {
		printf("\n%-17s %8s  %9s %9s %9s %9s  %6s\n", "Phase", "batches", "p50", "p95", "p99",
		       "max", "share");
		for (int i = 0; i < TL_NR_PHASES; i++)
			if (args->phase[i]->nr)
				quantiles_text(tl_phase_names[i], args->phase[i],
					       100 * (double)args->phase[i]->sum / (all > 0 ? all : 1));
		quantiles_text("= all", args->total, -1);
		return;
	}
	for (int i = 0; i <= TL_NR_PHASES; i++) {
		const struct hist *h = i < TL_NR_PHASES ? args->phase[i] : args->total;

		if (!h->nr)
			continue;
		out_begin(o);
		out_object(o, "phase");
		out_text(o, "name", i < TL_NR_PHASES ? tl_phase_names[i] : "all");
		out_u64(o, "batches", h->nr);
		out_u64(o, "total_ns", h->sum);
		out_s64(o, "p50_ns", hist_quantile(h, 0.5));
		out_s64(o, "p95_ns", hist_quantile(h, 0.95));
		out_s64(o, "p99_ns", hist_quantile(h, 0.99));
		out_u64(o, "max_ns", h->max);
		out_end(o);
		out_end(o);
	}
}

static int slowest_group(struct group *a, struct group *b)
{
	if (a->by != b->by)
		return (int)a->by - (int)b->by;
	return a->total_ns < b->total_ns ? 1 : a->total_ns > b->total_ns ? -1 : 0;
}

/* What most of that phase's time was due to, as `timeline` has it in []; NULL nothing beside its name. */
static const char *due_to(const struct group *g, int phase)
{
	for (int c = TL_CAUSE_UNKNOWN + 1; c < TL_NR_CAUSES; c++)
		if (2 * g->cause_ns[phase][c] > g->phase_ns[phase])
			return strcmp(tl_cause_names[c], tl_phase_names[phase]) ? tl_cause_names[c] : NULL;
	return NULL;
}

static void group_text(const struct group *g)
{
	bool done[TL_NR_PHASES] = { 0 };
	char t[40], w[40], where[160], not_acked[24] = "-";	/* which a broker alone does not know */
	uint64_t lost = 0;
	int n = 0;

	where[0] = 0;
	for (int k = 0; k < 2; k++) {
		const char *due;
		int best = -1;

		for (int i = 0; i < TL_NR_PHASES; i++)
			if (!done[i] && g->phase_ns[i] * 20 > g->total_ns &&
			    (best < 0 || g->phase_ns[i] > g->phase_ns[best]))
				best = i;
		if (best < 0)
			break;
		done[best] = true;
		n += snprintf(where + n, sizeof(where) - (size_t)n, "%s%s %.0f%%", k ? ", " : "",
			      tl_phase_names[best], 100.0 * (double)g->phase_ns[best] / (double)g->total_ns);
		due = due_to(g, best);
		if (due)
			n += snprintf(where + n, sizeof(where) - (size_t)n, " [%s]", due);
	}
	for (int i = TL_OUTCOME_FAILED; i <= TL_OUTCOME_LOST; i++)
		lost += g->ended[i];
	if (g->outcome[TL_OUTCOME_BROKER_ONLY] < g->batches)
		snprintf(not_acked, sizeof(not_acked), "%" PRIu64, lost);
	printf("  %-22.60s %7" PRIu64 " %8" PRIu64 " %9s %s %s  %s\n", g->name + 1, g->batches, g->messages, not_acked,
	       span_column(t, sizeof(t), g->batches ? g->total_ns / (int64_t)g->batches : 0, 9),
	       span_column(w, sizeof(w), g->worst_ns, 9), where);
}

static void group_json(struct out *o, const struct group *g)
{
	out_begin(o);
	out_object(o, by_names[g->by]);
	out_text(o, "name", g->name + 1);
	out_u64(o, "batches", g->batches);
	out_u64(o, "count", g->count);
	out_u64(o, "messages", g->messages);
	for (int i = 0; i < TL_NR_OUTCOMES; i++)
		if (g->outcome[i])
			out_u64(o, tl_outcome_names[i], g->outcome[i]);
	out_object(o, "messages_by");
	for (int i = 0; i < TL_NR_OUTCOMES; i++)
		if (g->ended[i])
			out_u64(o, tl_outcome_names[i], g->ended[i]);
	out_end(o);
	if (g->twice)
		out_u64(o, "twice", g->twice);
	out_s64(o, "total_ns", g->total_ns);
	out_s64(o, "max_ns", g->worst_ns);
	out_object(o, "phases");
	for (int i = 0; i < TL_NR_PHASES; i++)
		if (g->phase_ns[i])
			out_s64(o, tl_phase_names[i], g->phase_ns[i]);
	out_end(o);
	if (g->sync_ns) {
		out_s64(o, "sync_ns", g->sync_ns);
		out_s64(o, "flush_ns", g->flush_ns);
	}
	out_end(o);
	out_end(o);
}

/* Behind the topics: what ended, as far as was seen, before any batch carried it. */
static void unheld_told(struct args *args)
{
	uint64_t messages = 0;
	struct unheld u;

	if (filter_rows_alone(&args->c.filter))
		return;
	for (uint32_t at = 0; accounts_next_unheld(args->accounts, &at, &u); )
		for (int i = TL_OUTCOME_FAILED; i <= TL_OUTCOME_LOST; i++)
			if (filter_outcome(&args->c.filter, i))
				messages += u.n[i];
	if (messages)
		printf("  %-22s %7d %8" PRIu64 " %9" PRIu64 "\n", "(in no batch seen)", 0, messages, messages);
}

static void groups_told(struct args *args)
{
	struct group *g, *tmp;
	int by = -1, lines = 0;

	HASH_SORT(args->groups, slowest_group);
	HASH_ITER(hh, args->groups, g, tmp) {
		if (args->c.format == FORMAT_NDJSON) {
			group_json(&args->out, g);
			continue;
		}
		if ((int)g->by != by) {
			if (lines > MAX_LINES)
				printf("  … and %d more\n", lines - MAX_LINES);
			if (by == BY_TOPIC)
				unheld_told(args);
			by = (int)g->by;
			lines = 0;
			printf("\nBy %-21s %7s %8s %9s %9s %9s  %s\n", by_names[by], "batches", "messages",
			       "not acked", "mean", "max", "where the time went");
		}
		if (lines++ < MAX_LINES)
			group_text(g);
	}
	if (lines > MAX_LINES)
		printf("  … and %d more\n", lines - MAX_LINES);
}

static void twice_told(struct args *args)
{
	struct group *g, *tmp;

	HASH_ITER(hh, args->groups, g, tmp)
		if (g->by == BY_TOPIC && g->twice && args->c.format == FORMAT_TEXT)
			printf("%" PRIu64 " message%s of %s %s in the log twice: sent again after an attempt that had "
			       "been written\n", g->twice, g->twice == 1 ? "" : "s", g->name + 1,
			       g->twice == 1 ? "is" : "are");
}

int cmd_summary(int argc, char **argv)
{
	struct args args = { 0 };
	struct group *g, *tmp;
	int status, errors;

	cmd_parse(&argp, argc, argv, 0, NULL, &args);
	args.c.filter.slowest = 0;
	if (!joined_open(&args.c))
		return (int)say_unread();
	args.total = calloc(TL_NR_PHASES + 1, sizeof(*args.total));
	if (!args.total)
		return STATUS_CANNOT;
	for (int i = 0; i < TL_NR_PHASES; i++)
		args.phase[i] = &args.total[i + 1];
	out_open(&args.out, STDOUT_FILENO);
	args.accounts = accounts_new(args.c.reader);
	args.c.on_event = on_event;
	args.c.on_row = on_row;
	joined_run(&args.c, gather, NULL, &args);
	if (filter_rows_alone(&args.c.filter) || args.c.filter.outcomes)
		say(args.batches ? "the account is of the producers as a whole; what comes behind it, of what the filters keep" :
				   "no batch in there that the filters keep; the account is of the producers as a whole");
	errors = accounts_tell(args.accounts, args.c.format, &args.out);
	twice_told(&args);
	if (args.batches) {
		phases_told(&args);
		groups_told(&args);
	}
	HASH_ITER(hh, args.groups, g, tmp) {
		HASH_DEL(args.groups, g);
		free(g);
	}
	accounts_free(args.accounts);
	free(args.total);
	status = out_close(&args.out) || say_unwritten() ? STATUS_CANNOT : STATUS_DONE;
	if (errors && !status)
		status = STATUS_INCOMPLETE;
	{
		int said = joined_close(&args.c);

		return status ? status : said;
	}
}
