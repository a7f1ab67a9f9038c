/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * schema.c - reads the self-description of a trail: one line an event,
 *	NUMBER NAME BYTES TYPE:FIELD TYPE:FIELD ... [str:TAIL]
 */
#include <stdlib.h>
#include <string.h>

#include "schema.h"

#define SCHEMA_MAX	(1u << 20)	/* longer than any that makes sense */

/* ---- one line ------------------------------------------------------------ */

static char *word(char **at)
{
	char *start = *at, *end;

	while (*start == ' ')
		start++;
	if (!*start)
		return NULL;
	end = start + strcspn(start, " ");
	*at = *end ? end + 1 : end;
	*end = 0;
	return start;
}

static bool number(const char *text, uint32_t max, uint32_t *out)
{
	uint32_t n = 0;

	if (!text || !*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		n = n * 10 + (uint32_t)(*text - '0');
		if (n > max)
			return false;
	}
	*out = n;
	return true;
}

/* A name goes to people and into JSON keys: letters, digits and _ alone. */
static bool is_name(const char *text)
{
	return text && *text && strspn(text, "abcdefghijklmnopqrstuvwxyz"
				       "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == strlen(text);
}

static bool field_type(const char *type, struct schema_field *f)
{
	static const struct { const char *name; uint8_t size; bool is_signed; } types[] = {
		{ "u8", 1, false }, { "u16", 2, false }, { "u32", 4, false }, { "u64", 8, false },
		{ "s8", 1, true }, { "s16", 2, true }, { "s32", 4, true }, { "s64", 8, true },
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcmp(type, types[i].name)) {
			f->size = types[i].size;
			f->is_signed = types[i].is_signed;
			return true;
		}
	return false;
}

static bool parse_fields(struct schema_event *e, char *line)
{
	uint32_t off = 0;
	char *w;

	while ((w = word(&line))) {
		struct schema_field *more, f = { 0 };
		char *name = strchr(w, ':');

		if (!name || e->tail)
			return false;
		*name++ = 0;
		if (!is_name(name))
			return false;
		if (!strcmp(w, "str")) {
			e->tail = name;
			continue;
		}
		if (!field_type(w, &f))
			return false;
		f.name = name;
		f.off = (uint16_t)off;
		off += f.size;
		if (off > e->bytes)
			return false;
		more = realloc(e->field, (e->nr_fields + 1) * sizeof(f));
		if (!more)
			return false;
		e->field = more;
		e->field[e->nr_fields++] = f;
	}
	return off == e->bytes;
}

static void event_clear(struct schema_event *e)
{
	free(e->field);
	memset(e, 0, sizeof(*e));
}

static bool parse_line(struct schema *s, char *line)
{
	struct schema_event e = { 0 };
	uint32_t nr;

	if (!number(word(&line), AT_NR_TYPES - 1, &nr) || !nr)
		return false;
	e.name = word(&line);
	if (!is_name(e.name) || !number(word(&line), UINT16_MAX - sizeof(struct at_event), &e.bytes) ||
	    !parse_fields(&e, line) || s->event[nr].name) {
		event_clear(&e);
		return false;
	}
	s->event[nr] = e;
	return true;
}

static bool parse_text(struct schema *s, const char *text, size_t len)
{
	char *line, *end;

	if (len > SCHEMA_MAX) {
		s->damaged = true;
		len = 0;
	}
	s->text = malloc(len + 1);
	if (!s->text)
		return false;
	if (len)
		memcpy(s->text, text, len);
	s->text[len] = 0;
	for (line = s->text; *line; line = end) {
		end = line + strcspn(line, "\n");
		if (*end)
			*end++ = 0;
		if (*line && !parse_line(s, line))
			s->damaged = true;
	}
	return true;
}

/* ---- what trail.h says --------------------------------------------------- */

#define LINE_OF(NAME, name, nr, when, fields, tail) \
	{ nr, sizeof(struct ev_##name), #name, fields "", tail },
static const struct { uint32_t nr, bytes; const char *name, *fields, *tail; } known[] = {
	AT_EVENTS(LINE_OF, AT_SCHEMA_FIELD)
};
#undef LINE_OF

const struct schema *schema_own(void)
{
	static struct schema own;

	if (own.text)
		return &own;
	own.text = calloc(1, 1);	/* the names are constants: nothing points here */
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct schema_event *e = &own.event[known[i].nr];
		char *fields = strdup(known[i].fields);

		e->name = known[i].name;
		e->bytes = known[i].bytes;
		if (fields)
			parse_fields(e, fields);	/* the copy lives as long as the program */
		e->tail = *known[i].tail ? known[i].tail : NULL;
	}
	return &own;
}

/* Fields are only ever appended, and a pad (always 0) may get a name: what both know must be the same. */
static bool agrees(const struct schema_event *disk, const struct schema_event *own)
{
	uint32_t both = disk->nr_fields < own->nr_fields ? disk->nr_fields : own->nr_fields;

	if (strcmp(disk->name, own->name))
		return false;
	for (uint32_t i = 0; i < both; i++)
		if (disk->field[i].size != own->field[i].size ||
		    disk->field[i].is_signed != own->field[i].is_signed ||
		    (strcmp(disk->field[i].name, own->field[i].name) && strcmp(disk->field[i].name, "pad")))
			return false;
	return true;
}

static bool event_copy(struct schema_event *to, const struct schema_event *from)
{
	event_clear(to);
	*to = *from;
	to->field = malloc(from->nr_fields * sizeof(*from->field) + 1);
	if (!to->field) {
		memset(to, 0, sizeof(*to));
		return false;
	}
	memcpy(to->field, from->field, from->nr_fields * sizeof(*from->field));
	return true;
}

bool schema_parse(struct schema *s, const char *text, size_t len)
{
	const struct schema *own = schema_own();
	bool any = false;

	memset(s, 0, sizeof(*s));
	if (!parse_text(s, text, len))
		return false;
	for (uint32_t nr = 0; nr < AT_NR_TYPES; nr++)
		any |= s->event[nr].name != NULL;
	if (!any)
		s->damaged = true;
	for (uint32_t nr = 0; nr < AT_NR_TYPES; nr++) {
		struct schema_event *e = &s->event[nr];

		if (!own->event[nr].name || (e->name && agrees(e, &own->event[nr])))
			continue;
		/*
		 * An older writer that has never heard of the event writes none.  One
		 * that describes it otherwise is damaged: events only ever grow.
		 */
		if (e->name)
			s->damaged = true;
		if (!event_copy(e, &own->event[nr]))
			return false;
	}
	return true;
}

void schema_free(struct schema *s)
{
	for (uint32_t nr = 0; nr < AT_NR_TYPES; nr++)
		free(s->event[nr].field);
	free(s->text);
	memset(s, 0, sizeof(*s));
}

uint64_t schema_value(const struct schema_field *f, const uint8_t *fields)
{
	uint8_t u8;
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;

	switch (f->size) {
	case 1:
		memcpy(&u8, fields + f->off, 1);
		return f->is_signed ? (uint64_t)(int64_t)(int8_t)u8 : u8;
	case 2:
		memcpy(&u16, fields + f->off, 2);
		return f->is_signed ? (uint64_t)(int64_t)(int16_t)u16 : u16;
	case 4:
		memcpy(&u32, fields + f->off, 4);
		return f->is_signed ? (uint64_t)(int64_t)(int32_t)u32 : u32;
	default:
		memcpy(&u64, fields + f->off, 8);
		return u64;
	}
}
