/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * app.h - ordinary librdkafka programs that know nothing of acktrail: each scenario
 * prints what happened to it, the same with the shim and without.
 */
#ifndef TESTS_SHIM_APP_H
#define TESTS_SHIM_APP_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdbool.h>
#include <stdint.h>

#define MAX_MESSAGES 400000

/* One producer and what its own delivery callback was told. */
struct client {
	rd_kafka_t *rk;
	rd_kafka_topic_t *topic;
	uint64_t accepted, acked, failed, expired, purged, refused;
	uint64_t wrong;			/* callbacks with another opaque, or for a message twice */
	uint32_t next;			/* message number */
	uint8_t	*seen;			/* by message number */
	bool	 show;			/* print each delivery */
};

#define DIE(...) die(__FILE__, __LINE__, __VA_ARGS__)
void die(const char *file, int line, const char *format, ...)
	__attribute__((noreturn, format(printf, 3, 4)));
#define MUST(what) do { if (!(what)) DIE("%s", #what); } while (0)

/* A producer on a mock cluster of its own; props: "name=value …" separated by blanks. */
void client_open(struct client *c, const char *props);
/* Its delivery callback; the opaque is the client. */
void client_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque);
rd_kafka_conf_t *client_conf(struct client *c, const char *props);
void client_set(rd_kafka_conf_t *conf, const char *props);
void client_start(struct client *c, rd_kafka_conf_t *conf);

/* Produce n messages of 100 bytes; refused ones are counted. */
void client_produce(struct client *c, int n);
int client_produce_one(struct client *c, int flags, size_t size);
/* What a produce call said, for calls that the scenario makes itself. */
void client_count(struct client *c, rd_kafka_resp_err_t err);
void *client_opaque(struct client *c);	/* of the next message */
void client_wait(struct client *c);	/* until every message is resolved */
void client_rtt(struct client *c, int ms);
/* Wait until the topic's leader is known, so that partitioners run in the call. */
void client_metadata(struct client *c);

/* destroy, then the account: what was told of no message was dropped. */
void client_close(struct client *c);
void client_destroy(struct client *c);
/* accepted=… acked=… …; the rest is open, or dropped by destroy. */
void client_report(const struct client *c, bool destroyed);

/* Name of this program, to execute again. */
extern const char *self_path;

struct scenario { const char *name; int (*run)(char **args); };
extern const struct scenario call_scenarios[], told_scenarios[], life_scenarios[], harm_scenarios[], steer_scenarios[];

#endif
