/* SPDX-License-Identifier: BSD-2-Clause */
#include <inttypes.h>
#include <string.h>
#include "address.h"
#include "batch_view.h"
#include "join.h"
#include "span.h"

#define RED	"\033[31m"
#define YELLOW	"\033[33m"
#define DIM	"\033[2m"
#define RESET	"\033[0m"

/* ---- wrapping ----------------------------------------------------------------- */

static unsigned width(const char *s)
{
	unsigned n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

void wrap_begin(struct wrap *w, FILE *f, unsigned indent)
{
	*w = (struct wrap){ f, indent, indent };
	fprintf(f, "%*s", (int)indent, "");
}

void wrap_word(struct wrap *w, const char *word)
{
	unsigned n = width(word);
	bool broken = w->indent + n > VIEW_COLUMNS && strchr(word, ' ');	/* no line holds all of it */

	if (w->column > w->indent && w->column + 1 + n > VIEW_COLUMNS) {
		fprintf(w->f, "\n%*s", (int)w->indent, "");
		w->column = w->indent;
	} else if (w->column > w->indent) {
		fputc(' ', w->f);
		w->column++;
	}
	if (broken) {
		wrap_text(w, word);
		return;
	}
	fputs(word, w->f);
	w->column += n;
}

void wrap_text(struct wrap *w, const char *text)
{
	char word[128];

	while (*text) {
		size_t n = strcspn(text, " ");

		if (n) {
			snprintf(word, sizeof(word), "%.*s", (int)n, text);
			wrap_word(w, word);
		}
		text += n;
		text += *text == ' ';
	}
}

void wrap_end(struct wrap *w)
{
	fputc('\n', w->f);
}

/* ---- a batch -------------------------------------------------------------------- */

static const char *outcome_colour(const struct tl_batch *b)
{
	if (b->outcome == TL_OUTCOME_ACKED || b->outcome == TL_OUTCOME_BROKER_ONLY)
		return b->verdict.cause == TL_CAUSE_HEALTHY ? "" : YELLOW;
	return b->outcome == TL_OUTCOME_OPEN ? YELLOW : RED;
}

/* Control characters of a foreign name must not reach a terminal. */
static const char *safe(char *buf, size_t size, const char *s)
{
	size_t i = 0;

	for (; s && s[i] && i + 1 < size; i++)
		buf[i] = (unsigned char)s[i] < 0x20 || s[i] == 0x7f ? '?' : s[i];
	buf[i] = 0;
	return s ? buf : "?";
}

/* Who sent it, where no shim told more. */
static void sender_text(FILE *f, const struct tl_producer *p)
{
	char address[ADDRESS_TEXT], name[256];

	address_text(address, p->peer_hi, p->peer_lo, p->peer_port);
	if (p->client_id)
		fprintf(f, "  from %s%s%s", safe(name, sizeof(name), p->client_id), *address ? " at " : "", address);
	else if (*address)
		fprintf(f, "  from %s", address);
}

void batch_head_text(FILE *f, const struct tl_batch *b, bool colour)
{
	char when[24], total[24], name[256], place[32] = "", some[24] = "", part[16] = "";
	const char *paint = colour ? outcome_colour(b) : "";

	clock_text(when, sizeof(when), b->created_first_ns);
	span_text(total, sizeof(total), b->end_ns - b->created_first_ns);
	if (b->base_offset >= 0)
		snprintf(place, sizeof(place), " at %" PRId64, b->base_offset);
	if (b->messages != b->count)
		snprintf(some, sizeof(some), "%u of ", b->messages);
	if (b->partition >= 0)		/* else it was given to none yet */
		snprintf(part, sizeof(part), "-%d", b->partition);
	fprintf(f, "%s  %s%s%s  %s%u msg%s  %s%s%s %s %s", when, safe(name, sizeof(name), b->topic),
		part, place, some, b->count, b->count == 1 ? "" : "s", paint,
		tl_outcome_names[b->outcome], *paint ? RESET : "",
		b->outcome == TL_OUTCOME_OPEN ? "for" : "after", total);
	if (b->expired_by && b->producer.message_timeout_ms && !strcmp(b->expired_by, "message.timeout.ms"))
		fprintf(f, " (message.timeout.ms: %s)", span_text(total, sizeof(total),
			(int64_t)b->producer.message_timeout_ms * 1000000));
	if (b->outcome != TL_OUTCOME_ACKED && b->outcome != TL_OUTCOME_BROKER_ONLY)
		fprintf(f, "  %s, in log: %s%s", b->sent ? "sent" : "never sent", in_log_name(b->in_log),
			b->in_log_by && !strcmp(b->in_log_by, "log-dump") ? " (by the log dump)" : "");
	else if (b->outcome == TL_OUTCOME_BROKER_ONLY && b->in_log != TL_IN_LOG_YES)
		fprintf(f, "  no append seen, in log: %s", in_log_name(b->in_log));
	if (b->outcome == TL_OUTCOME_BROKER_ONLY)
		sender_text(f, &b->producer);
	if (b->nr_attempts > 1)
		fprintf(f, "  %u attempts", b->nr_attempts);
	if (b->moved)
		fputs("  moved into other batches", f);
	fputc('\n', f);
}

static void parts_text(char *buf, size_t size, const struct tl_parts *p)
{
	int n = text_put(buf, size, 0, " {");
	char t[24];

	for (int i = 0; i < TL_NR_PARTS; i++) {
		if (p->part[i] * 50 < p->ns)
			continue;
		n = text_put(buf, size, n, "%s%s %s", n > 2 ? ", " : "", tl_part_names[i],
			     span_text(t, sizeof(t), p->part[i]));
	}
	text_put(buf, size, n, "}");
}

static void phases_text(FILE *f, const struct tl_batch *b)
{
	struct wrap w;
	char word[800], t[24], parts[300];

	if (!b->nr_phases)
		return;
	wrap_begin(&w, f, 4);
	for (uint32_t i = 0; i < b->nr_phases; i++) {
		const struct tl_phase *p = &b->phases[i];
		const char *sure = p->known == TL_KNOWN_INFERRED ? "~" : "";
		int n = snprintf(word, sizeof(word), "%s%s %s%s", i ? "→ " : "", tl_phase_names[p->name],
				 sure, span_text(t, sizeof(t), p->ns));

		if (b->nr_attempts > 1 && p->attempt)
			n += snprintf(word + n, sizeof(word) - (size_t)n, " #%u", p->attempt);
		if (p->parts && p->parts->seen && p->ns >= 1000000) {
			parts_text(parts, sizeof(parts), p->parts);
			n += snprintf(word + n, sizeof(word) - (size_t)n, "%s", parts);
		}
		if (p->cause != TL_CAUSE_UNKNOWN && strcmp(tl_cause_names[p->cause], tl_phase_names[p->name]))
			snprintf(word + n, sizeof(word) - (size_t)n, " [%s%s%s]", tl_cause_names[p->cause],
				 p->culprit ? " " : "", p->culprit ? p->culprit : "");
		wrap_word(&w, word);
	}
	wrap_end(&w);
}

static void attempt_text(FILE *f, const struct tl_attempt *a)
{
	char when[24], t[24];

	fprintf(f, "    #%u%s", a->n, a->inferred ? "~" : "");
	if (a->broker >= 0)
		fprintf(f, " to broker %d", a->broker);
	if (a->on_wire)
		fprintf(f, " corr %u written %s", a->corr_id, clock_text(when, sizeof(when), a->write_begin_ns));
	if (a->read_ns)
		fprintf(f, ", read %s", clock_text(when, sizeof(when), a->read_ns));
	if (a->append_end_ns)
		fprintf(f, ", appended %s", clock_text(when, sizeof(when), a->append_end_ns));
	if (a->answered) {
		const char *name = a->error_code ? tl_error_name(a->error_code) : "ok";

		fprintf(f, ", answered %s%s%s", name ? name : "error", a->write_end_ns ? " after " : "",
			a->write_end_ns ? span_text(t, sizeof(t), a->response_read_ns - a->write_end_ns) : "");
	} else if (a->ended_ns) {
		fprintf(f, ", %s %s", a->inferred ? "given up" : "connection ended", clock_text(when, sizeof(when), a->ended_ns));
	} else if (a->on_wire) {
		fputs(", not answered", f);
	}
	fputc('\n', f);
}

void batch_text(FILE *f, const struct tl_batch *b, bool colour, bool attempts)
{
	batch_head_text(f, b, colour);
	if (attempts)
		for (uint32_t i = 0; i < b->nr_attempts; i++)
			attempt_text(f, &b->attempts[i]);
	phases_text(f, b);
	if (b->verdict.cause != TL_CAUSE_HEALTHY) {
		char t[64];
		struct wrap w;

		wrap_begin(&w, f, 4);
		snprintf(t, sizeof(t), "= %s %.0f%%", tl_cause_names[b->verdict.cause],
			 100 * b->verdict.share);
		wrap_word(&w, t);
		if (b->verdict.causes[0].culprit)
			wrap_word(&w, b->verdict.causes[0].culprit);
		for (uint32_t i = 1; i < b->verdict.nr; i++) {
			snprintf(t, sizeof(t), "%s%s %.0f%%%s", i == 1 ? "beside " : "",
				 tl_cause_names[b->verdict.causes[i].cause],
				 100 * b->verdict.causes[i].share, i + 1 < b->verdict.nr ? "," : "");
			wrap_word(&w, t);
		}
		wrap_end(&w);
	}
}
