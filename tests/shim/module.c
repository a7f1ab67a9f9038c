// SPDX-License-Identifier: BSD-2-Clause
/* A plug-in that is linked to librdkafka, for app_module, which is not. */
#include <librdkafka/rdkafka.h>
#include <stdio.h>

int module_run(int messages);
int module_begin(int messages);

static rd_kafka_t *left;
static int delivered;

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	(void)rk, (void)opaque;
	delivered += !m->err;
}

/* A producer that is left to our destructor. */
int module_begin(int messages)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *rk;
	char why[512];

	delivered = 0;
	rd_kafka_conf_set(conf, "test.mock.num.brokers", "1", NULL, 0);
	rd_kafka_conf_set(conf, "log_level", "3", NULL, 0);
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	if (!rk)
		return -1;
	for (int i = 0; i < messages; i++)
		rd_kafka_producev(rk, RD_KAFKA_V_TOPIC("orders"), RD_KAFKA_V_PARTITION(0),
				  RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_VALUE("v", 1),
				  RD_KAFKA_V_END);
	left = rk;
	return 0;
}

static void end(void)
{
	rd_kafka_flush(left, 10000);
	rd_kafka_destroy(left);
	left = NULL;
}

int module_run(int messages)
{
	if (module_begin(messages))
		return -1;
	end();
	return delivered;
}

__attribute__((destructor)) static void unloaded(void)
{
	if (!left)
		return;
	end();
	printf("delivered %d at the end\n", delivered);
}
