// SPDX-License-Identifier: BSD-2-Clause
/* test_disk.c - acktrail disk: which syncs are on a producer's way, of what its counts are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "capture.h"
#include "make_trail.h"

int cmd_disk(int argc, char **argv);

#define MS 1000000ull
#define T0 1000000000000ull
#define DEV 7u

static struct scratch scratch;
static char *trail;

static void topic_and_file(struct made *m, uint32_t id, const char *name, const char *path, uint32_t role)
{
	struct ev_topic *t = made_event(m, AT_LAST, AT_EV_TOPIC, T0, sizeof(*t), name);
	struct ev_file *f;

	t->topic = id;
	made_commit(m, AT_LAST);
	f = made_event(m, AT_LAST, AT_EV_FILE, T0, sizeof(*f), path);
	f->file = id;
	f->ino = id;
	f->dev = DEV;
	f->role = role;
	f->topic = id;
	f->segment = -1;
	made_commit(m, AT_LAST);
}

/* One append of a batch of that topic. */
static void append(struct made *m, uint64_t ns, uint32_t topic, uint32_t tid)
{
	struct ev_append *e;

	m->pen.tid = tid;
	e = made_event(m, AT_LAST, AT_EV_APPEND, ns, sizeof(*e), "");
	e->begin_ns = ns - MS / 10;
	e->ret = 100;
	e->pid = 9;
	e->file = e->topic = topic;
	e->crc = (uint32_t)ns;
	e->count = 1;
	e->producer_id = -1;
	e->base_sequence = -1;
	made_commit(m, AT_LAST);
}

static void sync_of(struct made *m, uint64_t begin, uint64_t end, uint32_t file, uint32_t tid)
{
	struct ev_sync *e;

	m->pen.tid = tid;
	e = made_event(m, AT_LAST, AT_EV_SYNC, end, sizeof(*e), "");
	e->begin_ns = begin;
	e->dev = DEV;
	e->ino = e->file = file;
	e->pid = 9;
	made_commit(m, AT_LAST);
}

static void sample(struct made *m, uint64_t ns, uint64_t flushes)
{
	struct ev_disk *e = made_event(m, AT_LAST, AT_EV_DISK, ns, sizeof(*e), "");

	e->dev = DEV;
	e->writes = 10 * flushes;
	e->flushes = flushes;
	e->flush_ms = 2 * flushes;
	made_commit(m, AT_LAST);
}

static void flush(struct made *m, uint64_t ns)
{
	struct ev_block *e = made_event(m, AT_LAST, AT_EV_BLOCK, ns, sizeof(*e), "");

	e->issue_ns = ns - 2 * MS;
	e->dev = DEV;
	e->op = AT_OP_FLUSH;
	made_commit(m, AT_LAST);
}

static int setup(void **state)
{
	struct ev_target *target;
	struct ev_device *device;
	struct made m;

	(void)state;
	scratch = scratch_make();
	m = made_open(&scratch, "t", AT_KIND_PROBE);
	target = made_event(&m, AT_LAST, AT_EV_TARGET, T0, sizeof(*target), "given");
	target->pid = 9;
	target->broker = 1;
	made_commit(&m, AT_LAST);
	device = made_event(&m, AT_LAST, AT_EV_DEVICE, T0, sizeof(*device), "sda");
	device->dev = DEV;
	made_commit(&m, AT_LAST);
	topic_and_file(&m, 1, "orders", "/logs/orders-0/00000000000000000000.log", AT_ROLE_SEGMENT);
	topic_and_file(&m, 2, "__cluster_metadata", "/logs/__cluster_metadata-0/00000000000000000000.log", AT_ROLE_SEGMENT);
	topic_and_file(&m, 3, "orders", "/logs/orders-0", AT_ROLE_DIRECTORY);
	sample(&m, T0 + 1 * MS, 100);
	append(&m, T0 + 10 * MS, 1, 50);
	sync_of(&m, T0 + 11 * MS, T0 + 31 * MS, 1, 50);
	append(&m, T0 + 10 * MS, 2, 60);
	sync_of(&m, T0 + 11 * MS, T0 + 41 * MS, 2, 60);
	sync_of(&m, T0 + 3031 * MS, T0 + 3036 * MS, 3, 70);
	for (uint64_t i = 0; i < 4; i++)
		flush(&m, T0 + (14 + i) * MS);
	sample(&m, T0 + 3001 * MS, 104);
	flush(&m, T0 + 3035 * MS);	/* after the last sample */
	trail = strdup(m.dir);
	made_close(&m);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	capture_end_all();
	free(trail);
	scratch_remove(&scratch);
	return 0;
}

static char *disk(const char *option, const char *value)
{
	char *argv[] = { (char *)"disk", trail, (char *)option, (char *)value, NULL };
	struct capture out = capture_begin(STDOUT_FILENO);
	int status = cmd_disk(!option ? 2 : !value ? 3 : 4, argv);
	char *text = capture_end(&out);

	assert_int_equal(status, 0);
	return text;
}

/* "sda  3  1 …": syncs and how many of them on a producer's way. */
static int on_path(char *text)
{
	char *line = strstr(text, "\nsda ");
	int syncs = -1, on = -1;

	assert_non_null(line);
	assert_int_equal(sscanf(line, " sda %d %d", &syncs, &on), 2);
	free(text);
	return on;
}

/* What Kafka appends to its own topics is no producer's batch, unless these are asked for. */
static void test_on_path(void **state)
{
	char *text = disk(NULL, NULL), *metadata;

	(void)state;
	metadata = strstr(text, "__cluster_metadata-0/00000000000000000000.log");
	assert_non_null(metadata);
	assert_int_equal(metadata[strlen("__cluster_metadata-0/00000000000000000000.log")], '\n');
	assert_non_null(strstr(text, "orders-0/00000000000000000000.log  on a batch's way\n"));
	assert_int_equal(on_path(text), 1);
	assert_int_equal(on_path(disk("--internal", NULL)), 2);
	assert_int_equal(on_path(disk("--topic", "__cluster_metadata")), 1);
	text = disk("--format", "ndjson");
	assert_non_null(strstr(text, "\"on_path\":1,"));
	free(text);
}

static void test_directory(void **state)
{
	char *text = disk(NULL, NULL);

	(void)state;
	assert_non_null(strstr(text, "  5.00 ms  orders-0/ (directory)\n"));
	free(text);
	text = disk("--format", "ndjson");
	assert_non_null(strstr(text, "\"path\":\"/logs/orders-0\",\"role\":\"directory\",\"topic\":\"orders\",\"partition\":0"));
	free(text);
}

/* The kernel's counters know what was between two samples, the histogram all that was seen. */
static void test_windows(void **state)
{
	char *text = disk(NULL, NULL), *row;

	(void)state;
	assert_non_null(strstr(text, "  4 flushes in these 3.00 s of samples, which svctm leaves out, took 2.00 ms on average"));
	row = strstr(text, "latency ");
	assert_non_null(row);
	assert_non_null(strstr(row, "before the first sample and after the last, too\n"));
	row = strstr(row, "\n  \xe2\x89\xa4 3.00 ms");
	assert_non_null(row);
	assert_int_equal(strtol(row + strlen("\n  \xe2\x89\xa4 3.00 ms"), NULL, 10), 5);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_on_path, setup, teardown),
		cmocka_unit_test_setup_teardown(test_directory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_windows, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
