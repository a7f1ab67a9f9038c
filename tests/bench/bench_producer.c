// SPDX-License-Identifier: BSD-2-Clause
/*
 * bench_producer MESSAGES [COMMAND]: as fast as it can, 100-byte messages to a mock cluster in this
 * process.  Prints ns of CPU a message (user and system, all threads, the mock's too) and
 * messages a second, from the first message after a warm-up to the last delivery report.
 * The command is run behind the warm-up and must succeed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#define WARM_UP 2000

static long delivered, failed;

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	(void)rk, (void)opaque;
	delivered++;
	failed += m->err != 0;
}

static double cpu_ns(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e9 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e3;
}

static double wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void produce(rd_kafka_t *rk, rd_kafka_topic_t *topic, long n)
{
	char payload[100] = "";

	while (n) {
		if (!rd_kafka_produce(topic, 0, RD_KAFKA_MSG_F_COPY, payload, sizeof(payload), NULL, 0, NULL))
			n--;
		else
			rd_kafka_poll(rk, 10);		/* the queue is full */
		if (n % 64 == 0)
			rd_kafka_poll(rk, 0);
	}
	while (rd_kafka_outq_len(rk))
		rd_kafka_poll(rk, 10);
}

int main(int argc, char **argv)
{
	long n = argc == 2 || argc == 3 ? atol(argv[1]) : 0;
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_topic_t *topic;
	rd_kafka_t *rk;
	char why[512];
	double cpu, wall;

	if (n < 1) {
		fprintf(stderr, "usage: bench_producer MESSAGES [COMMAND]\n");
		return 2;
	}
	rd_kafka_conf_set(conf, "test.mock.num.brokers", "1", NULL, 0);
	rd_kafka_conf_set(conf, "log_level", "3", NULL, 0);
	rd_kafka_conf_set(conf, "queue.buffering.max.messages", "100000", NULL, 0);
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	if (!rk) {
		fprintf(stderr, "bench_producer: %s\n", why);
		return 1;
	}
	topic = rd_kafka_topic_new(rk, "bench", NULL);
	produce(rk, topic, WARM_UP);
	if (argc == 3 && system(argv[2])) {
		fprintf(stderr, "bench_producer: %s failed\n", argv[2]);
		return 1;
	}
	cpu = cpu_ns();
	wall = wall_ns();
	produce(rk, topic, n);
	cpu = cpu_ns() - cpu;
	wall = wall_ns() - wall;
	printf("%.3f %.0f\n", cpu / (double)n, (double)n * 1e9 / wall);
	rd_kafka_topic_destroy(topic);
	rd_kafka_destroy(rk);
	return delivered == n + WARM_UP && !failed ? 0 : 1;
}
