/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records as they come from the peer: JSON. Input: the kind (its high bit: what follows is put over
 * a whole record's tree), then the JSON text.
 *
 * Checked: a record that was taken is written again as a tree that gives the same tree once more;
 * its texts end.
 *
 * Covers: control/tree.c meta/records.c.
 */
#include <stdlib.h>

#include "control/tree.h"
#include "fuzz.h"

static void check_texts(const struct record_type *type, const uint8_t *record)
{
    for (unsigned i = 0; i < type->field_count; i++) {
        const struct record_field *field = &type->fields[i];

        if (field->kind == FIELD_TEXT)
            check(memchr(record + field->offset, 0, field->size));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static uint8_t record[1 << 16], again[1 << 16];
    enum record_kind kind;
    const struct record_type *type;
    uint8_t *copy;
    json_t *tree;

    if (length == 0)
        return 0;
    kind = (enum record_kind)((bytes[0] & 0x7f) % RECORD_KIND_COUNT);
    type = record_type(kind);
    check(type->size <= sizeof(record));
    memset(record, 0, sizeof(record));
    memset(again, 0, sizeof(again));
    copy = fuzz_copy(bytes + 1, length - 1);
    tree = tree_parse(copy, length - 1, 4096);
    free(copy);
    if (bytes[0] & 0x80) {
        json_t *whole = tree_from_record(kind, record);

        if (json_is_object(tree))
            json_object_update(whole, tree);
        json_decref(tree);
        tree = whole;
    }
    (void)tree_text(tree, "id");
    (void)tree_int(tree, "term", 1);
    (void)tree_bool(tree, "is_acked", false);
    if (tree && tree_to_record(kind, tree, record)) {
        json_t *first, *second;

        check_texts(type, record);
        first = tree_from_record(kind, record);
        check(tree_to_record(kind, first, again));
        second = tree_from_record(kind, again);
        check(json_equal(first, second));
        json_decref(first);
        json_decref(second);
    }
    json_decref(tree);
    return 0;
}
