/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dump.c - acktrail dump: every event as it was witnessed, nothing joined.
 *
 * Fields are printed from the description that the trail carries, so that events
 * and fields of a newer writer are shown as well.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "out.h"
#include "reader.h"
#include "say.h"
#include "schema.h"
#include "tally.h"

struct args {
	enum format format;
	char	**paths;
	int	 nr_paths;
};

static const struct argp_option options[] = {
	{ "format", 'f', "FORMAT", 0, "text (default) or ndjson", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *args = state->input;

	switch (key) {
	case 'f':
		args->format = format_arg(state, arg);
		return 0;
	case ARGP_KEY_ARGS:
		args->paths = state->argv + state->next;
		args->nr_paths = state->argc - state->next;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which TRAIL?");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	options, parse, "TRAIL…",
	"Print the raw events of trails, nothing joined.\v"
	"In text the first column is the time on the common axis; fields are as written. In ndjson "
	"\"ns\" and all fields are as written (the clock of that trail); \"axis_ns\" is ns on the common "
	"axis, and \"to_axis_ns\" of the trail's own line is what to add to the others.",
	NULL, NULL, NULL
};

/* ---- shared -------------------------------------------------------------- */

static const char *state_name(const struct trail *t)
{
	if (t->live)
		return "live";
	if (t->gone)
		return "killed";
	switch (t->header.state) {
	case AT_EXITED: return "exited";
	case AT_EXECED: return "execed";
	case AT_SAVED: return "saved";
	default: return "open";
	}
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n > m && !strcmp(s + n - m, end);
}

/* peer_hi and peer_lo in a row are an address, uuid_hi and uuid_lo an id. */
static bool is_pair(const struct schema_event *e, uint32_t i)
{
	return i + 1 < e->nr_fields && ends_with(e->field[i].name, "_hi") &&
	       ends_with(e->field[i + 1].name, "_lo") && e->field[i].size == 8 &&
	       e->field[i + 1].size == 8;
}

/* A pair of 64-bit numbers as bytes, the highest of hi first. */
static void pair_bytes(uint8_t bytes[16], const uint8_t *pair)
{
	uint64_t half[2];

	memcpy(half, pair, sizeof(half));
	for (int i = 0; i < 16; i++)
		bytes[i] = (uint8_t)(half[i / 8] >> (56 - 8 * (i % 8)));
}

/* IPv6, or IPv4 when mapped. */
static const char *address(char buf[INET6_ADDRSTRLEN], const uint8_t *pair)
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
	uint8_t halves[16];

	pair_bytes(halves, pair);
	if (!memcmp(halves, mapped, sizeof(mapped)))
		return inet_ntop(AF_INET, halves + 12, buf, INET6_ADDRSTRLEN);
	return inet_ntop(AF_INET6, halves, buf, INET6_ADDRSTRLEN);
}

/* The name behind a number, if this field is one. */
static const char *resolved(const struct event *ev, const char *field, uint64_t value)
{
	if (!strcmp(field, "topic") && ev->type != AT_EV_TOPIC)
		return trail_topic(ev->trail, (uint32_t)value);
	if (!strcmp(field, "file") && ev->type != AT_EV_FILE)
		return trail_file_path(ev->trail, (uint32_t)value);
	return NULL;
}

/* An event that the trail describes; NULL: a length and a time is all that is known. */
static const struct schema_event *described(const struct event *ev)
{
	const struct schema_event *e;

	if (ev->type >= AT_NR_TYPES)
		return NULL;
	e = &trail_schema(ev->trail)->event[ev->type];
	return e->name ? e : NULL;
}

/* ---- ndjson -------------------------------------------------------------- */

static void trail_json(struct out *o, const struct trail *t)
{
	const struct at_header *h = &t->header;

	out_begin(o);
	out_text(o, "type", "trail");
	out_u64(o, "trail", t->index);
	out_text(o, "path", t->path);
	out_hex(o, "uuid", h->uuid, sizeof(h->uuid));
	out_text(o, "kind", h->kind == AT_KIND_PROBE ? "probe" : "shim");
	out_text(o, "state", state_name(t));
	out_text(o, "host", h->host);
	out_u64(o, "pid", h->pid);
	if (h->pid_host)
		out_u64(o, "pid_host", h->pid_host);
	out_u64(o, "uid", h->uid);
	out_text(o, "comm", h->comm);
	out_text(o, "cmdline", h->cmdline);
	out_text(o, "writer", h->writer);
	out_u64(o, "version", h->version);
	out_u64(o, "flags", h->flags);
	out_text(o, "boot_id", h->boot_id);
	out_u64(o, "start_ticks", h->start_ticks);
	out_u64(o, "created_mono_ns", h->created_mono_ns);
	out_u64(o, "created_real_ns", h->created_real_ns);
	out_s64(o, "timens_mono_ns", h->timens_mono_ns);
	out_s64(o, "to_axis_ns", t->to_axis_ns);
	out_bool(o, "axis_exact", t->axis_exact);
	out_u64(o, "file_size", h->file_size);
	out_u64(o, "file_bytes", t->file_bytes);
	out_u64(o, "overwritten", t->overwritten);
	out_u64(o, "lost", t->lost);
	out_u64(o, "unknown_events", t->unknown_events);
	out_u64(o, "bad_bytes", t->bad_bytes);
	out_bool(o, "incomplete", t->incomplete);
	out_end(o);
}

/* One line for each instance that counted a message. */
static void account_json(struct out *o, const struct trail *t)
{
	static const char *const names[AT_NR_COUNTS] = { "accepted", "acked", "failed", "expired",
		"purged", "dropped", "refused", "called" };

	for (unsigned i = 0; i < AT_NR_ACCOUNTS; i++) {
		struct tally a;
		const uint64_t *n = a.n;

		if (!tally_of(t, i, &a))
			continue;
		out_begin(o);
		out_text(o, "type", "account");
		out_u64(o, "trail", t->index);
		out_u64(o, "cell", i);
		for (unsigned k = 0; k < AT_NR_COUNTS; k++)
			out_u64(o, names[k], n[k]);
		if (a.partial) {
			out_u64(o, "unseen", a.unseen);
			out_u64(o, "before", a.before);
		}
		if (a.instances > 1)
			out_u64(o, "instances", a.instances);
		out_end(o);
	}
}

static void fields_json(struct out *o, const struct event *ev, const struct schema_event *e)
{
	char buf[INET6_ADDRSTRLEN], key[64];
	uint8_t bytes[16];

	for (uint32_t i = 0; i < e->nr_fields; i++) {
		const struct schema_field *f = &e->field[i];
		uint64_t value = schema_value(f, ev->raw);
		const char *name = resolved(ev, f->name, value);

		if (!strcmp(f->name, "pad"))
			continue;
		if (is_pair(e, i)) {
			snprintf(key, sizeof(key), "%.*s", (int)strlen(f->name) - 3, f->name);
			pair_bytes(bytes, ev->raw + f->off);
			if (!strcmp(key, "uuid"))
				out_hex(o, key, bytes, sizeof(bytes));
			else
				out_text(o, key, address(buf, ev->raw + f->off));
			i++;
			continue;
		}
		if (f->is_signed)
			out_s64(o, f->name, (int64_t)value);
		else
			out_u64(o, f->name, value);
		if (name) {
			snprintf(key, sizeof(key), "%s_name", f->name);
			out_text(o, key, name);
		}
	}
	if (e->tail && ev->tail_len)
		out_str(o, e->tail, ev->tail, ev->tail_len);
}

static void event_json(struct out *o, const struct event *ev)
{
	const struct schema_event *e = described(ev);

	out_begin(o);
	if (e)
		out_text(o, "type", e->name);
	else
		out_text(o, "type", "unknown");
	out_u64(o, "type_nr", ev->type);
	out_u64(o, "trail", ev->trail->index);
	out_u64(o, "tid", ev->tid);
	out_u64(o, "ns", ev->ns);
	if (ev->ns)
		out_s64(o, "axis_ns", event_axis(ev, ev->ns));
	if (e)
		fields_json(o, ev, e);
	else
		out_hex(o, "bytes", ev->raw, ev->raw_len + ev->tail_len);
	out_end(o);
}

static bool dump_json(struct reader *r)
{
	struct event ev;
	struct out o;

	out_open(&o, STDOUT_FILENO);
	for (int i = 0; i < reader_nr_trails(r); i++) {
		trail_json(&o, reader_trail(r, i));
		account_json(&o, reader_trail(r, i));
	}
	while (!o.error && reader_next(r, &ev))
		event_json(&o, &ev);
	return !out_close(&o);
}

/* ---- text ---------------------------------------------------------------- */

static void text_field(const char *label, const char *value)
{
	if (!*value)
		return;
	printf("  %s ", label);
	text_str(stdout, value, strlen(value));
}

static void trail_text(const struct trail *t)
{
	const struct at_header *h = &t->header;

	printf("# trail %u: ", t->index);
	text_str(stdout, t->path, strlen(t->path));
	printf("\n#  %s, %s  pid %u", h->kind == AT_KIND_PROBE ? "probe" : "shim", state_name(t), h->pid);
	text_field("host", h->host);
	text_field("by", h->writer);
	text_field("command", h->cmdline[0] ? h->cmdline : h->comm);
	printf("\n#  overwritten %llu  lost %llu  unknown %llu  damaged bytes %llu%s%s\n",
	       (unsigned long long)t->overwritten, (unsigned long long)t->lost,
	       (unsigned long long)t->unknown_events, (unsigned long long)t->bad_bytes,
	       t->incomplete ? "  INCOMPLETE" : "",
	       t->axis_exact ? "" : "  placed by its wall clock");
}

static void fields_text(const struct event *ev, const struct schema_event *e)
{
	char buf[INET6_ADDRSTRLEN];
	uint8_t bytes[16];

	for (uint32_t i = 0; i < e->nr_fields; i++) {
		const struct schema_field *f = &e->field[i];
		uint64_t value = schema_value(f, ev->raw);
		const char *name = resolved(ev, f->name, value);

		if (!strcmp(f->name, "pad"))
			continue;
		if (is_pair(e, i)) {
			printf(" %.*s=", (int)strlen(f->name) - 3, f->name);
			pair_bytes(bytes, ev->raw + f->off);
			if (!strncmp(f->name, "uuid", 4))
				for (int k = 0; k < 16; k++)
					printf("%02x", bytes[k]);
			else
				fputs(address(buf, ev->raw + f->off), stdout);
			i++;
			continue;
		}
		if (f->is_signed)
			printf(" %s=%lld", f->name, (long long)value);
		else if (!strcmp(f->name, "crc"))
			printf(" crc=0x%08llx", (unsigned long long)value);
		else
			printf(" %s=%llu", f->name, (unsigned long long)value);
		if (name) {
			putchar('(');
			text_str(stdout, name, strlen(name));
			putchar(')');
		}
	}
	if (e->tail && ev->tail_len) {
		printf(" %s=\"", e->tail);
		text_str(stdout, ev->tail, ev->tail_len);
		putchar('"');
	}
}

static void event_text(const struct event *ev)
{
	const struct schema_event *e = described(ev);
	const char *thread = trail_thread(ev->trail, ev->tid);
	char buf[TEXT_TIME];

	fputs(ev->ns ? text_time(buf, event_axis(ev, ev->ns)) : "-", stdout);
	printf(" %u %u", ev->trail->index, ev->tid);
	if (thread) {
		putchar('(');
		text_str(stdout, thread, strlen(thread));
		putchar(')');
	}
	if (e) {
		printf(" %s", e->name);
		fields_text(ev, e);
	} else {
		printf(" unknown type=%u bytes=%u", ev->type, ev->raw_len + ev->tail_len);
	}
	putchar('\n');
}

static bool dump_text(struct reader *r)
{
	struct event ev;

	for (int i = 0; i < reader_nr_trails(r); i++)
		trail_text(reader_trail(r, i));
	while (!ferror(stdout) && reader_next(r, &ev))
		event_text(&ev);
	if (fflush(stdout) || ferror(stdout)) {
		say("the output could not be written: %m");
		return false;
	}
	return true;
}

int cmd_dump(int argc, char **argv)
{
	struct args args = { 0 };
	struct reader *r;
	bool written;
	int status;

	cmd_parse(&argp, argc, argv, 0, NULL, &args);
	if (isatty(STDOUT_FILENO))
		say_progress_off();
	r = reader_open(args.paths, args.nr_paths);
	if (!r)
		return (int)say_unread();
	reader_want_unknown(r, true);
	written = args.format == FORMAT_NDJSON ? dump_json(r) : dump_text(r);
	status = say_incomplete(r);
	reader_close(r);
	return written ? status : STATUS_CANNOT;
}
