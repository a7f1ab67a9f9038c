// SPDX-License-Identifier: BSD-2-Clause
/*
 * make_corpus DIR: what fuzz_wire begins with: requests and responses of every version
 * and kind, each behind the four bytes that fuzz_wire takes for itself.
 */
#include "make_kafka.h"

static void save(const char *dir, const char *name, int n, uint8_t api, uint8_t version,
		 const struct bytes *b)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s-%d-%d", dir, name, version, n);
	f = fopen(path, "w");
	if (!f || fwrite((uint8_t[4]){ 0, (uint8_t)(17 + n * 29), api, version }, 4, 1, f) != 1 ||
	    fwrite(b->p, b->len, 1, f) != 1 || fclose(f)) {
		perror(path);
		exit(1);
	}
}

static void requests(const char *dir, int16_t version)
{
	struct made_request rq = {
		.version = version, .acks = -1, .timeout_ms = 30000, .corr = 7, .client = "rdkafka",
		.topic = "orders", .topics = 1, .partitions = 1, .batches = 1, .body = 20,
	};

	for (int n = 0; n < 3; n++) {
		struct bytes b = { 0 };

		made_other(&b, KAFKA_API_VERSIONS, 3, 1, "rdkafka", 12);
		made_request(&b, &rq);
		save(dir, "request", n, KAFKA_PRODUCE, (uint8_t)version, &b);
		free(b.p);
		if (n)
			rq.transaction = "tx", rq.tags = 2, rq.magic = 1;
		else
			rq.topics = rq.partitions = rq.batches = 2;
	}
}

static void responses(const char *dir, int16_t version)
{
	struct made_response rs = {
		.version = version, .corr = 7, .topic = "orders", .topics = 1, .partitions = 1,
		.throttle_ms = 100,
	};

	for (int n = 0; n < 3; n++) {
		struct bytes b = { 0 };

		made_response(&b, &rs);
		rs.corr++;
		made_response(&b, &rs);
		save(dir, "response", n, KAFKA_PRODUCE, (uint8_t)version, &b);
		free(b.p);
		if (n)
			rs.errors = 2, rs.tags = 2;
		else
			rs.topics = rs.partitions = 2, rs.error = 19;
	}
}

static void metadata(const char *dir, int16_t version)
{
	struct made_metadata md = {
		.version = version, .corr = 7, .topic = "orders", .topics = 2, .partitions = 2, .brokers = 2,
		.replicas = 2,
	};

	for (int n = 0; n < 2; n++) {
		struct bytes b = { 0 };

		made_metadata(&b, &md);
		save(dir, "metadata", n, KAFKA_METADATA, (uint8_t)version, &b);
		free(b.p);
		md.tags = 2, md.no_name = md.no_id = true, md.rack = "rack";
	}
}

int main(int argc, char **argv)
{
	static const uint8_t others[] = { 3, 12, 17, 18, 22, 26, 36 };

	if (argc != 2) {
		fprintf(stderr, "usage: make_corpus DIR\n");
		return 2;
	}
	for (int16_t v = 3; v <= 13; v++) {
		requests(argv[1], v);
		responses(argv[1], v);
	}
	for (int16_t v = KAFKA_METADATA_MIN; v <= KAFKA_METADATA_MAX; v++)
		metadata(argv[1], v);
	for (size_t i = 0; i < sizeof(others); i++)
		for (uint8_t v = 0; v <= 4; v += 2) {
			struct bytes b = { 0 };

			made_other(&b, others[i], v, 7, "rdkafka", 30);
			save(argv[1], "other", (int)i, others[i], v, &b);
			free(b.p);
		}
	struct bytes hello = { 0 };

	put(&hello, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
	save(argv[1], "tls", 0, 0, 0, &hello);
	free(hello.p);
	return 0;
}
