/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * requests.h - every Kafka request that a client wrote, whatever its API: events in,
 * one row a request out, in the order of sending.
 *
 * A row comes out as soon as it and all before it are answered or given up.
 */
#ifndef ACKTRAIL_REQUESTS_H
#define ACKTRAIL_REQUESTS_H

#include <stdbool.h>
#include <stdint.h>
#include "reader.h"

enum request_end {
	REQUEST_OPEN,			/* no evidence of its end */
	REQUEST_ANSWERED,
	REQUEST_TIMED_OUT,		/* the library gave up waiting */
	REQUEST_UNSENT,			/* the library gave it up before it was written (again) */
	REQUEST_CLOSED,			/* its connection ended first */
	REQUEST_NO_ANSWER,		/* Produce with acks=0: nobody answers */
	NR_REQUEST_ENDS
};
extern const char *const request_end_names[NR_REQUEST_ENDS];

struct request {
	const char *client_id, *topic;	/* NULL unknown; topic of the first batch */
	const struct trail *trail;
	uint32_t inst, conn, corr, size, answer_size, batches;
	int32_t	 broker;		/* -1 unknown */
	uint64_t peer_hi, peer_lo;
	uint32_t peer_port;		/* 0 unknown */
	int16_t	 api, version;		/* version -1 unknown */
	int32_t	 partition, throttle_ms;
	bool	 has_corr;
	int64_t	 sent_ns;		/* 0: never written */
	int64_t	 end_ns;		/* answered, given up, closed; 0 open */
	enum request_end end;
	int16_t	 error;			/* the broker's */
	int32_t	 lib_error;		/* librdkafka's */
};

struct requests;
struct requests *requests_new(void (*row)(void *arg, const struct request *r), void *arg);
void requests_event(struct requests *rs, const struct event *ev);
void requests_end(struct requests *rs);		/* what is open comes out, too */
void requests_free(struct requests *rs);

/* "ApiVersions"; NULL unknown */
const char *kafka_api_name(int16_t api);

#endif
