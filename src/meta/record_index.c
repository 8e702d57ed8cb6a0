/* SPDX-License-Identifier: Apache-2.0 */
/* Why: one small structure for both ways in which the cache is asked; see record_index.h. */
#include "meta/record_index.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "meta/record_pack.h"

/* A value exists while a row has it; its text is that of its first row. */
struct index_value {
    struct index_value *next;
    uint64_t hash;
    struct roll roll;
};

/* --- rolls ----------------------------------------------------------------------------------- */

unsigned roll_after(const struct roll *roll, uint64_t position)
{
    unsigned low = 0, high = roll->count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;

        if (roll->rows[middle]->position <= position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Room for one more at the end. Oldest rows go first in some tables, so what lies free in front
 * is taken before more is asked for. */
static void make_room(struct roll *roll)
{
    size_t lead = (size_t)(roll->rows - roll->room);
    unsigned count_max = roll->count_max ? roll->count_max * 2 : 1;

    if (lead + roll->count < roll->count_max)
        return;
    if (lead > 0 && lead >= roll->count_max / 2) {
        memmove(roll->room, roll->rows, roll->count * sizeof(*roll->rows));
        roll->rows = roll->room;
        return;
    }
    roll->room = realloc(roll->room, count_max * sizeof(*roll->room));
    check(roll->room);
    roll->rows = roll->room + lead;
    roll->count_max = count_max;
}

void roll_add(struct roll *roll, struct row *row)
{
    unsigned at = roll_after(roll, row->position);

    make_room(roll);
    check(at == 0 || roll->rows[at - 1]->position < row->position);
    memmove(&roll->rows[at + 1], &roll->rows[at], (roll->count - at) * sizeof(*roll->rows));
    roll->rows[at] = row;
    roll->count++;
}

void roll_remove(struct roll *roll, const struct row *row)
{
    unsigned behind = roll_after(roll, row->position);

    check(behind > 0 && roll->rows[behind - 1] == row);
    if (behind <= roll->count / 2) {
        memmove(&roll->rows[1], roll->rows, (behind - 1) * sizeof(*roll->rows));
        roll->rows++;
    } else {
        memmove(&roll->rows[behind - 1], &roll->rows[behind],
                (roll->count - behind) * sizeof(*roll->rows));
    }
    roll->count--;
}

void roll_fini(struct roll *roll)
{
    free(roll->room);
    memset(roll, 0, sizeof(*roll));
}

/* --- indexes --------------------------------------------------------------------------------- */

/* Keys are chosen by clients in part: the seed keeps them from choosing slots. */
static uint64_t hash_of(const struct record_index *index, const char *text)
{
    uint64_t hash = index->seed;

    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    return hash ^ (hash >> 32);
}

static const char *text_of(const struct record_index *index, const struct row *row)
{
    return record_packed_text(index->kind, row->packed, index->field);
}

void record_index_init(struct record_index *index, enum record_kind kind, unsigned field)
{
    *index = (struct record_index){.kind = kind, .field = field, .slot_count = 16};
    index->slots = calloc(index->slot_count, sizeof(*index->slots));
    check(index->slots);
    index->seed = (uint64_t)(uintptr_t)index->slots * UINT64_C(0x9e3779b97f4a7c15);
}

void record_index_fini(struct record_index *index)
{
    for (unsigned i = 0; i < index->slot_count; i++)
        while (index->slots[i]) {
            struct index_value *value = index->slots[i];

            index->slots[i] = value->next;
            roll_fini(&value->roll);
            free(value);
        }
    free(index->slots);
    memset(index, 0, sizeof(*index));
}

/* Where the pointer to the value is, or would be. */
static struct index_value **place_of(const struct record_index *index, const char *text)
{
    uint64_t hash = hash_of(index, text);
    struct index_value **place = &index->slots[hash & (index->slot_count - 1)];

    while (*place &&
           ((*place)->hash != hash || strcmp(text_of(index, (*place)->roll.rows[0]), text) != 0))
        place = &(*place)->next;
    return place;
}

static void grow(struct record_index *index)
{
    unsigned count = index->slot_count * 2;
    struct index_value **slots = calloc(count, sizeof(*slots));

    check(slots);
    for (unsigned i = 0; i < index->slot_count; i++)
        while (index->slots[i]) {
            struct index_value *value = index->slots[i];
            struct index_value **slot = &slots[value->hash & (count - 1)];

            index->slots[i] = value->next;
            value->next = *slot;
            *slot = value;
        }
    free(index->slots);
    index->slots = slots;
    index->slot_count = count;
}

void record_index_add(struct record_index *index, struct row *row)
{
    const char *text = text_of(index, row);
    struct index_value **place = place_of(index, text);

    if (!*place) {
        if (index->value_count == index->slot_count) {
            grow(index);
            place = place_of(index, text);
        }
        *place = calloc(1, sizeof(**place));
        check(*place);
        (*place)->hash = hash_of(index, text);
        index->value_count++;
    }
    roll_add(&(*place)->roll, row);
}

void record_index_remove(struct record_index *index, const struct row *row)
{
    struct index_value **place = place_of(index, text_of(index, row)), *value = *place;

    check(value);
    roll_remove(&value->roll, row);
    if (value->roll.count > 0)
        return;
    *place = value->next;
    roll_fini(&value->roll);
    free(value);
    index->value_count--;
}

const struct roll *record_index_find(const struct record_index *index, const char *value)
{
    struct index_value *found = *place_of(index, value);

    return found ? &found->roll : NULL;
}
