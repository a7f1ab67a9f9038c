// SPDX-License-Identifier: BSD-2-Clause
/*
 * log_names.c - what Kafka's names of directories and files in a log directory mean.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "inner.h"

/* Kafka writes a UUID as base64 for URLs, without padding: 22 characters. */
static bool uuid_parse(const char *text, uint64_t *hi, uint64_t *lo)
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned __int128 v = 0;

	for (int i = 0; i < 22; i++) {
		const char *c = text[i] ? strchr(set, text[i]) : NULL;

		if (!c)
			return false;
		if (i < 21)
			v = v << 6 | (unsigned)(c - set);
		else
			v = v << 2 | (unsigned)(c - set) >> 4;
	}
	*hi = (uint64_t)(v >> 64);
	*lo = (uint64_t)v;
	return true;
}

bool log_topic_id(const char *dir, const char *partition, uint64_t *hi, uint64_t *lo)
{
	char path[2048], line[256];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s/partition.metadata", dir, partition);
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f))
		found = !strncmp(line, "topic_id: ", 10) && uuid_parse(line + 10, hi, lo);
	if (f)
		fclose(f);
	return found;
}

/* A directory on its way out carries ".<32 hex>-delete". */
bool log_partition(const char *dir, char topic[256], int32_t *partition, bool *passing)
{
	static const char *const ways[] = { "-delete", "-future", "-stray" };
	size_t len = strlen(dir);
	char *dash, *end;

	*passing = false;
	if (!len || len > 255)
		return false;
	memcpy(topic, dir, len + 1);
	for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		size_t way = strlen(ways[i]);
		char *dot;

		if (len <= way || strcmp(topic + len - way, ways[i]))
			continue;
		*passing = true;
		topic[len - way] = 0;
		dot = strrchr(topic, '.');
		if (dot && strlen(dot) == 33)
			*dot = 0;
		break;
	}
	dash = strrchr(topic, '-');
	if (!dash || dash == topic || !isdigit((unsigned char)dash[1]))
		return false;
	*partition = (int32_t)strtol(dash + 1, &end, 10);
	if (*end)
		return false;
	*dash = 0;
	return true;
}

static bool ends(const char *name, const char *end)
{
	size_t n = strlen(name), e = strlen(end);

	return n >= e && !strcmp(name + n - e, end);
}

enum at_role log_role(const char *name)
{
	if (ends(name, ".log"))
		return AT_ROLE_SEGMENT;
	if (ends(name, ".timeindex"))
		return AT_ROLE_TIMEINDEX;
	if (ends(name, ".index"))
		return AT_ROLE_INDEX;
	if (ends(name, ".txnindex"))
		return AT_ROLE_TXNINDEX;
	if (ends(name, ".snapshot"))
		return AT_ROLE_SNAPSHOT;
	if (strstr(name, "checkpoint"))
		return AT_ROLE_CHECKPOINT;
	if (ends(name, ".cleaned") || ends(name, ".swap") || ends(name, ".deleted"))
		return AT_ROLE_PASSING;
	return AT_ROLE_OTHER;
}

int64_t log_segment(const char *name)
{
	int64_t v = 0;

	for (int i = 0; i < 20; i++) {
		if (!isdigit((unsigned char)name[i]))
			return -1;
		v = v * 10 + (name[i] - '0');
	}
	return name[20] == '.' ? v : -1;
}
