/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of the cache in their order, and the same by the text of a field. A roll holds rows by
 * rising position; an index has a roll for each value that occurs. Rows belong to the cache. A
 * failed allocation ends the process: there is no way back from half a change.
 */
#ifndef META_RECORD_INDEX_H
#define META_RECORD_INDEX_H

#include "meta/records.h"

struct row {
    uint64_t position;
    char *packed;
};

struct roll {
    struct row **rows; /* the first of them; in `room` */
    struct row **room;
    unsigned count, count_max;
};

void roll_add(struct roll *roll, struct row *row);
void roll_remove(struct roll *roll, const struct row *row);
/* The index of the first row behind `position`; `count` when there is none. */
unsigned roll_after(const struct roll *roll, uint64_t position);
void roll_fini(struct roll *roll);

struct index_value;

struct record_index {
    enum record_kind kind;
    unsigned field;
    struct index_value **slots;
    unsigned slot_count, value_count;
    uint64_t seed;
};

void record_index_init(struct record_index *index, enum record_kind kind, unsigned field);
void record_index_fini(struct record_index *index);
void record_index_add(struct record_index *index, struct row *row);
/* While `row` still holds what it was added with. */
void record_index_remove(struct record_index *index, const struct row *row);
/* NULL: no row has this value. Valid until the next change. */
const struct roll *record_index_find(const struct record_index *index, const char *value);

#endif
