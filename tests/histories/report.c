// SPDX-License-Identifier: BSD-2-Clause
/* report.c - what the app knows, one JSON object a line. */
#include <inttypes.h>
#include "history.h"

static void heard(FILE *f, const char *name, const struct heard *h)
{
	fprintf(f, ",\"%s\":{\"times\":%d,\"err\":%d,\"partition\":%d,\"status\":%d,\"named\":%s,\"offset\":%" PRId64
		",\"ns\":%" PRId64 "}", name, h->times, h->err, h->partition, h->status, h->named ? "true" : "false", h->offset,
		h->ns);
}

static void message(FILE *f, const struct msg *m)
{
	fprintf(f, "{\"message\":%u,\"producer\":%d,\"topic\":\"%s\",\"wanted\":%d,\"refused\":%d,"
		"\"begin_ns\":%" PRId64 ",\"end_ns\":%" PRId64 ",\"stamp_ms\":%" PRId64 ",\"order\":%u",
		m->seq, m->p->nr, topic_names[m->topic], m->wanted, m->refused, m->begin_ns, m->end_ns,
		m->stamp_ms, m->order);
	if (m->ack.times)
		heard(f, "ack", &m->ack);
	if (m->call.times)
		heard(f, "call", &m->call);
	fprintf(f, "}\n");
}

void report_write(const struct history *h, const char *path)
{
	static const char *const endings[] = { "flush", "purge", "destroy", "destroy-down", "exit" };
	static const char *const reports[] = { "msg_cb", "old_cb", "event", "none" };
#define TROUBLE(name) #name,
	static const char *const troubles[] = { TROUBLES(TROUBLE) };
#undef TROUBLE
	FILE *f = fopen(path, "w");

	if (!f)
		die(path, "cannot be written");
	fprintf(f, "{\"seed\":%" PRIu64 ",\"ending\":\"%s\",\"brokers\":%d,\"topics\":%d,\"library\":\"%s\","
		"\"recorded\":%s,\"did\":{\"nothing\":0", h->seed, endings[h->ending], h->brokers, h->topics,
		rd_kafka_version_str(), h->recorded ? "true" : "false");
	for (int i = 0; i < NR_TROUBLES; i++)
		fprintf(f, ",\"%s\":%d", troubles[i], h->did[i]);
	fprintf(f, "}}\n");
	for (size_t i = 0; i < h->nr_received; i++)
		fprintf(f, "{\"received\":%d,\"ns\":%" PRId64 "}\n", h->received[i].broker, h->received[i].ns);
	for (int i = 0; i < h->producers; i++) {
		const struct producer *p = &h->p[i];

		fprintf(f, "{\"settings\":%d,\"report\":\"%s\",\"acks\":%d,\"idempotent\":%s,\"intercept\":%s,"
			"\"stamp\":%d,\"threads\":%d,\"text\":\"%s\"}\n", p->nr, reports[p->report], p->acks,
			p->idempotent ? "true" : "false", p->intercept ? "true" : "false", p->stamp, p->threads, p->text);
		for (uint32_t n = 0; n < p->nr_msgs; n++)
			if (p->msgs[n].tried)
				message(f, &p->msgs[n]);
		for (uint32_t n = 0; n < p->nr_sent && n < MAX_SENT; n++)
			fprintf(f, "{\"sent\":%d,\"broker\":%d,\"corr\":%d,\"size\":%" PRIu64 ",\"ns\":%"
				PRId64 "}\n", p->nr, p->sent[n].broker, p->sent[n].corr, p->sent[n].size,
				p->sent[n].ns);
	}
	if (fclose(f))
		die(path, "cannot be written");
}
