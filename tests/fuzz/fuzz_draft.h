/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request as text, for the targets of signatures:
 *
 *     METHOD SP query LF
 *     name ": " value LF ...
 *     LF
 *     body
 */
#ifndef FUZZ_DRAFT_H
#define FUZZ_DRAFT_H

#include "access/canonical.h"
#include "fuzz.h"

enum { DRAFT_TEXT_MAX = 8192, DRAFT_FIELDS_MAX = 40 };

struct fuzz_draft {
    char method[16];
    char query[DRAFT_TEXT_MAX * 2], body[DRAFT_TEXT_MAX]; /* terminated */
    size_t body_length;
    char heads[DRAFT_TEXT_MAX * 2]; /* the texts of fields */
    size_t heads_used;
    struct {
        uint16_t name, value; /* in heads: a copy of the struct is a copy of all */
    } fields[DRAFT_FIELDS_MAX];
    unsigned field_count;
};

void fuzz_draft_parse(struct fuzz_draft *draft, struct bytes_reader *input);
/* Takes no more than there is room for. */
void fuzz_draft_field(struct fuzz_draft *draft, const char *name, const char *value);
/* Points into the draft. */
void fuzz_draft_request(const struct fuzz_draft *draft, struct canonical_field *fields,
                        struct canonical_request *ret_request);

#endif
