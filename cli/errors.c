/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * errors.c - names of librdkafka's and Kafka's errors, as their own headers spell them.
 */
#include <stddef.h>
#include "join.h"

struct name { int32_t code; const char *name; };

static const struct name library[] = {
	{ -199, "_BAD_COMPRESSION" }, { -198, "_BAD_MSG" }, { -197, "_DESTROY" }, { -196, "_FAIL" },
	{ -195, "_TRANSPORT" }, { -194, "_CRIT_SYS_RESOURCE" }, { -193, "_RESOLVE" },
	{ -192, "_MSG_TIMED_OUT" }, { -190, "_UNKNOWN_PARTITION" }, { -188, "_UNKNOWN_TOPIC" },
	{ -187, "_ALL_BROKERS_DOWN" }, { -186, "_INVALID_ARG" }, { -185, "_TIMED_OUT" },
	{ -184, "_QUEUE_FULL" }, { -181, "_SSL" }, { -177, "_MSG_INCONSISTENT" },
	{ -173, "_CONFLICT" }, { -172, "_STATE" }, { -169, "_AUTHENTICATION" }, { -166, "_TIMED_OUT_QUEUE" }, { -152, "_PURGE_QUEUE" },
	{ -151, "_PURGE_INFLIGHT" }, { -150, "_FATAL" }, { -149, "_INCONSISTENT" },
	{ -148, "_GAPLESS_GUARANTEE" }, { -144, "_FENCED" }, { -138, "_INVALID_TYPE" },
};

static const struct name broker[] = {
	{ -1, "UNKNOWN_SERVER_ERROR" }, { 2, "CORRUPT_MESSAGE" }, { 3, "UNKNOWN_TOPIC_OR_PARTITION" },
	{ 5, "LEADER_NOT_AVAILABLE" }, { 6, "NOT_LEADER_OR_FOLLOWER" }, { 7, "REQUEST_TIMED_OUT" },
	{ 8, "BROKER_NOT_AVAILABLE" }, { 9, "REPLICA_NOT_AVAILABLE" }, { 10, "MESSAGE_TOO_LARGE" },
	{ 13, "NETWORK_EXCEPTION" }, { 14, "COORDINATOR_LOAD_IN_PROGRESS" }, { 15, "COORDINATOR_NOT_AVAILABLE" },
	{ 16, "NOT_COORDINATOR" }, { 17, "INVALID_TOPIC_EXCEPTION" }, { 18, "RECORD_LIST_TOO_LARGE" },
	{ 19, "NOT_ENOUGH_REPLICAS" }, { 20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND" },
	{ 21, "INVALID_REQUIRED_ACKS" }, { 29, "TOPIC_AUTHORIZATION_FAILED" },
	{ 31, "CLUSTER_AUTHORIZATION_FAILED" }, { 32, "INVALID_TIMESTAMP" },
	{ 33, "UNSUPPORTED_SASL_MECHANISM" }, { 34, "ILLEGAL_SASL_STATE" }, { 35, "UNSUPPORTED_VERSION" },
	{ 41, "NOT_CONTROLLER" }, { 42, "INVALID_REQUEST" }, { 44, "POLICY_VIOLATION" },
	{ 45, "OUT_OF_ORDER_SEQUENCE_NUMBER" }, { 46, "DUPLICATE_SEQUENCE_NUMBER" },
	{ 47, "INVALID_PRODUCER_EPOCH" }, { 48, "INVALID_TXN_STATE" }, { 49, "INVALID_PRODUCER_ID_MAPPING" },
	{ 51, "CONCURRENT_TRANSACTIONS" }, { 53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED" }, { 56, "KAFKA_STORAGE_ERROR" },
	{ 58, "SASL_AUTHENTICATION_FAILED" }, { 59, "UNKNOWN_PRODUCER_ID" },
	{ 74, "FENCED_LEADER_EPOCH" }, { 76, "UNSUPPORTED_COMPRESSION_TYPE" }, { 87, "INVALID_RECORD" },
	{ 89, "THROTTLING_QUOTA_EXCEEDED" }, { 90, "PRODUCER_FENCED" }, { 100, "UNKNOWN_TOPIC_ID" },
};

static const char *find(const struct name *names, size_t nr, int32_t code)
{
	for (size_t i = 0; i < nr; i++)
		if (names[i].code == code)
			return names[i].name;
	return NULL;
}

const char *tl_error_name(int16_t code)
{
	return find(broker, sizeof(broker) / sizeof(*broker), code);
}

/* librdkafka passes the broker's own codes through as they are. */
const char *tl_err_name(int32_t err)
{
	const char *name = find(library, sizeof(library) / sizeof(*library), err);

	return name || err < -1 ? name : tl_error_name((int16_t)err);
}
