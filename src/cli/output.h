/* SPDX-License-Identifier: Apache-2.0 */
/* Tables by libsmartcols, JSON documents, sizes and times as people read them. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <jansson.h>
#include <stdint.h>

#include "cli/options.h"

enum output_format {
    OUTPUT_TEXT,  /* the member's string */
    OUTPUT_BYTES, /* 1.5G; with --bytes exact */
    OUTPUT_TIME,  /* Unix seconds -> local time, or UTC with --utc */
    OUTPUT_AGE,   /* nanoseconds -> 1.2s, 3m10s */
    OUTPUT_YES,   /* a boolean */
    OUTPUT_NUMBER,
};

struct output_column {
    const char *title;  /* part of the stable interface */
    const char *member; /* of the JSON object of a row */
    enum output_format format;
    bool is_right, is_hidden; /* hidden: only with -o */
};

/* Prints `rows` (a JSON array of objects) as a table, or as {"api":"verso/v1","<name>":rows} with
 * --json; OUTCOME_USAGE after naming a column of --output that there is not. */
int output_rows(const struct options *options, const char *name, json_t *rows,
                const struct output_column *columns, unsigned column_count);
void output_format_bytes(uint64_t bytes, bool exact, char *text, size_t size);
void output_format_age(uint64_t ns, char *text, size_t size);
/* Prints an object as one document, keys in order. */
void output_json(json_t *object);
/* One object as "key  value" lines. */
void output_fields(const struct options *options, const char *name, json_t *object,
                   const struct output_column *columns, unsigned column_count);

#endif
