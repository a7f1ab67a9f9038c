// SPDX-License-Identifier: BSD-2-Clause
/* app SCENARIO [ARG…]: see app.h. */
#include "app.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *self_path;

void die(const char *file, int line, const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "app: %s:%d: ", file, line);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	_exit(99);
}

/* ---- one producer -------------------------------------------------------- */

void client_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	struct client *c = opaque;
	uintptr_t n = (uintptr_t)m->_private;

	if (rk != c->rk || !n || n > MAX_MESSAGES || c->seen[n]++) {
		c->wrong++;
		return;
	}
	switch (m->err) {
	case RD_KAFKA_RESP_ERR_NO_ERROR: c->acked++; break;
	case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT: c->expired++; break;
	case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
	case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT: c->purged++; break;
	default: c->failed++; break;
	}
	if (c->show) {
		rd_kafka_headers_t *headers = NULL;
		size_t nr = 0;

		if (!rd_kafka_message_headers(m, &headers))
			nr = rd_kafka_header_cnt(headers);
		printf("delivered %" PRIuPTR " %s-%d %s len=%zu key=%.*s headers=%zu\n", n,
		       rd_kafka_topic_name(m->rkt), m->partition, rd_kafka_err2name(m->err), m->len,
		       (int)m->key_len, m->key_len ? (const char *)m->key : "", nr);
	}
}

void client_set(rd_kafka_conf_t *conf, const char *props)
{
	char *copy = strdup(props), *rest = copy, *word, why[256];

	while ((word = strsep(&rest, " "))) {
		char *value = strchr(word, '=');

		if (!value)
			continue;
		*value++ = 0;
		if (rd_kafka_conf_set(conf, word, value, why, sizeof(why)))
			DIE("%s", why);
	}
	free(copy);
}

rd_kafka_conf_t *client_conf(struct client *c, const char *props)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	memset(c, 0, sizeof(*c));
	MUST(c->seen = calloc(MAX_MESSAGES + 1, 1));
	client_set(conf, "test.mock.num.brokers=1 log_level=3");
	client_set(conf, props);
	rd_kafka_conf_set_dr_msg_cb(conf, client_delivery);
	rd_kafka_conf_set_opaque(conf, c);
	return conf;
}

void client_start(struct client *c, rd_kafka_conf_t *conf)
{
	char why[512];

	c->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	if (!c->rk)
		DIE("rd_kafka_new: %s", why);
	MUST(c->topic = rd_kafka_topic_new(c->rk, "orders", NULL));
}

void client_open(struct client *c, const char *props)
{
	client_start(c, client_conf(c, props));
}

void *client_opaque(struct client *c)
{
	MUST(c->next < MAX_MESSAGES);
	return (void *)(uintptr_t)++c->next;
}

void client_count(struct client *c, rd_kafka_resp_err_t err)
{
	if (err)
		c->refused++;
	else
		c->accepted++;
}

int client_produce_one(struct client *c, int flags, size_t size)
{
	char *payload = calloc(1, size);
	int r;

	snprintf(payload, size, "%u", c->next + 1);
	errno = 0;
	r = rd_kafka_produce(c->topic, 0, RD_KAFKA_MSG_F_COPY | flags, payload, size, NULL, 0,
			     client_opaque(c));
	if (r)
		c->refused++;
	else
		c->accepted++;
	free(payload);
	return r;
}

void client_produce(struct client *c, int n)
{
	while (n--)
		client_produce_one(c, 0, 100);
}

void client_wait(struct client *c)
{
	while (rd_kafka_outq_len(c->rk) > 0)
		rd_kafka_poll(c->rk, 50);
}

void client_rtt(struct client *c, int ms)
{
	rd_kafka_mock_broker_set_rtt(rd_kafka_handle_mock_cluster(c->rk), 1, ms);
}

void client_metadata(struct client *c)
{
	const struct rd_kafka_metadata *md;

	for (;;) {
		if (!rd_kafka_metadata(c->rk, 0, c->topic, &md, 5000)) {
			bool known = md->topic_cnt == 1 && md->topics[0].partition_cnt > 0 && !md->topics[0].err;

			rd_kafka_metadata_destroy(md);
			if (known)
				return;
		}
	}
}

void client_destroy(struct client *c)
{
	rd_kafka_topic_destroy(c->topic);
	rd_kafka_destroy(c->rk);
}

void client_report(const struct client *c, bool destroyed)
{
	uint64_t rest = c->accepted - c->acked - c->failed - c->expired - c->purged;

	if (c->wrong)
		printf("WRONG callbacks: %" PRIu64 "\n", c->wrong);
	printf("account accepted=%" PRIu64 " acked=%" PRIu64 " failed=%" PRIu64 " expired=%" PRIu64
	       " purged=%" PRIu64 " dropped=%" PRIu64 " open=%" PRIu64 " refused=%" PRIu64 "\n",
	       c->accepted, c->acked, c->failed, c->expired, c->purged, destroyed ? rest : 0,
	       destroyed ? 0 : rest, c->refused);
	fflush(stdout);
}

void client_close(struct client *c)
{
	client_destroy(c);
	client_report(c, true);
	free(c->seen);
}

/* ---- the scenarios ------------------------------------------------------- */

static const struct scenario *const all[] = {
	call_scenarios, told_scenarios, life_scenarios, harm_scenarios, steer_scenarios,
};

int main(int argc, char **argv)
{
	self_path = argv[0];
	for (size_t i = 0; argc > 1 && i < sizeof(all) / sizeof(*all); i++)
		for (const struct scenario *s = all[i]; s->name; s++)
			if (!strcmp(s->name, argv[1]))
				return s->run(argv + 2);
	fprintf(stderr, "usage: app SCENARIO [ARG…]\n");
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		for (const struct scenario *s = all[i]; s->name; s++)
			fprintf(stderr, "  %s\n", s->name);
	return 2;
}
