// SPDX-License-Identifier: BSD-2-Clause
/*
 * record.c - which Produce requests the mock cluster received, by its own record.  It came
 * with librdkafka 2.3, so it is looked up: the program is built against an older one, too.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <stdlib.h>
#include "history.h"

struct record;			/* rd_kafka_mock_request_t */

static void *find(const char *name)
{
	return dlsym(RTLD_DEFAULT, name);
}

void record_start(struct history *h)
{
	void (*start)(rd_kafka_mock_cluster_t *);

	*(void **)&start = find("rd_kafka_mock_start_request_tracking");
	h->recorded = start && find("rd_kafka_mock_get_requests");
	if (h->recorded)
		start(h->mock);
}

void record_read(struct history *h)
{
	struct record **(*get)(rd_kafka_mock_cluster_t *, size_t *);
	int32_t (*broker)(struct record *);
	int16_t (*api)(struct record *);
	int64_t (*us)(struct record *);
	struct record **all;
	size_t nr = 0;

	if (!h->recorded)
		return;
	*(void **)&get = find("rd_kafka_mock_get_requests");
	*(void **)&broker = find("rd_kafka_mock_request_id");
	*(void **)&api = find("rd_kafka_mock_request_api_key");
	*(void **)&us = find("rd_kafka_mock_request_timestamp");
	all = get(h->mock, &nr);
	h->received = calloc(nr + 1, sizeof(*h->received));
	for (size_t i = 0; i < nr; i++)
		if (!api(all[i]))		/* Produce is 0 */
			h->received[h->nr_received++] = (struct received){ broker(all[i]), us(all[i]) * 1000 };
}
