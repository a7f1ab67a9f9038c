/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * disk.c - acktrail disk: every sync that the probe saw with what it waited for, and
 * the devices beneath them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "batch_view.h"
#include "disk_health.h"
#include "hist.h"
#include "joined.h"
#include "say.h"
#include "span.h"

#define TOLD		20	/* syncs in text without --slowest */
#define MAX_DEVICES	64

static const char *const calls[] = {
	"fsync", "fdatasync", "msync", "sync_file_range", "osync-write", "aio", "io_uring", "syncfs",
};
static const char *const roles[] = {
	"other", "segment", "index", "timeindex", "txnindex", "snapshot", "checkpoint", "passing",
	"directory",
};

struct device {
	uint64_t dev;
	const char *name;
	struct hist *syncs;
	int64_t	 part[TL_NR_PARTS], below_ns;
	uint64_t on_path;
	const char *below;		/* of a stacked one, when requests there were tied */
	bool	 stacked;
};

struct args {
	struct joined c;
	struct out out;
	struct tl_sync *top;		/* the slowest, slowest first */
	uint32_t max, nr;
	uint64_t syncs;
	struct device device[MAX_DEVICES];
	int	 nr_devices;
};

static const struct argp argp = {
	NULL, joined_parse, "TRAIL…",
	"Show the syncs of the broker's files, slowest first, with what each waited for: flush and "
	"device, the queue before it, throttling before the request existed, a journal commit shared "
	"with others, a lock (asleep, but not for I/O), the CPU.  What no evidence covers is unexplained.\v"
	"Then each disk's health: svctm every 3 s (busy time / completed reads and writes) with the alarms "
	"ALM-12033 and ALM-12180 as they would have been raised and cleared, and how long flushes, syncs "
	"and writes took.",
	joined_children, NULL, NULL
};

static const char *call_name(uint32_t call)
{
	return call < sizeof(calls) / sizeof(*calls) ? calls[call] : "sync";
}

static const char *role_name(uint32_t role)
{
	return role < sizeof(roles) / sizeof(*roles) ? roles[role] : "other";
}

static void sync_json(struct out *o, const struct tl_sync *s)
{
	out_begin(o);
	out_object(o, "sync");
	out_text(o, "host", s->host);
	out_text(o, "call", call_name(s->call));
	out_text(o, "path", s->path);
	out_text(o, "role", role_name(s->role));
	if (s->topic) {
		out_text(o, "topic", s->topic);
		out_s64(o, "partition", s->partition);
	}
	out_u64(o, "tid", s->tid);
	out_s64(o, "begin_ns", s->begin_ns);
	out_s64(o, "ns", s->end_ns - s->begin_ns);
	if (s->ret < 0)
		out_s64(o, "error", s->ret);
	out_bool(o, "on_path", s->on_path);
	out_text(o, "device", s->parts.device);
	if (s->parts.stacked)
		out_bool(o, "stacked", true);
	if (s->parts.below) {
		out_text(o, "below", s->parts.below);
		out_s64(o, "below_ns", s->parts.below_ns);
	}
	if (s->parts.waiters)
		out_u64(o, "waiters", s->parts.waiters);
	if (s->parts.seen) {
		out_array(o, "parts");
		for (int i = 0; i < TL_NR_PARTS; i++) {
			if (!s->parts.part[i])
				continue;
			out_object(o, NULL);
			out_text(o, "name", tl_part_names[i]);
			out_s64(o, "ns", s->parts.part[i]);
			out_end(o);
		}
		out_end(o);
	}
	out_end(o);
	out_end(o);
}

static bool same_name(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

/* Each host has its sda: then the name has the host, too. */
static struct device *device_of(struct args *args, const struct tl_sync *s)
{
	struct device *d;

	for (int i = 0; i < args->nr_devices; i++)
		if (args->device[i].dev == s->parts.dev && same_name(args->device[i].name, s->parts.device))
			return &args->device[i];
	if (args->nr_devices == MAX_DEVICES)
		return NULL;
	d = &args->device[args->nr_devices];
	d->syncs = calloc(1, sizeof(*d->syncs));
	if (!d->syncs)
		return NULL;
	d->dev = s->parts.dev;
	d->name = s->parts.device ? strdup(s->parts.device) : NULL;
	args->nr_devices++;
	return d;
}

static bool kept(const struct args *args, const struct tl_sync *s)
{
	struct filter_row row = {
		.topic = s->topic, .has_partition = s->topic != NULL, .partition = s->partition,
		.outcome = -1, .begin_ns = s->begin_ns, .end_ns = s->end_ns,
	};
	struct filter f = args->c.filter;

	/* Kafka's own files share the disk: they are what it is about here. */
	f.internal = true;
	return filter_row(&f, &row);
}

static void keep(struct args *args, const struct tl_sync *s)
{
	uint32_t i = args->nr;
	int64_t ns = s->end_ns - s->begin_ns;

	if (args->nr == args->max) {
		if (!args->max || args->top[args->max - 1].end_ns - args->top[args->max - 1].begin_ns >= ns)
			return;
		i--;
		free((char *)args->top[i].path);
	} else {
		args->nr++;
	}
	for (; i && args->top[i - 1].end_ns - args->top[i - 1].begin_ns < ns; i--)
		args->top[i] = args->top[i - 1];
	args->top[i] = *s;
	/* Strings are the join's, which is gone when this is told. */
	args->top[i].path = strdup(s->path ? s->path : "");
	args->top[i].topic = args->top[i].host = NULL;
	args->top[i].parts.device = args->top[i].parts.below = NULL;
}

/* Kafka's own appends to its own topics are no producer's batches, unless these are asked for. */
static bool on_path(const struct args *args, const struct tl_sync *s)
{
	const struct filter *f = &args->c.filter;

	return s->on_path && (f->internal || f->topic || !topic_internal(s->topic));
}

static void seen(void *arg, const struct tl_sync *from)
{
	struct tl_sync own = *from, *s = &own;
	struct args *args = arg;
	struct device *d;

	if (!kept(args, s))
		return;
	s->on_path = on_path(args, s);
	args->syncs++;
	d = device_of(args, s);
	if (d) {
		hist_add(d->syncs, s->end_ns - s->begin_ns);
		d->on_path += s->on_path;
		d->stacked |= s->parts.stacked;
		d->below_ns += s->parts.below_ns;
		if (s->parts.below && !d->below)
			d->below = strdup(s->parts.below);
		for (int i = 0; i < TL_NR_PARTS; i++)
			d->part[i] += s->parts.part[i];
	}
	if (args->c.format == FORMAT_NDJSON)
		sync_json(&args->out, s);
	else
		keep(args, s);
}

/* The last two parts of a file's path: topic-partition and segment; of a directory's the last one. */
static const char *short_path(const char *path, uint32_t role)
{
	const char *last = strrchr(path, '/'), *p = last;

	if (role == AT_ROLE_DIRECTORY)
		return last && last[1] ? last + 1 : path;
	while (p && p > path && p[-1] != '/')
		p--;
	return p ? p : path;
}

static void sync_text(const struct tl_sync *s)
{
	char when[24], t[40], word[300];
	struct wrap w;
	bool any = false;

	printf("%s  %-9s %s  %s%s%s\n", clock_text(when, sizeof(when), s->begin_ns), call_name(s->call),
	       span_column(t, sizeof(t), s->end_ns - s->begin_ns, 9),
	       *s->path ? short_path(s->path, s->role) : "(no name known)",
	       s->role == AT_ROLE_DIRECTORY ? "/ (directory)" : "", s->on_path ? "  on a batch's way" : "");
	if (!s->parts.seen)
		return;
	wrap_begin(&w, stdout, 14);
	for (int i = 0; i < TL_NR_PARTS; i++) {
		if (s->parts.part[i] * 50 < s->parts.ns)
			continue;
		snprintf(word, sizeof(word), "%s%s %s", any ? "+ " : "", tl_part_names[i],
			 span_text(t, sizeof(t), s->parts.part[i]));
		wrap_word(&w, word);
		any = true;
	}
	if (s->parts.waiters > 1) {
		snprintf(word, sizeof(word), "(commit shared by %u)", s->parts.waiters);
		wrap_word(&w, word);
	}
	wrap_end(&w);
}

static void devices_told(struct args *args)
{
	struct out *o = &args->out;

	if (args->c.format == FORMAT_TEXT && args->nr_devices)
		printf("\n%-10s %8s %8s %9s %9s %9s  %s\n", "Device", "syncs", "on path", "p50", "p99", "max",
		       "waited for");
	for (int i = 0; i < args->nr_devices; i++) {
		struct device *d = &args->device[i];
		char name[64], a[40], b[40], c[40], where[400] = "";
		int n = 0;

		snprintf(name, sizeof(name), "%u:%u", (unsigned)(d->dev >> 20), (unsigned)(d->dev & 0xfffff));
		if (args->c.format == FORMAT_NDJSON) {
			out_begin(o);
			out_object(o, "device");
			out_text(o, "name", d->name ? d->name : name);
			out_u64(o, "syncs", d->syncs->nr);
			out_u64(o, "on_path", d->on_path);
			out_s64(o, "p50_ns", hist_quantile(d->syncs, 0.5));
			out_s64(o, "p99_ns", hist_quantile(d->syncs, 0.99));
			out_u64(o, "max_ns", d->syncs->max);
			if (d->stacked)
				out_bool(o, "stacked", true);
			if (d->below) {
				out_text(o, "below", d->below);
				out_s64(o, "below_ns", d->below_ns);
			}
			out_object(o, "parts");
			for (int k = 0; k < TL_NR_PARTS; k++)
				if (d->part[k])
					out_s64(o, tl_part_names[k], d->part[k]);
			out_end(o);
			out_end(o);
			out_end(o);
			continue;
		}
		for (int k = 0; k < TL_NR_PARTS; k++)
			if (d->part[k] * 20 > (int64_t)d->syncs->sum && d->syncs->sum)
				n = text_put(where, sizeof(where), n, "%s%s %.0f%%", n ? ", " : "", tl_part_names[k],
					     100.0 * (double)d->part[k] / (double)d->syncs->sum);
		printf("%-10s %8" PRIu64 " %8" PRIu64 " %s %s %s  %s\n", d->name ? d->name : name,
		       d->syncs->nr, d->on_path, span_column(a, sizeof(a), hist_quantile(d->syncs, 0.5), 9),
		       span_column(b, sizeof(b), hist_quantile(d->syncs, 0.99), 9),
		       span_column(c, sizeof(c), (int64_t)d->syncs->max, 9), where);
		if (d->below)
			printf("%-10s stacked on %s: %.0f%% of that time its data was under way there\n", "", d->below,
			       100.0 * (double)d->below_ns / (double)(d->syncs->sum ? d->syncs->sum : 1));
		else if (d->stacked)
			printf("%-10s stacked: what lies beneath is not seen\n", "");
	}
}

static bool probes(struct reader *r)
{
	for (int i = 0; i < reader_nr_trails(r); i++)
		if (reader_trail(r, i)->header.kind == AT_KIND_PROBE)
			return true;
	return false;
}

int cmd_disk(int argc, char **argv)
{
	struct args args = { 0 };
	int status, said;
	bool missing;

	cmd_parse(&argp, argc, argv, 0, NULL, &args);
	if (!joined_open(&args.c))
		return (int)say_unread();
	args.max = args.c.filter.slowest ? args.c.filter.slowest : TOLD;
	args.top = calloc(args.max, sizeof(*args.top));
	if (!args.top)
		return STATUS_CANNOT;
	out_open(&args.out, STDOUT_FILENO);
	joined_run(&args.c, NULL, seen, &args);
	for (uint32_t i = 0; i < args.nr; i++) {
		sync_text(&args.top[i]);
		free((char *)args.top[i].path);
	}
	if (args.syncs > args.nr && args.c.format == FORMAT_TEXT)
		printf("… and %" PRIu64 " faster ones.\n", args.syncs - args.nr);
	devices_told(&args);
	disk_health_show(&args.c, &args.out);
	missing = !probes(args.c.reader);
	if (missing)
		say("no probe's trail among these, and only a probe on the broker's host sees its disk: run "
		    "`acktrail probe` there and name its trail, too");
	else if (!args.syncs)
		say("no sync to tell: the probe saw none, or the filters leave none");
	for (int i = 0; i < args.nr_devices; i++) {
		free(args.device[i].syncs);
		free((char *)args.device[i].name);
		free((char *)args.device[i].below);
	}
	free(args.top);
	status = out_close(&args.out) || say_unwritten() || missing ? STATUS_CANNOT : STATUS_DONE;
	said = joined_close(&args.c);
	return status ? status : said;
}
