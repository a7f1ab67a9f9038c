/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "address.h"
#include "requests.h"
#include "requests_view.h"
#include "span.h"

struct show {
	struct joined *c;
	struct out *o;
	struct request *top;		/* the slowest, slowest first */
	uint32_t max, nr;
	uint64_t told;
	bool	 colour;
};

static int64_t length(const struct request *r)
{
	return r->end_ns && r->sent_ns ? r->end_ns - r->sent_ns : 0;
}

static void request_json(struct out *o, const struct request *r)
{
	char peer[ADDRESS_TEXT];
	const char *name = kafka_api_name(r->api);

	out_begin(o);
	out_object(o, "request");
	out_text(o, "api", name);
	out_s64(o, "api_key", r->api);
	if (r->version >= 0)
		out_s64(o, "version", r->version);
	if (r->has_corr)
		out_u64(o, "corr_id", r->corr);
	out_text(o, "client_id", r->client_id);
	out_u64(o, "pid", r->trail->header.pid);
	out_text(o, "host", r->trail->header.host);
	if (r->inst)
		out_u64(o, "instance", r->inst);
	if (r->conn)
		out_u64(o, "conn", r->conn);
	if (r->broker >= 0)
		out_s64(o, "broker", r->broker);
	if (*address_text(peer, r->peer_hi, r->peer_lo, r->peer_port))
		out_text(o, "peer", peer);
	if (r->topic) {
		out_text(o, "topic", r->topic);
		out_s64(o, "partition", r->partition);
	}
	if (r->size)
		out_u64(o, "size", r->size);
	if (r->end != REQUEST_UNSENT)
		out_s64(o, "sent_ns", r->sent_ns);
	out_text(o, "end", request_end_names[r->end]);
	if (r->end == REQUEST_ANSWERED) {
		out_s64(o, "answered_ns", r->end_ns);
		out_s64(o, "round_trip_ns", length(r));
		out_u64(o, "answer_size", r->answer_size);
		out_s64(o, "error_code", r->error);
		if (r->error)
			out_text(o, "error", tl_error_name(r->error));
		if (r->throttle_ms > 0)
			out_s64(o, "throttle_ms", r->throttle_ms);
	} else if (r->end_ns && r->end != REQUEST_NO_ANSWER) {
		out_s64(o, "ended_ns", r->end_ns);
	}
	if (r->lib_error)
		out_text(o, "library_error", tl_err_name(r->lib_error));
	out_end(o);
	out_end(o);
}

static void request_text(const struct request *r, bool colour)
{
	char when[24], t[40], size[16] = "", to[ADDRESS_TEXT], corr[16] = "", api[40], end[120];
	const char *name = kafka_api_name(r->api), *red = "", *off = "";

	if (name)
		snprintf(api, sizeof(api), "%s", name);
	else
		snprintf(api, sizeof(api), "API %d", r->api);
	if (r->version >= 0)
		snprintf(api + strlen(api), sizeof(api) - strlen(api), " v%d", r->version);
	if (r->has_corr)
		snprintf(corr, sizeof(corr), "#%u", r->corr);
	if (r->size)
		snprintf(size, sizeof(size), "%u B", r->size);
	if (r->broker >= 0)
		snprintf(to, sizeof(to), "broker %d", r->broker);
	else
		address_text(to, r->peer_hi, r->peer_lo, r->peer_port);
	switch (r->end) {
	case REQUEST_ANSWERED:
		snprintf(end, sizeof(end), "%s", span_column(t, sizeof(t), length(r), 9));
		break;
	case REQUEST_TIMED_OUT:
		snprintf(end, sizeof(end), "timed out after %s", span_text(t, sizeof(t), length(r)));
		break;
	case REQUEST_UNSENT:
		snprintf(end, sizeof(end), "given up before it was written");
		break;
	case REQUEST_CLOSED:
		snprintf(end, sizeof(end), "connection closed after %s", span_text(t, sizeof(t), length(r)));
		break;
	case REQUEST_NO_ANSWER:
		snprintf(end, sizeof(end), "no answer asked for");
		break;
	default:
		snprintf(end, sizeof(end), "not answered so far");
	}
	if (r->error)
		snprintf(end + strlen(end), sizeof(end) - strlen(end), "  error %d %s", r->error,
			 tl_error_name(r->error) ? tl_error_name(r->error) : "");
	if (r->throttle_ms > 0)
		snprintf(end + strlen(end), sizeof(end) - strlen(end), "  throttled %d ms", r->throttle_ms);
	if (r->lib_error)
		snprintf(end + strlen(end), sizeof(end) - strlen(end), "  (%s)",
			 tl_err_name(r->lib_error) ? tl_err_name(r->lib_error) : "library error");
	if (colour && (r->error || (r->end != REQUEST_ANSWERED && r->end != REQUEST_NO_ANSWER))) {
		red = "\033[31m";
		off = "\033[0m";
	}
	printf("%s  %-22s %7s %9s  %-10s %s%s%s\n", clock_text(when, sizeof(when), r->sent_ns), api, corr,
	       size, to, red, end, off);
}

static void put(struct show *s, const struct request *r)
{
	if (s->c->format == FORMAT_NDJSON)
		request_json(s->o, r);
	else
		request_text(r, s->colour);
}

static void keep(struct show *s, const struct request *r)
{
	uint32_t i = s->nr;

	if (s->nr == s->max) {
		if (length(&s->top[s->max - 1]) >= length(r))
			return;
		i--;
	} else {
		s->nr++;
	}
	for (; i && length(&s->top[i - 1]) < length(r); i--)
		s->top[i] = s->top[i - 1];
	s->top[i] = *r;
}

static void row(void *arg, const struct request *r)
{
	struct show *s = arg;
	struct filter f = s->c->filter;
	struct filter_row like = {
		.topic = r->topic, .client = r->client_id, .has_partition = r->topic != NULL,
		.partition = r->partition, .brokers = &r->broker, .nr_brokers = r->broker >= 0, .outcome = -1,
		.begin_ns = r->sent_ns, .end_ns = r->end_ns ? r->end_ns : r->sent_ns,
	};

	f.outcomes = 0;			/* a batch's, not a request's */
	if (!filter_row(&f, &like))
		return;
	s->told++;
	if (s->top)
		keep(s, r);
	else
		put(s, r);
}

uint64_t requests_show(struct joined *c, struct out *o, bool colour)
{
	struct show s = { .c = c, .o = o, .colour = colour, .max = c->filter.slowest };
	struct requests *rs = requests_new(row, &s);
	struct event ev;

	if (s.max)
		s.top = calloc(s.max, sizeof(*s.top));
	while (reader_next(c->reader, &ev))
		requests_event(rs, &ev);
	requests_end(rs);
	for (uint32_t i = 0; i < s.nr; i++)
		put(&s, &s.top[i]);
	requests_free(rs);
	free(s.top);
	reader_rewind(c->reader);
	return s.told;
}
