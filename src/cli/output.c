/* SPDX-License-Identifier: Apache-2.0 */
/* Every list is a JSON array first; a table is one way to print it, --json the other. */
#include "cli/output.h"

#include <libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/check.h"
#include "cli/outcome.h"
#include "cli/safe_text.h"

enum { CELL_SIZE = 512 };

void output_format_bytes(uint64_t bytes, bool exact, char *cell, size_t size)
{
    static const char units[] = "BKMGTP";
    double value = (double)bytes;
    unsigned unit = 0;

    if (exact) {
        snprintf(cell, size, "%llu", (unsigned long long)bytes);
        return;
    }
    while (value >= 1024 && unit + 2 < sizeof(units)) {
        value /= 1024;
        unit++;
    }
    if (unit == 0 || value == (double)(uint64_t)value)
        snprintf(cell, size, "%llu%c", (unsigned long long)value, units[unit]);
    else
        snprintf(cell, size, "%.1f%c", value, units[unit]);
}

static void format_time(uint64_t seconds, bool utc, char *cell)
{
    time_t when = (time_t)seconds;
    struct tm parts;

    if (seconds == 0 || (utc ? gmtime_r(&when, &parts) : localtime_r(&when, &parts)) == NULL)
        snprintf(cell, CELL_SIZE, "-");
    else
        strftime(cell, CELL_SIZE, utc ? "%Y-%m-%dT%H:%M:%SZ" : "%Y-%m-%d %H:%M:%S", &parts);
}

void output_format_age(uint64_t ns, char *cell, size_t size)
{
    uint64_t seconds = ns / 1000000000;

    if (seconds < 60)
        snprintf(cell, size, "%.1fs", (double)ns / 1e9);
    else if (seconds < 3600)
        snprintf(cell, size, "%llum%02llus", (unsigned long long)seconds / 60,
                 (unsigned long long)seconds % 60);
    else
        snprintf(cell, size, "%lluh%02llum", (unsigned long long)seconds / 3600,
                 (unsigned long long)seconds % 3600 / 60);
}

static void format_cell(const struct options *options, const json_t *row,
                        const struct output_column *column, char *cell)
{
    const json_t *value = json_object_get(row, column->member);
    uint64_t number = (uint64_t)json_integer_value(value);

    if (value == NULL || json_is_null(value)) {
        snprintf(cell, CELL_SIZE, "-");
        return;
    }
    switch (column->format) {
    case OUTPUT_TEXT:
        snprintf(cell, CELL_SIZE, "%s", json_is_string(value) ? json_string_value(value) : "-");
        if (cell[0] == '\0')
            snprintf(cell, CELL_SIZE, "-");
        break;
    case OUTPUT_BYTES:
        output_format_bytes(number, options->bytes, cell, CELL_SIZE);
        break;
    case OUTPUT_TIME:
        format_time(number, options->utc, cell);
        break;
    case OUTPUT_AGE:
        output_format_age(number, cell, CELL_SIZE);
        break;
    case OUTPUT_YES:
        snprintf(cell, CELL_SIZE, "%s", json_is_true(value) ? "yes" : "no");
        break;
    case OUTPUT_NUMBER:
        snprintf(cell, CELL_SIZE, "%llu", (unsigned long long)number);
        break;
    }
}

/* Is the column wanted? -o lists titles, "+TITLE" adds to the default ones. */
static bool is_shown(const struct options *options, const struct output_column *column)
{
    const char *list = options->columns;
    size_t length = strlen(column->title);

    if (list == NULL)
        return !column->is_hidden;
    if (*list == '+') {
        if (!column->is_hidden)
            return true;
        list++;
    }
    for (; list != NULL; list = strchr(list, ',') ? strchr(list, ',') + 1 : NULL) {
        if (strncasecmp(list, column->title, length) == 0 &&
            (list[length] == ',' || list[length] == '\0'))
            return true;
    }
    return false;
}

/* OUTCOME_USAGE after naming a column of --output that is none. */
static int check_columns(const struct options *options, const struct output_column *columns,
                         unsigned column_count)
{
    const char *word = options->columns ? options->columns : "";

    for (word += *word == '+' ? 1 : 0; *word; word += strspn(word, ",")) {
        size_t length = strcspn(word, ",");
        unsigned i = 0;

        while (i < column_count && (strlen(columns[i].title) != length ||
                                    strncasecmp(columns[i].title, word, length) != 0))
            i++;
        if (i < column_count || length == 0) {
            word += length;
            continue;
        }
        fprintf(stderr, "verso: --output: there is no column %.*s; there are", (int)length, word);
        for (i = 0; i < column_count; i++)
            fprintf(stderr, " %s", columns[i].title);
        fputc('\n', stderr);
        return OUTCOME_USAGE;
    }
    return 0;
}

void output_json(json_t *object)
{
    char *text = json_dumps(object, JSON_INDENT(2) | JSON_PRESERVE_ORDER);

    check(text != NULL);
    safe_text_put_json(stdout, text);
    putchar('\n');
    free(text);
}

int output_rows(const struct options *options, const char *name, json_t *rows,
                const struct output_column *columns, unsigned column_count)
{
    struct libscols_table *table;
    char cell[CELL_SIZE];
    const json_t *row;
    size_t index;
    int outcome;

    if (options->json) {
        json_t *document = json_pack("{s:s, s:O}", "api", "verso/v1", name, rows);
        check(document != NULL);
        output_json(document);
        json_decref(document);
        return 0;
    }
    outcome = check_columns(options, columns, column_count);
    if (outcome)
        return outcome;
    scols_init_debug(0);
    table = scols_new_table();
    check(table != NULL);
    scols_table_enable_noheadings(table, options->no_headings);
    scols_table_enable_raw(table, options->raw);
    for (unsigned i = 0; i < column_count; i++) {
        if (is_shown(options, &columns[i]))
            check(scols_table_new_column(table, columns[i].title, 0,
                                         columns[i].is_right ? SCOLS_FL_RIGHT : 0) != NULL);
    }
    json_array_foreach(rows, index, row)
    {
        struct libscols_line *line = scols_table_new_line(table, NULL);
        unsigned at = 0;
        check(line != NULL);
        for (unsigned i = 0; i < column_count; i++) {
            if (!is_shown(options, &columns[i]))
                continue;
            format_cell(options, row, &columns[i], cell);
            scols_line_set_data(line, at++, cell);
        }
    }
    scols_print_table(table);
    scols_unref_table(table);
    return 0;
}

void output_fields(const struct options *options, const char *name, json_t *object,
                   const struct output_column *columns, unsigned column_count)
{
    char cell[CELL_SIZE];

    if (options->json) {
        json_t *document = json_pack("{s:s, s:O}", "api", "verso/v1", name, object);
        check(document != NULL);
        output_json(document);
        json_decref(document);
        return;
    }
    for (unsigned i = 0; i < column_count; i++) {
        format_cell(options, object, &columns[i], cell);
        printf("%-16s ", columns[i].title);
        safe_text_put(stdout, cell);
        putchar('\n');
    }
}
