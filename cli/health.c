/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>
#include "health.h"

#define SEC		1000000000LL
#define HALF_A_SAMPLE	(3 * SEC / 2)

const char *const health_alarm_names[NR_HEALTH_ALARMS] = { "ALM-12033", "ALM-12180" };

static const int64_t period[NR_HEALTH_RULES] = { 30 * SEC, 300 * SEC };
#define SHORT_SLOW	7u	/* samples of 30 s */
#define LONG_SAMPLES	100u	/* in 300 s */

/* By alarm, rule, rotational. */
static const int64_t threshold[NR_HEALTH_ALARMS][NR_HEALTH_RULES][2] = {
	[HEALTH_12033] = { { 1 * SEC, 1 * SEC }, { SEC / 50, SEC * 15 / 100 } },
	[HEALTH_12180] = { { 3 * SEC, 6 * SEC }, { SEC / 2, 1 * SEC } },
};

struct window { unsigned nr, slow; uint64_t completed, busy_ms; };

static struct window look_back(const struct health *h, int64_t length, int64_t limit)
{
	uint64_t n = h->nr < HEALTH_SAMPLES ? h->nr : HEALTH_SAMPLES;
	struct window w = { 0 };

	for (uint64_t i = 1; i <= n; i++) {
		const struct health_sample *s = &h->ring[(h->nr - i) % HEALTH_SAMPLES];

		if (h->last_ns - s->ns > length - HALF_A_SAMPLE)
			break;
		w.nr++;
		w.slow += s->svctm_ns >= limit;
		w.completed += s->completed;
		w.busy_ms += s->busy_ms;
	}
	return w;
}

static bool holds(const struct health *h, enum health_alarm_id id, enum health_rule rule)
{
	struct window w = look_back(h, period[rule], threshold[id][rule][h->rotational]);
	bool full = h->last_ns - h->first_ns >= period[rule] - HALF_A_SAMPLE;

	if (rule == HEALTH_SHORT)
		return w.slow >= SHORT_SLOW;
	if (full && !w.completed && w.busy_ms)
		return true;
	return 2 * w.slow >= LONG_SAMPLES || (full && w.slow && 2 * w.slow >= w.nr && w.nr >= LONG_SAMPLES / 2);
}

static void judge(struct health *h, enum health_alarm_id id)
{
	struct health_alarm *a = h->active[id] ? &h->alarm[h->active[id] - 1] : NULL;
	bool clear = true;

	for (int rule = 0; rule < NR_HEALTH_RULES; rule++) {
		if (!holds(h, id, (enum health_rule)rule)) {
			if (a && a->rule[rule] && h->last_ns - h->held_ns[id][rule] < 3 * period[rule])
				clear = false;
			continue;
		}
		clear = false;
		h->held_ns[id][rule] = h->last_ns;
		if (!a && h->nr_alarms < HEALTH_ALARMS) {
			a = &h->alarm[h->nr_alarms++];
			*a = (struct health_alarm){ .id = id, .raised_ns = h->last_ns };
			h->active[id] = (int)h->nr_alarms;
		}
		if (a)
			a->rule[rule] = true;
	}
	if (a && clear) {
		a->cleared_ns = h->last_ns;
		h->active[id] = 0;
	}
}

const struct health_sample *health_add(struct health *h, int64_t ns, uint64_t reads, uint64_t writes,
				       uint64_t busy_ms, uint64_t flushes, uint64_t flush_ms)
{
	/* Counters that went back are another disk's. */
	bool follows = h->begun && ns > h->last_ns && reads >= h->reads && writes >= h->writes &&
		       busy_ms >= h->busy_ms && flushes >= h->flushes && flush_ms >= h->flush_ms;
	struct health_sample *s = &h->ring[h->nr % HEALTH_SAMPLES];

	if (follows) {
		*s = (struct health_sample){
			.ns = ns, .length_ns = ns - h->last_ns,
			.completed = reads - h->reads + writes - h->writes, .busy_ms = busy_ms - h->busy_ms,
			.flushes = flushes - h->flushes,
		};
		if (s->completed)
			s->svctm_ns = (int64_t)(s->busy_ms * 1000000 / s->completed);
		if (s->flushes)
			s->flush_ns = (int64_t)((flush_ms - h->flush_ms) * 1000000 / s->flushes);
		h->nr++;
	} else {
		h->first_ns = ns;
		h->nr = 0;
		s = NULL;
	}
	h->begun = true;
	h->last_ns = ns;
	h->reads = reads;
	h->writes = writes;
	h->busy_ms = busy_ms;
	h->flushes = flushes;
	h->flush_ms = flush_ms;
	if (s)
		for (int id = 0; id < NR_HEALTH_ALARMS; id++)
			judge(h, (enum health_alarm_id)id);
	return s;
}
