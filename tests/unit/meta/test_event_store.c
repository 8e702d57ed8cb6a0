/* SPDX-License-Identifier: Apache-2.0 */
/* The record of events: order, filters, bounds by size and age, and what damage leaves. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "meta/event_store.h"

enum { NOW_MS = 1000000 };

struct fixture {
    char folder[64], path[96];
    struct event_limits limits;
    struct event_store *store;
};

static void reopen(struct fixture *fixture)
{
    struct err err;

    event_store_close(fixture->store);
    assert_int_equal(
        event_store_open(fixture->path, &fixture->limits, NOW_MS, &fixture->store, &err), 0);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    strcpy(fixture->folder, "/tmp/verso-events-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->path, sizeof(fixture->path), "%s/events.db", fixture->folder);
    reopen(fixture);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    char command[128];

    event_store_close(fixture->store);
    snprintf(command, sizeof(command), "rm -r %s", fixture->folder);
    assert_int_equal(system(command), 0);
    free(fixture);
    return 0;
}

static struct event_record line(enum event_class class, const char *object, int64_t wall_ms)
{
    struct event_record record = {.class = class,
                                  .wall_ms = wall_ms,
                                  .severity = class == EVENT_STATE ? EVENT_WARNING : EVENT_INFO,
                                  .kind = "call",
                                  .text = "what happened, in a sentence",
                                  .caller = "alice",
                                  .key_id = "VK1",
                                  .source = "192.0.2.7",
                                  .request_id = "R",
                                  .action = "DescribeDisks",
                                  .code = "Forbidden",
                                  .status = 403,
                                  .duration_us = 77};

    if (class == EVENT_STATE)
        strcpy(record.kind, "state");
    snprintf(record.object, sizeof(record.object), "%s", object);
    return record;
}

static void append(struct fixture *fixture, enum event_class class, const char *object,
                   int64_t wall_ms, unsigned count)
{
    struct event_record *records = calloc(count, sizeof(*records));
    struct err err;

    for (unsigned i = 0; i < count; i++)
        records[i] = line(class, object, wall_ms);
    assert_int_equal(event_store_append(fixture->store, records, count, count % 2 == 1, &err), 0);
    free(records);
}

/* The objects that a filter shows, "a b c". */
static const char *shown(struct fixture *fixture, struct event_filter filter)
{
    static char text[4000];
    struct event_record *records;
    unsigned count;
    int64_t next;
    struct err err;

    filter.count_max = filter.count_max ? filter.count_max : 100;
    assert_int_equal(event_store_list(fixture->store, &filter, &records, &count, &next, &err), 0);
    text[0] = '\0';
    for (unsigned i = 0; i < count; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "",
                 records[i].object);
    free(records);
    return text;
}

static void test_all_fields_come_back_and_survive(void **state)
{
    struct fixture *fixture = *state;
    struct event_record record = line(EVENT_CHANGE, "d-1", 5), *records;
    struct event_filter filter = {.count_max = 5};
    unsigned count;
    int64_t next;
    struct err err;

    assert_int_equal(event_store_append(fixture->store, &record, 1, true, &err), 0);
    assert_int_equal(record.number, 1);
    reopen(fixture);
    assert_int_equal(event_store_list(fixture->store, &filter, &records, &count, &next, &err), 0);
    assert_int_equal(count, 1);
    assert_memory_equal(records, &record, sizeof(record));
    free(records);
}

static void test_filters_and_both_directions(void **state)
{
    struct fixture *fixture = *state;

    append(fixture, EVENT_CHANGE, "a", 10, 1);
    append(fixture, EVENT_READ, "b", 20, 1);
    append(fixture, EVENT_STATE, "c", 30, 1);
    append(fixture, EVENT_REFUSED, "d", 40, 1);
    assert_string_equal(shown(fixture, (struct event_filter){0}), "a c d");
    assert_string_equal(shown(fixture, (struct event_filter){.with_reads = true}), "a b c d");
    assert_string_equal(shown(fixture, (struct event_filter){.is_backward = true}), "d c a");
    assert_string_equal(shown(fixture, (struct event_filter){.after = 1}), "c d");
    assert_string_equal(shown(fixture, (struct event_filter){.after = 1, .is_backward = true}),
                        "d c");
    assert_string_equal(
        shown(fixture, (struct event_filter){.after = 1, .before = 4, .is_backward = true}), "c");
    assert_string_equal(shown(fixture, (struct event_filter){.after = 1, .before = 4}), "c");
    assert_string_equal(shown(fixture, (struct event_filter){.before = 4, .is_backward = true}),
                        "c a");
    assert_string_equal(shown(fixture, (struct event_filter){.count_max = 1, .after = 1}), "c");
    assert_string_equal(shown(fixture, (struct event_filter){.object = "c"}), "c");
    assert_string_equal(shown(fixture, (struct event_filter){.kind = "state"}), "c");
    assert_string_equal(shown(fixture, (struct event_filter){.caller = "bob"}), "");
    assert_string_equal(shown(fixture, (struct event_filter){.action = "DescribeDisks"}), "a c d");
    assert_string_equal(shown(fixture, (struct event_filter){.from_ms = 30, .until_ms = 40}), "c");
    assert_string_equal(shown(fixture, (struct event_filter){.severity_min = EVENT_WARNING}), "c");
}

static void test_reads_cannot_push_out_changes(void **state)
{
    struct fixture *fixture = *state;
    struct event_filter all = {.with_reads = true, .count_max = 10000};
    struct event_record *records;
    unsigned count, changes = 0;
    int64_t next;
    struct stat file;
    struct err err;

    fixture->limits.keep_bytes = 400000;
    reopen(fixture);
    append(fixture, EVENT_CHANGE, "kept", 10, 50);
    for (unsigned i = 0; i < 100; i++) {
        append(fixture, EVENT_READ, "read", 20, 500);
        append(fixture, EVENT_REFUSED, "refused", 20, 200);
        append(fixture, EVENT_DENIED, "denied", 20, 200);
    }
    assert_int_equal(event_store_list(fixture->store, &all, &records, &count, &next, &err), 0);
    for (unsigned i = 0; i < count; i++)
        changes += strcmp(records[i].object, "kept") == 0;
    free(records);
    assert_int_equal(changes, 50);
    assert_true(count > 500); /* a quarter each, and the last batch */
    assert_true(count < 4000);
    reopen(fixture);
    assert_int_equal(stat(fixture->path, &file), 0);
    assert_true(file.st_size < 2 * 400000 + 257 * 4096);
}

static void test_bounded_by_size_and_age(void **state)
{
    struct fixture *fixture = *state;
    struct event_record *records;
    struct event_filter all = {.count_max = 10000};
    unsigned count;
    int64_t next;
    struct err err;

    fixture->limits.keep_bytes = 400000;
    fixture->limits.keep_ms = 1000;
    reopen(fixture);
    for (unsigned i = 0; i < 100; i++)
        append(fixture, EVENT_CHANGE, "x", 10, 100);
    assert_int_equal(event_store_list(fixture->store, &all, &records, &count, &next, &err), 0);
    assert_in_range(count, 500, 2600);
    assert_int_equal(records[count - 1].number, 10000); /* the oldest went */
    free(records);
    for (unsigned i = 0; i < 10; i++)
        append(fixture, EVENT_CHANGE, "new", 1011 + i, 1);
    all.count_max = 20;
    assert_string_equal(shown(fixture, all), "new new new new new new new new new new");
}

static void scribble(const char *path, off_t from)
{
    FILE *file = fopen(path, "r+");

    assert_non_null(file);
    assert_int_equal(fseek(file, from, SEEK_SET), 0);
    for (int i = 0; i < 3000; i++)
        fputc(0x5a, file);
    fclose(file);
}

static void test_damage_is_begun_anew_with_a_line(void **state)
{
    struct fixture *fixture = *state;
    struct event_filter all = {.count_max = 10};
    struct event_record *records;
    unsigned count;
    int64_t next;
    struct err err;
    char damaged[120];

    append(fixture, EVENT_CHANGE, "old", 10, 3);
    event_store_close(fixture->store);
    fixture->store = NULL;
    scribble(fixture->path, 0);
    reopen(fixture);
    append(fixture, EVENT_CHANGE, "new", NOW_MS, 1);
    assert_int_equal(event_store_list(fixture->store, &all, &records, &count, &next, &err), 0);
    assert_int_equal(count, 2);
    assert_string_equal(records[0].kind, "store");
    assert_string_equal(records[1].object, "new");
    assert_true(records[0].number > (int64_t)NOW_MS * 1000);
    free(records);
    snprintf(damaged, sizeof(damaged), "%s.damaged", fixture->path);
    assert_int_equal(access(damaged, F_OK), 0);
}

static void test_damage_that_is_found_later(void **state)
{
    struct fixture *fixture = *state;
    struct event_record record = line(EVENT_CHANGE, "new", NOW_MS);
    struct event_filter all = {.count_max = 10};
    struct err err;
    int result = 0;

    for (unsigned i = 0; i < 20; i++)
        append(fixture, EVENT_CHANGE, "old", 10, 100);
    event_store_close(fixture->store);
    fixture->store = NULL;
    for (off_t page = 8; page < 200; page += 3)
        scribble(fixture->path, page * 4096);
    reopen(fixture);
    for (unsigned i = 0; i < 3; i++)
        result = event_store_append(fixture->store, &record, 1, true, &err);
    assert_int_equal(result, 0);
    assert_non_null(strstr(shown(fixture, all), "new"));
}

static void test_a_strange_file_is_put_aside(void **state)
{
    struct fixture *fixture = *state;
    FILE *file;

    event_store_close(fixture->store);
    fixture->store = NULL;
    file = fopen(fixture->path, "w");
    for (int i = 0; i < 9000; i++)
        fputc('x', file);
    fclose(file);
    reopen(fixture);
    append(fixture, EVENT_CHANGE, "new", NOW_MS, 1);
    assert_string_equal(shown(fixture, (struct event_filter){.object = "new"}), "new");
}

/* Of a filter that matches little each call looks at a bounded part, and says where to go on; so
 * all of it is found, once. */
static void test_a_bounded_look(void **state)
{
    struct fixture *fixture = *state;
    unsigned calls = 0, found = 0;

    for (unsigned i = 0; i < 10; i++) {
        append(fixture, EVENT_STATE, "common", 1, 9);
        append(fixture, EVENT_STATE, i % 5 == 0 ? "rare" : "common", 1, 1);
    }
    for (unsigned backward = 0; backward < 2; backward++) {
        struct event_filter filter = {
            .object = "rare", .count_max = 5, .scan_max = 30, .is_backward = backward};

        bool is_more;

        calls = found = 0;
        do {
            struct event_record *records;
            unsigned count;
            int64_t next;
            struct err err;

            assert_int_equal(
                event_store_list(fixture->store, &filter, &records, &count, &next, &err), 0);
            free(records);
            found += count;
            calls++;
            *(backward ? &filter.before : &filter.after) = next;
            is_more = next != 0;
        } while (is_more);
        assert_int_equal(found, 2);
        assert_int_equal(calls, 4); /* of 100 lines 30 each */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_fields_come_back_and_survive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_filters_and_both_directions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_bounded_look, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reads_cannot_push_out_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounded_by_size_and_age, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage_is_begun_anew_with_a_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage_that_is_found_later, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_strange_file_is_put_aside, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
