/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: the records' structs have room for the longest texts; in memory by the ten thousand they
 * must not. The fields follow each other without a gap: a text with its zero, anything else as its
 * bytes.
 */
#include "meta/record_pack.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static size_t field_length(const struct record_field *field, const char *at)
{
    return field->kind == FIELD_TEXT ? strlen(at) + 1 : field->size;
}

char *record_pack(enum record_kind kind, const void *record)
{
    const struct record_type *type = record_type(kind);
    size_t length = 0;
    char *packed, *to;

    for (unsigned i = 0; i < type->field_count; i++)
        length += field_length(&type->fields[i], (const char *)record + type->fields[i].offset);
    packed = to = malloc(length);
    if (!packed)
        return NULL;
    for (unsigned i = 0; i < type->field_count; i++) {
        const char *from = (const char *)record + type->fields[i].offset;
        size_t part = field_length(&type->fields[i], from);

        memcpy(to, from, part);
        to += part;
    }
    return packed;
}

void record_unpack(enum record_kind kind, const char *packed, void *ret_record)
{
    const struct record_type *type = record_type(kind);

    memset(ret_record, 0, type->size);
    for (unsigned i = 0; i < type->field_count; i++) {
        size_t part = field_length(&type->fields[i], packed);

        memcpy((char *)ret_record + type->fields[i].offset, packed, part);
        packed += part;
    }
}

const char *record_packed_text(enum record_kind kind, const char *packed, unsigned field)
{
    const struct record_type *type = record_type(kind);
    const struct record_field *wanted = &type->fields[field];
    struct record_field here = *wanted;
    union {
        enum disk_state disk;
        enum replica_state replica;
    } state;

    check(field < type->field_count);
    for (unsigned i = 0; i < field; i++)
        packed += field_length(&type->fields[i], packed);
    if (wanted->kind == FIELD_TEXT)
        return packed;
    check(wanted->size == sizeof(state)); /* moved to where it is aligned */
    memcpy(&state, packed, sizeof(state));
    here.offset = 0;
    return record_text(&here, &state);
}
