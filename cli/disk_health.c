/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "disk_health.h"
#include "health.h"
#include "hist.h"
#include "join_int.h"
#include "span.h"
#include "table.h"

#define MS		1000000LL
#define STRIP		60	/* columns of the strip of samples */
#define SHORTEST	7u	/* slow samples that raise an alarm: health.c */

enum kind { FLUSHES, SYNCS, WRITES, READS, NR_KINDS };
static const char *const kind_names[NR_KINDS] = { "flush", "sync", "write", "read" };

/* Upper ends of the steps; the last is open. */
static const int64_t steps[] = {
	100000, 300000, 1 * MS, 3 * MS, 10 * MS, 30 * MS, 100 * MS, 300 * MS, 1000 * MS, 3000 * MS,
};
#define NR_STEPS (sizeof(steps) / sizeof(*steps) + 1)

struct disk {
	struct key2 key;		/* trail, and the device number's low half */
	uint64_t dev, parent;
	char	 name[64];
	const char *host;
	bool	 told, sampled;		/* by a DEVICE event; by samples */
	struct health health;
	struct hist svctm;
	uint64_t busy_ms, flushes;
	int64_t	 covered_ns, worst_ns, flush_total_ns, flush_worst_ns;
	int64_t	 strip[STRIP];		/* the slowest of each stretch */
	uint64_t per_column, nr_samples, stalled;
	uint64_t count[NR_KINDS][NR_STEPS], nr[NR_KINDS];
	int64_t	 max[NR_KINDS];
	UT_hash_handle hh;
};

struct show {
	struct joined *c;
	struct out *o;
	struct disk *disks;
};

static struct disk *disk_get(struct show *s, const struct event *ev, uint64_t dev)
{
	struct key2 key = { ev->trail->index, (uint32_t)dev };
	struct disk *d;

	HASH_FIND(hh, s->disks, &key, sizeof(key), d);
	if (d)
		return d;
	d = join_alloc(sizeof(*d));
	d->key = key;
	d->dev = dev;
	d->host = ev->trail->header.host;
	d->per_column = 1;
	snprintf(d->name, sizeof(d->name), "%u:%u", (unsigned)(dev >> 20), (unsigned)(dev & 0xfffff));
	HASH_ADD(hh, s->disks, key, sizeof(d->key), d);
	return d;
}

/* The whole disk of a partition. */
static struct disk *disk_of(struct show *s, const struct event *ev, uint64_t dev)
{
	struct disk *d = disk_get(s, ev, dev);

	return d->parent ? disk_get(s, ev, d->parent) : d;
}

static bool within(const struct show *s, int64_t from, int64_t to)
{
	return from <= s->c->filter.until_ns && to >= s->c->filter.since_ns;
}

static void device_told(struct show *s, const struct event *ev)
{
	struct disk *d = disk_get(s, ev, ev->device.dev);

	d->parent = ev->device.parent;
	d->health.rotational = ev->device.rotational;
	d->told = true;
	if (ev->tail_len)
		snprintf(d->name, sizeof(d->name), "%.*s", (int)ev->tail_len, ev->tail);
}

/* Twice as many samples as columns: two go into one. */
static void strip_add(struct disk *d, int64_t svctm)
{
	uint64_t at = d->nr_samples / d->per_column;

	if (at == STRIP) {
		for (int i = 0; i < STRIP / 2; i++)
			d->strip[i] = d->strip[2 * i] > d->strip[2 * i + 1] ? d->strip[2 * i] : d->strip[2 * i + 1];
		memset(&d->strip[STRIP / 2], 0, STRIP / 2 * sizeof(*d->strip));
		d->per_column *= 2;
		at = d->nr_samples / d->per_column;
	}
	if (svctm > d->strip[at])
		d->strip[at] = svctm;
	d->nr_samples++;
}

static void sample_json(struct out *o, const struct disk *d, const struct health_sample *h)
{
	out_begin(o);
	out_object(o, "disk_sample");
	out_text(o, "device", d->name);
	out_text(o, "host", d->host);
	out_s64(o, "at_ns", h->ns);
	out_s64(o, "ns", h->length_ns);
	out_s64(o, "svctm_ns", h->svctm_ns);
	out_u64(o, "completed", h->completed);
	out_s64(o, "busy_ns", (int64_t)h->busy_ms * MS);
	if (h->flushes) {
		out_u64(o, "flushes", h->flushes);
		out_s64(o, "flush_ns", h->flush_ns);
	}
	out_end(o);
	out_end(o);
}

static void disk_told(struct show *s, const struct event *ev)
{
	const struct ev_disk *e = &ev->disk;
	struct disk *d = disk_get(s, ev, e->dev);
	const struct health_sample *h = health_add(&d->health, event_axis(ev, ev->ns), e->reads, e->writes,
						   e->busy_ms, e->flushes, e->flush_ms);

	d->sampled = true;
	if (!h || !within(s, h->ns - h->length_ns, h->ns))
		return;
	hist_add(&d->svctm, h->svctm_ns);
	strip_add(d, h->svctm_ns);
	d->stalled += !h->completed && h->busy_ms * MS * 2 > (uint64_t)h->length_ns;
	d->busy_ms += h->busy_ms;
	d->covered_ns += h->length_ns;
	d->flushes += h->flushes;
	d->flush_total_ns += h->flush_ns * (int64_t)h->flushes;
	if (h->flush_ns > d->flush_worst_ns)
		d->flush_worst_ns = h->flush_ns;
	if (s->c->format == FORMAT_NDJSON)
		sample_json(s->o, d, h);
}

static void latency(struct disk *d, enum kind kind, int64_t ns)
{
	unsigned i = 0;

	while (i < NR_STEPS - 1 && ns > steps[i])
		i++;
	d->count[kind][i]++;
	d->nr[kind]++;
	if (ns > d->max[kind])
		d->max[kind] = ns;
}

static void block_told(struct show *s, const struct event *ev)
{
	const struct ev_block *e = &ev->block;
	uint32_t op = e->op & 0xff;
	int64_t issue = event_axis(ev, e->issue_ns), done = event_axis(ev, ev->ns);

	if (!issue || !within(s, issue, done) || (op != AT_OP_FLUSH && op != AT_OP_WRITE && op != AT_OP_READ))
		return;
	latency(disk_of(s, ev, e->dev), op == AT_OP_FLUSH ? FLUSHES : op == AT_OP_WRITE ? WRITES : READS,
		done - issue);
}

static void sync_told(struct show *s, const struct event *ev)
{
	int64_t begin = event_axis(ev, ev->sync.begin_ns), end = event_axis(ev, ev->ns);

	if (within(s, begin, end))
		latency(disk_of(s, ev, ev->sync.dev), SYNCS, end - begin);
}

/* ---- the views ------------------------------------------------------------------- */

static const char *rule_text(const struct health_alarm *a, bool rotational)
{
	static const char *const text[NR_HEALTH_ALARMS][2][2] = {	/* alarm, long, rotational */
		{ { "svctm ≥ 1 s in 7 samples of 30 s", "svctm ≥ 1 s in 7 samples of 30 s" },
		  { "svctm ≥ 20 ms in half of 300 s", "svctm ≥ 150 ms in half of 300 s" } },
		{ { "svctm ≥ 3 s in 7 samples of 30 s", "svctm ≥ 6 s in 7 samples of 30 s" },
		  { "svctm ≥ 500 ms in half of 300 s", "svctm ≥ 1 s in half of 300 s" } },
	};

	return text[a->id][!a->rule[HEALTH_SHORT]][rotational];
}

static void health_json(struct out *o, const struct disk *d)
{
	out_begin(o);
	out_object(o, "disk_health");
	out_text(o, "device", d->name);
	out_text(o, "host", d->host);
	if (d->sampled) {
		if (d->told)
			out_bool(o, "rotational", d->health.rotational);
		out_u64(o, "samples", d->svctm.nr);
		if (d->covered_ns)
			out_s64(o, "sampled_ns", d->covered_ns);
	}
	if (d->svctm.nr) {
		out_s64(o, "svctm_p50_ns", hist_quantile(&d->svctm, 0.5));
		out_s64(o, "svctm_p99_ns", hist_quantile(&d->svctm, 0.99));
		out_u64(o, "svctm_max_ns", d->svctm.max);
		out_milli(o, "busy", d->covered_ns ? (int64_t)d->busy_ms * MS / (d->covered_ns / 1000) : 0);
		if (d->flushes) {
			out_u64(o, "flushes", d->flushes);
			out_s64(o, "flush_ns", d->flush_total_ns / (int64_t)d->flushes);
		}
		out_u64(o, "stalled_samples", d->stalled);
	}
	out_array(o, "alarms");
	for (unsigned i = 0; i < d->health.nr_alarms; i++) {
		const struct health_alarm *a = &d->health.alarm[i];

		out_object(o, NULL);
		out_text(o, "alarm", health_alarm_names[a->id]);
		out_text(o, "rule", rule_text(a, d->health.rotational));
		out_s64(o, "raised_ns", a->raised_ns);
		if (a->cleared_ns)
			out_s64(o, "cleared_ns", a->cleared_ns);
		out_end(o);
	}
	out_end(o);
	out_object(o, "latency");
	for (int k = 0; k < NR_KINDS; k++) {
		if (!d->nr[k])
			continue;
		out_array(o, kind_names[k]);
		for (unsigned i = 0; i < NR_STEPS; i++) {
			if (!d->count[k][i])
				continue;
			out_object(o, NULL);
			if (i < NR_STEPS - 1)
				out_s64(o, "to_ns", steps[i]);
			out_u64(o, "count", d->count[k][i]);
			out_end(o);
		}
		out_end(o);
	}
	out_end(o);
	out_end(o);
	out_end(o);
}

static void strip_text(const struct disk *d)
{
	static const char *const bar[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	uint64_t columns = (d->nr_samples + d->per_column - 1) / d->per_column;
	char t[24];

	printf("  svctm  ");
	for (uint64_t i = 0; i < columns; i++) {
		int level = d->svctm.max ? (int)((double)d->strip[i] / (double)d->svctm.max * 7.999) : 0;

		fputs(bar[level], stdout);
	}
	printf("  a column %u s, the highest %s\n", (unsigned)(3 * d->per_column),
	       span_text(t, sizeof(t), (int64_t)d->svctm.max));
}

static void histogram_text(const struct disk *d)
{
	char t[40];

	printf("  %-9s", "latency");
	for (int k = 0; k < NR_KINDS; k++)
		if (d->nr[k])
			printf(" %9s", kind_names[k]);
	puts(d->sampled ? "  of all that the probe saw, before the first sample and after the last, too" : "");
	for (unsigned i = 0; i < NR_STEPS; i++) {
		uint64_t any = 0;

		for (int k = 0; k < NR_KINDS; k++)
			any += d->count[k][i];
		if (!any)
			continue;
		if (i < NR_STEPS - 1)
			printf("  ≤%s", span_column(t, sizeof(t), steps[i], 8));
		else
			printf("  %9s", "more");
		for (int k = 0; k < NR_KINDS; k++)
			if (d->nr[k])
				printf(" %9" PRIu64, d->count[k][i]);
		putchar('\n');
	}
	printf("  %9s", "max");
	for (int k = 0; k < NR_KINDS; k++)
		if (d->nr[k])
			printf(" %s", span_column(t, sizeof(t), d->max[k], 9));
	putchar('\n');
}

static void health_text(const struct disk *d)
{
	char a[40], b[40], c[40], when[24];

	printf("\nDisk %s (%s)", d->name, !d->sampled ? "not sampled" : !d->told ? "kind not known" : d->health.rotational ? "HDD" : "SSD");
	if (d->svctm.nr)
		printf("  busy %.0f%%  svctm p50 %s, p99 %s, max %s",
		       d->covered_ns ? 100.0 * (double)d->busy_ms * 1e6 / (double)d->covered_ns : 0,
		       span_text(a, sizeof(a), hist_quantile(&d->svctm, 0.5)),
		       span_text(b, sizeof(b), hist_quantile(&d->svctm, 0.99)),
		       span_text(c, sizeof(c), (int64_t)d->svctm.max));
	putchar('\n');
	if (d->flushes)
		printf("  %" PRIu64 " flushes in these %s of samples, which svctm leaves out, took %s on average, %s in the worst 3 s\n",
		       d->flushes, span_text(c, sizeof(c), d->covered_ns),
		       span_text(a, sizeof(a), d->flush_total_ns / (int64_t)d->flushes),
		       span_text(b, sizeof(b), d->flush_worst_ns));
	if (d->stalled)
		printf("  %" PRIu64 " samples of it busy and completing nothing, which counts as 0\n", d->stalled);
	for (unsigned i = 0; i < d->health.nr_alarms; i++) {
		const struct health_alarm *al = &d->health.alarm[i];

		printf("  %s raised %s", health_alarm_names[al->id], clock_text(when, sizeof(when), al->raised_ns));
		if (al->cleared_ns)
			printf(", cleared %s", clock_text(when, sizeof(when), al->cleared_ns));
		else
			printf(", not cleared");
		printf(": %s\n", rule_text(al, d->health.rotational));
	}
	if (d->svctm.nr && !d->health.nr_alarms)
		printf("  no ALM-12033 and no ALM-12180 in %s of samples%s\n", span_text(a, sizeof(a), d->covered_ns),
		       d->svctm.nr < SHORTEST ? ", which are too few for one: it takes 7" : "");
	if (d->svctm.nr > 1)
		strip_text(d);
	histogram_text(d);
}

unsigned disk_health_show(struct joined *c, struct out *o)
{
	struct show s = { .c = c, .o = o };
	struct disk *d, *tmp;
	struct event ev;
	unsigned n = 0;

	reader_rewind(c->reader);
	while (reader_next(c->reader, &ev))
		switch (ev.type) {
		case AT_EV_DEVICE: device_told(&s, &ev); break;
		case AT_EV_DISK:   disk_told(&s, &ev); break;
		case AT_EV_BLOCK:  block_told(&s, &ev); break;
		case AT_EV_SYNC:   sync_told(&s, &ev); break;
		default:	   break;
		}
	HASH_ITER(hh, s.disks, d, tmp) {
		bool any = d->svctm.nr > 0;

		for (int k = 0; k < NR_KINDS; k++)
			any |= d->nr[k] > 0;
		if (any && c->format == FORMAT_NDJSON)
			health_json(o, d);
		else if (any)
			health_text(d);
		n += any;
		HASH_DEL(s.disks, d);
		free(d);
	}
	return n;
}
