/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * filter.c - the filters that every view takes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "filter.h"

#define NAME(e, s) s,
static const char *const names[TL_NR_OUTCOMES] = { TL_OUTCOMES(NAME) };
#undef NAME

bool outcome_list(const char *list, uint32_t *bits, const char **bad, int *bad_len)
{
	*bits = 0;
	for (;;) {
		size_t len = strcspn(list, ",");
		int found = -1;

		for (int i = 0; i < TL_NR_OUTCOMES; i++)
			if (strlen(names[i]) == len && !memcmp(names[i], list, len))
				found = i;
		if (found < 0) {
			*bad = list;
			*bad_len = (int)len;
			return false;
		}
		*bits |= 1u << found;
		if (!list[len])
			return true;
		list += len + 1;
	}
}

/* ---- times --------------------------------------------------------------- */

/* Digits at *at, exactly n of them. */
static bool digits(const char **at, int n, int *out)
{
	*out = 0;
	for (int i = 0; i < n; i++, ++*at) {
		if (**at < '0' || **at > '9')
			return false;
		*out = *out * 10 + (**at - '0');
	}
	return true;
}

static bool literal(const char **at, char c)
{
	if (**at != c)
		return false;
	++*at;
	return true;
}

/* 2026-01-02T03:04:05[.678]Z or +01:00; a blank or t instead of T is allowed. */
static bool parse_rfc3339(const char *s, int64_t *ns)
{
	static const int days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	struct tm tm = { 0 };
	int64_t fraction = 0, scale = 100000000;
	int year, mon, hours, minutes;
	time_t t;

	if (!digits(&s, 4, &year) || !literal(&s, '-') || !digits(&s, 2, &mon) || !literal(&s, '-') ||
	    !digits(&s, 2, &tm.tm_mday) || (*s != 'T' && *s != 't' && *s != ' '))
		return false;
	s++;
	if (!digits(&s, 2, &tm.tm_hour) || !literal(&s, ':') || !digits(&s, 2, &tm.tm_min) ||
	    !literal(&s, ':') || !digits(&s, 2, &tm.tm_sec))
		return false;
	if (mon < 1 || mon > 12 || tm.tm_mday < 1 || tm.tm_mday > days[mon - 1] || tm.tm_hour > 23 ||
	    tm.tm_min > 59 || tm.tm_sec > 60 || year < 1970 || year > 2200)
		return false;
	if (*s == '.') {
		if (s[1] < '0' || s[1] > '9')
			return false;
		for (s++; *s >= '0' && *s <= '9'; s++, scale /= 10)
			fraction += (*s - '0') * scale;
	}
	tm.tm_year = year - 1900;
	tm.tm_mon = mon - 1;
	t = timegm(&tm);
	if (*s == '+' || *s == '-') {
		int sign = *s++ == '+' ? 1 : -1;

		if (!digits(&s, 2, &hours) || !literal(&s, ':') || !digits(&s, 2, &minutes) ||
		    hours > 23 || minutes > 59)
			return false;
		t -= sign * (hours * 3600 + minutes * 60);
	} else if (!literal(&s, 'Z') && !literal(&s, 'z')) {
		return false;
	}
	*ns = (int64_t)t * 1000000000 + fraction;
	return !*s;
}

/* 03:04:05[.678], as the views print it */
static bool parse_of_day(const char *s, struct filter_time *t)
{
	int h, m, sec;

	if (!digits(&s, 2, &h) || !literal(&s, ':') || !digits(&s, 2, &m) || !literal(&s, ':') ||
	    !digits(&s, 2, &sec) || h > 23 || m > 59 || sec > 60)
		return false;
	t->ns = ((h * 60LL + m) * 60 + sec) * 1000000000;
	t->step_ns = 1000000000;
	if (*s == '.') {
		if (!s[1])
			return false;
		for (s++; *s >= '0' && *s <= '9' && t->step_ns > 1; s++) {
			t->step_ns /= 10;
			t->ns += (*s - '0') * t->step_ns;
		}
	}
	t->of_day = !*s;
	return t->of_day;
}

/* 1h30m, 250ms, 5m */
static bool parse_span(const char *s, int64_t *ns)
{
	static const struct { const char *unit; int64_t ns; } units[] = {
		{ "ms", 1000000 }, { "us", 1000 }, { "ns", 1 },	/* before m and s */
		{ "d", 86400LL * 1000000000 }, { "h", 3600LL * 1000000000 },
		{ "m", 60LL * 1000000000 }, { "s", 1000000000 },
	};

	*ns = 0;
	do {
		const char *unit = NULL;
		int64_t n = 0, part;

		if (*s < '0' || *s > '9')
			return false;
		for (; *s >= '0' && *s <= '9'; s++)
			if (__builtin_mul_overflow(n, (int64_t)10, &n) ||
			    __builtin_add_overflow(n, (int64_t)(*s - '0'), &n))
				return false;
		for (size_t i = 0; !unit && i < sizeof(units) / sizeof(units[0]); i++)
			if (!strncmp(s, units[i].unit, strlen(units[i].unit))) {
				unit = units[i].unit;
				if (__builtin_mul_overflow(n, units[i].ns, &part) ||
				    __builtin_add_overflow(*ns, part, ns))
					return false;
			}
		if (!unit)
			return false;
		s += strlen(unit);
	} while (*s);
	return true;
}

bool filter_time_parse(const char *text, struct filter_time *t)
{
	memset(t, 0, sizeof(*t));
	t->from_end = text[0] == '-';
	t->given = t->from_end ? parse_span(text + 1, &t->ns) :
				 parse_of_day(text, t) || parse_rfc3339(text, &t->ns);
	return t->given;
}

#define DAY_NS		86400000000000
#define UNTIL_AHEAD_NS	(DAY_NS / 2)

/* On the day when the evidence ends, or the day before where that would be after `last`. */
static int64_t on_its_day(const struct filter_time *t, int64_t end_ns, int64_t last)
{
	time_t end = (time_t)(end_ns / 1000000000);
	struct tm tm;
	int64_t ns;

	if (!localtime_r(&end, &tm))
		return t->ns;
	for (int back = 0; ; back++) {
		struct tm day = {
			.tm_year = tm.tm_year, .tm_mon = tm.tm_mon, .tm_mday = tm.tm_mday - back,
			.tm_hour = (int)(t->ns / 3600000000000), .tm_min = (int)(t->ns / 60000000000 % 60),
			.tm_sec = (int)(t->ns / 1000000000 % 60), .tm_isdst = -1,
		};

		ns = (int64_t)mktime(&day) * 1000000000 + t->ns % 1000000000;
		if (ns <= last || back)
			return ns;
	}
}

static int64_t resolve(const struct filter_time *t, int64_t end_ns, int64_t last, int64_t otherwise)
{
	int64_t ns;

	if (!t->given)
		return otherwise;
	if (t->of_day)
		return on_its_day(t, end_ns, last);
	if (!t->from_end)
		return t->ns;
	return __builtin_sub_overflow(end_ns, t->ns, &ns) ? INT64_MIN : ns;
}

void filter_resolve(struct filter *f, int64_t end_axis_ns)
{
	f->since_ns = resolve(&f->since, end_axis_ns, end_axis_ns, INT64_MIN);
	/* "Until 10:05" of what ends at 10:02 is until its end; but of what ends behind midnight "until 23:50" is the day before. */
	f->until_ns = resolve(&f->until, end_axis_ns, end_axis_ns + UNTIL_AHEAD_NS, INT64_MAX);
	if (f->until.of_day && f->since.of_day && f->until_ns < f->since_ns)
		f->until_ns += DAY_NS;
	if (f->until.of_day)		/* with all that is printed as that time */
		f->until_ns += f->until.step_ns - 1;
}

/* ---- rows ---------------------------------------------------------------- */

bool topic_internal(const char *topic)
{
	return topic && topic[0] == '_' && topic[1] == '_';
}

static bool broker_matches(const struct filter *f, const struct filter_row *row)
{
	for (int i = 0; i < row->nr_brokers; i++)
		if (row->brokers[i] == f->broker)
			return true;
	return false;
}

bool filter_row(const struct filter *f, const struct filter_row *row)
{
	if (f->topic && (!row->topic || strcmp(f->topic, row->topic)))
		return false;
	if (f->client && (!row->client || strcmp(f->client, row->client)))
		return false;
	if (f->has_partition && (!row->has_partition || f->partition != row->partition))
		return false;
	if (f->has_broker && !broker_matches(f, row))
		return false;
	if (f->outcomes && (row->outcome < 0 || !(f->outcomes & 1u << row->outcome)))
		return false;
	if (!f->internal && (row->control || (!f->topic && topic_internal(row->topic))))
		return false;
	return row->begin_ns <= f->until_ns && row->end_ns >= f->since_ns;
}

/* ---- the options --------------------------------------------------------- */

enum { OPT_TOPIC = 0x1000, OPT_PARTITION, OPT_BROKER, OPT_CLIENT, OPT_OUTCOME,
       OPT_SINCE, OPT_UNTIL, OPT_SLOWEST, OPT_INTERNAL };

static const struct argp_option options[] = {
	{ "topic", OPT_TOPIC, "T", 0, "only this topic", 0 },
	{ "partition", OPT_PARTITION, "N", 0, "only this partition", 0 },
	{ "broker", OPT_BROKER, "ID", 0, "only what went to this broker", 0 },
	{ "client", OPT_CLIENT, "ID", 0, "only this client.id", 0 },
	{ "outcome", OPT_OUTCOME, "O[,O]", 0, "only these: acked failed expired purged dropped "
	  "lost open broker-only", 0 },
	{ "since", OPT_SINCE, "T", 0, "from this time on: RFC 3339, 03:04:05.678 as it is printed, or -5m from the end", 0 },
	{ "until", OPT_UNTIL, "T", 0, "up to this time", 0 },
	{ "slowest", OPT_SLOWEST, "N", 0, "the N that took longest", 0 },
	{ "internal", OPT_INTERNAL, NULL, 0, "control batches and Kafka's own topics, too", 0 },
	{ 0 }
};

static int64_t number(struct argp_state *state, const char *option, const char *arg, int64_t min,
		      int64_t max)
{
	char *end;
	long long n;

	errno = 0;
	n = strtoll(arg, &end, 10);
	if (errno || end == arg || *end || n < min || n > max)
		argp_error(state, "--%s takes a number from %lld to %lld, not \"%s\"", option,
			   (long long)min, (long long)max, arg);
	return n;
}

static void time_option(struct argp_state *state, const char *option, const char *arg,
			struct filter_time *t)
{
	if (!filter_time_parse(arg, t))
		argp_error(state, "--%s takes a time like 2026-01-02T03:04:05Z or 03:04:05, or -5m "
			   "(ms s m h d) back from the end, not \"%s\"", option, arg);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct filter *f = state->input;
	const char *bad;
	int len;

	switch (key) {
	case ARGP_KEY_INIT:
		f->since_ns = INT64_MIN;
		f->until_ns = INT64_MAX;
		return 0;
	case OPT_TOPIC:
		f->topic = arg;
		return 0;
	case OPT_CLIENT:
		f->client = arg;
		return 0;
	case OPT_PARTITION:
		f->partition = (int32_t)number(state, "partition", arg, 0, INT32_MAX);
		f->has_partition = true;
		return 0;
	case OPT_BROKER:
		f->broker = (int32_t)number(state, "broker", arg, 0, INT32_MAX);
		f->has_broker = true;
		return 0;
	case OPT_OUTCOME:
		if (!outcome_list(arg, &f->outcomes, &bad, &len))
			argp_error(state, "--outcome: \"%.*s\" is none of acked failed expired purged "
				   "dropped lost open broker-only", len, bad);
		return 0;
	case OPT_SINCE:
		time_option(state, "since", arg, &f->since);
		return 0;
	case OPT_UNTIL:
		time_option(state, "until", arg, &f->until);
		return 0;
	case OPT_SLOWEST:
		f->slowest = (uint32_t)number(state, "slowest", arg, 1, INT32_MAX);
		return 0;
	case OPT_INTERNAL:
		f->internal = true;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

const struct argp filter_argp = { options, parse, NULL, NULL, NULL, NULL, NULL };
