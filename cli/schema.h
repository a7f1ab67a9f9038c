/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * schema.h - the self-description of a trail (trail.h, at_schema): what events
 * look like on disk, whoever wrote them.
 */
#ifndef ACKTRAIL_SCHEMA_H
#define ACKTRAIL_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <acktrail/trail.h>

struct schema_field {
	const char *name;
	uint16_t off;		/* from the start of the fields */
	uint8_t	 size;		/* 1 2 4 8 */
	bool	 is_signed;
};

struct schema_event {
	const char *name;	/* NULL: not described */
	const char *tail;	/* name of the string behind the fields, or NULL */
	struct schema_field *field;
	uint32_t nr_fields;
	uint32_t bytes;		/* of the fields */
};

struct schema {
	struct schema_event event[AT_NR_TYPES];
	char	*text;		/* what the names point into */
	bool	 damaged;	/* a line was not understood, or denies what we know */
};

/*
 * Parse the text.  Events that we know and that are missing, unreadable or
 * contradict trail.h fall back on trail.h.  False when memory is short.
 */
bool schema_parse(struct schema *s, const char *text, size_t len);
void schema_free(struct schema *s);

/* What this version knows: trail.h itself. */
const struct schema *schema_own(void);

/* The integer field at `fields`; sign-extended into the 64 bits when signed. */
uint64_t schema_value(const struct schema_field *f, const uint8_t *fields);

#endif
