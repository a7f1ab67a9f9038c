// SPDX-License-Identifier: BSD-2-Clause
/*
 * self.c - what a trail says of itself: its events and their fields in words, and
 * the process that writes it.  Of the command line no argument that smells of a secret.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "writer_int.h"

#define ROUND(x) (((uint64_t)(x) + AT_PAGE - 1) & ~(uint64_t)(AT_PAGE - 1))

/* ---- the self-description ------------------------------------------------ */

#define SCHEMA_LINE(NAME, name, nr, when, fields, tail) \
	{ nr, sizeof(struct ev_##name), #name, fields "", tail },

static const struct { uint32_t nr, bytes; const char *name, *fields, *tail; } schema[] = {
	AT_EVENTS(SCHEMA_LINE, AT_SCHEMA_FIELD)
};

size_t at_schema_text(char *out, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < sizeof(schema) / sizeof(schema[0]); i++) {
		int n = snprintf(out ? out + len : NULL, out ? size - len : 0,
				 "%u %s %u%s%s%s\n", schema[i].nr, schema[i].name,
				 schema[i].bytes, schema[i].fields,
				 AT_SCHEMA_TAIL(schema[i].tail), schema[i].tail);
		len += (size_t)n;
	}
	return len;
}

/* ---- what the header says of this process -------------------------------- */

ssize_t at_read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	close(fd);
	buf[n > 0 ? n : 0] = 0;
	return n;
}

static bool smells_of_secret(const char *word)
{
	static const char *const smells[] = {
		"password", "passwd", "secret", "token", "jaas", "credential", "apikey", "api_key", "api-key",
		"pwd", "sasl.username", "private",
	};

	for (size_t i = 0; i < sizeof(smells) / sizeof(smells[0]); i++)
		if (strcasestr(word, smells[i]))
			return true;
	return false;
}

/* Arguments joined by spaces; what follows a word that smells of a secret is masked. */
static void fill_cmdline(char *out, size_t size)
{
	char raw[4096];
	ssize_t n = at_read_file("/proc/self/cmdline", raw, sizeof(raw));
	bool mask_next = false;
	size_t len = 0;

	for (ssize_t i = 0; i < n && len + 8 < size; ) {
		char *word = raw + i;
		size_t word_len = strlen(word), room = size - len - 1;
		char *cut = smells_of_secret(word) ? strpbrk(word, "=:") : NULL;
		int put;

		if (mask_next)
			put = snprintf(out + len, room, "***");
		else if (cut)
			put = snprintf(out + len, room, "%.*s***", (int)(cut - word + 1), word);
		else
			put = snprintf(out + len, room, "%s", word);
		mask_next = !mask_next && !cut && smells_of_secret(word);
		len += (size_t)put < room ? (size_t)put : room - 1;
		i += (ssize_t)word_len + 1;
		if (i < n)
			out[len++] = ' ';
	}
	out[len] = 0;
}

uint64_t at_number(const char *p)
{
	uint64_t n = 0;

	while (*p == ' ' || *p == '\t')
		p++;
	while (*p >= '0' && *p <= '9')
		n = n * 10 + (uint64_t)(*p++ - '0');
	return n;
}

uint64_t at_start_ticks(void)
{
	char buf[1024], *p;
	uint64_t ticks = 0;

	if (at_read_file("/proc/self/stat", buf, sizeof(buf)) <= 0)
		return 0;
	p = strrchr(buf, ')');		/* the command may hold spaces */
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (p)
		ticks = at_number(p + 1);
	return ticks;
}

/* timens_offsets lists "monotonic SEC NSEC"; absent before Linux 5.5. */
static int64_t timens_mono(void)
{
	char buf[256], *p;

	if (at_read_file("/proc/self/timens_offsets", buf, sizeof(buf)) <= 0)
		return 0;
	p = strstr(buf, "monotonic");
	if (!p)
		return 0;
	p += strlen("monotonic");
	p += strspn(p, " \t");
	bool behind = *p == '-';
	int64_t sec = (int64_t)at_number(p + behind);

	p += behind;
	p += strspn(p, "0123456789");
	return (behind ? -sec : sec) * 1000000000 + (int64_t)at_number(p);
}

/* NSpid lists this process from the outermost namespace that /proc shows. */
static uint32_t pid_outermost(void)
{
	char buf[4096], *p;

	if (at_read_file("/proc/self/status", buf, sizeof(buf)) <= 0)
		return 0;
	p = strstr(buf, "\nNSpid:");
	return p ? (uint32_t)at_number(p + 7) : 0;
}

/* The link reads "pid:[4026531836]". */
static uint64_t pid_namespace(void)
{
	char name[64];
	ssize_t n = readlink("/proc/self/ns/pid", name, sizeof(name) - 1);

	name[n > 0 ? n : 0] = 0;
	return n > 5 ? at_number(name + 5) : 0;
}

uint64_t at_front_bytes(uint64_t schema_len)
{
	return 2 * AT_PAGE + ROUND(sizeof(struct at_account_page)) + ROUND(schema_len) +
	       ROUND(sizeof(struct at_more_page));
}

void at_fill_header(struct at_writer *w, const struct at_writer_conf *conf,
		    uint64_t size, uint64_t schema_len)
{
	struct at_header *h = w->header;
	struct timespec real;
	char buf[64];

	h->version = AT_VERSION;
	h->min_reader = AT_MIN_READER;
	h->byte_order = AT_BYTE_ORDER;
	if (syscall(SYS_getrandom, h->uuid, sizeof(h->uuid), 1 /* GRND_NONBLOCK */) != sizeof(h->uuid))
		memcpy(h->uuid, &(uint64_t){ at_now() }, 8);
	h->header_size = sizeof(*h);
	h->chunk_size = AT_CHUNK_SIZE;
	h->clock_off = AT_PAGE;
	h->account_off = 2 * AT_PAGE;
	h->schema_off = h->account_off + ROUND(sizeof(struct at_account_page));
	h->schema_len = schema_len;
	h->more_off = h->schema_off + ROUND(schema_len);
	h->chunk_off = at_front_bytes(schema_len);
	h->nr_bulk = (uint32_t)((size - h->chunk_off) / AT_CHUNK_SIZE);
	h->nr_last = h->nr_bulk / 4 ? h->nr_bulk / 4 : 1;
	h->nr_bulk -= h->nr_last;
	h->file_size = size;
	h->kind = conf->kind;
	h->flags = conf->flags;
	if (h->kind == AT_KIND_SHIM)
		h->control = h->obeys = w->dormant ? AT_CONTROL_OFF : AT_CONTROL_ON;
	h->pid = (uint32_t)getpid();
	h->uid = (uint32_t)geteuid();
	h->pid_host = pid_outermost();
	h->pid_ns = pid_namespace();
	h->start_ticks = at_start_ticks();
	h->timens_mono_ns = timens_mono();
	h->created_mono_ns = at_now();
	clock_gettime(CLOCK_REALTIME, &real);
	h->created_real_ns = (uint64_t)real.tv_sec * 1000000000u + (uint64_t)real.tv_nsec;
	if (at_read_file("/proc/sys/kernel/random/boot_id", buf, sizeof(buf)) >= 36)
		memcpy(h->boot_id, buf, 36);
	gethostname(h->host, sizeof(h->host) - 1);
	if (at_read_file("/proc/self/comm", buf, sizeof(buf)) > 0) {
		buf[strcspn(buf, "\n")] = 0;
		snprintf(h->comm, sizeof(h->comm), "%.15s", buf);
	}
	snprintf(h->writer, sizeof(h->writer), "acktrail %s", ACKTRAIL_VERSION);
	fill_cmdline(h->cmdline, sizeof(h->cmdline));
}
