/* SPDX-License-Identifier: Apache-2.0 */
/* What changes between two looks is one line, however often somebody looks. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/audit.h"
#include "control/notice.h"
#include "tests/lib/fake_loop.h"

#define SECOND UINT64_C(1000000000)

struct fixture {
    struct fake_loop fake;
    struct meta meta;
    struct site site;
    struct event_store *store;
    struct notice *notice;
    struct data_snapshot snapshot;
    struct data_stream_status stream;
    struct data_disk_status disk;
    char folder[64];
};

static int no_record(struct meta *meta, enum record_kind kind, const char *key, void *ret_record)
{
    return -ENOENT;
}

static const struct meta_ops ops = {.get = no_record};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    const struct event_limits limits = {0};
    char path[96];
    struct err err;

    strcpy(fixture->folder, "/tmp/verso-notice-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(path, sizeof(path), "%s/events.db", fixture->folder);
    assert_int_equal(event_store_open(path, &limits, 1, &fixture->store, &err), 0);
    fake_loop_init(&fixture->fake);
    fixture->fake.now_ns = 100 * SECOND;
    fixture->meta.ops = &ops;
    fixture->site =
        (struct site){.magic = SITE_MAGIC, .loop = &fixture->fake.loop, .meta = &fixture->meta};
    audit_init(&fixture->site, fixture->store, 0, 0);
    fixture->notice = notice_new();
    strcpy(fixture->stream.id, "pg-1");
    strcpy(fixture->disk.id, "d-1");
    fixture->snapshot = (struct data_snapshot){
        .streams = &fixture->stream, .stream_count = 1, .disks = &fixture->disk, .disk_count = 1};
    fixture->site.snapshot = &fixture->snapshot;
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    char command[128];

    notice_free(fixture->notice);
    audit_fini(&fixture->site);
    event_store_close(fixture->store);
    fake_loop_fini(&fixture->fake);
    snprintf(command, sizeof(command), "rm -r %s", fixture->folder);
    assert_int_equal(system(command), 0);
    free(fixture);
    return 0;
}

/* Looks three times, five seconds apart; what is new since `*after`, "kind severity text|". */
static void expect(struct fixture *fixture, int64_t *after, const char *lines)
{
    struct event_filter filter = {.count_max = 100, .after = *after};
    struct event_record *records;
    char got[2000] = "";
    unsigned count;
    int64_t next;
    struct err err;

    for (int i = 0; i < 3; i++) {
        notice_look(fixture->notice, &fixture->site);
        fixture->fake.now_ns += 5 * SECOND;
    }
    audit_flush(&fixture->site);
    assert_int_equal(event_store_list(fixture->store, &filter, &records, &count, &next, &err), 0);
    for (unsigned i = 0; i < count; i++) {
        snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s %s %d %s|", records[i].object,
                 records[i].kind, (int)records[i].severity, records[i].text);
        *after = records[i].number;
    }
    free(records);
    assert_string_equal(got, lines);
}

static void test_each_change_is_told_once(void **state)
{
    struct fixture *fixture = *state;
    int64_t after = 0;

    expect(fixture, &after, "");
    strcpy(fixture->stream.trouble, "the journal cannot be read");
    expect(fixture, &after, "pg-1 trouble 1 the journal cannot be read|");
    fixture->stream.trouble[0] = 0;
    fixture->stream.epoch_acked++;
    fixture->stream.journal_needed_bytes = 4096;
    expect(fixture, &after,
           "pg-1 trouble 0 over: the journal cannot be read|"
           "pg-1 full 2 the journal is full: it needs 4096 bytes more|");
    fixture->stream.journal_needed_bytes = 8192;
    fixture->stream.role = DATA_ROLE_PROMOTED;
    expect(fixture, &after, "pg-1 role 1 source -> promoted|");
    fixture->stream.journal_needed_bytes = 0;
    fixture->stream.epoch_acked++;
    fixture->disk.is_fenced = true;
    expect(fixture, &after,
           "pg-1 full 0 over: the journal has room|d-1 fenced 2 a sync of its store failed: hosts "
           "get errors until the daemon starts anew|");
    fixture->disk.full = 3;
    expect(fixture, &after, "d-1 full 2 no space is left below its store: 3 writes failed|");
    strcpy(fixture->stream.full_disk, "d-7");
    expect(fixture, &after,
           "pg-1 full 2 the store of disk d-7 has no room for its copy: replication waits for it|");
    fixture->stream.full_disk[0] = 0;
    fixture->stream.epoch_acked++;
    expect(fixture, &after, "pg-1 full 0 over: the store of disk d-7 has room|");
}

static void show_full(struct fixture *fixture, bool is_full, const char *disk)
{
    strcpy(fixture->stream.trouble, is_full ? "no room" : "");
    strcpy(fixture->stream.full_disk, is_full ? disk : "");
    fixture->stream.journal_needed_bytes = is_full ? 4096 : 0;
}

/* A full file system is tried again every 5 s: each try looks well, for up to a look or two. */
static void test_a_try_is_not_the_end(void **state)
{
    struct fixture *fixture = *state;
    int64_t after = 0;

    show_full(fixture, true, "d-7");
    expect(fixture, &after,
           "pg-1 trouble 1 no room|pg-1 full 2 the journal is full: it needs 4096 bytes more|"
           "pg-1 full 2 the store of disk d-7 has no room for its copy: replication waits for it|");
    for (int i = 0; i < 20; i++) {
        show_full(fixture, false, "");
        expect(fixture, &after, "");
        show_full(fixture, true, "d-7");
        expect(fixture, &after, "");
    }
    show_full(fixture, false, "");
    for (int i = 0; i < 4; i++)
        expect(fixture, &after, "");
    expect(fixture, &after,
           "pg-1 trouble 0 over: no room|pg-1 full 0 over: the journal has room|"
           "pg-1 full 0 over: the store of disk d-7 has room|");
}

/* Two disks on one full file system: a line a minute at most, and none of them is over. */
static void test_two_full_disks_in_turn(void **state)
{
    struct fixture *fixture = *state;
    int64_t after = 0;

    strcpy(fixture->stream.full_disk, "d-7");
    expect(fixture, &after,
           "pg-1 full 2 the store of disk d-7 has no room for its copy: replication waits for it|");
    strcpy(fixture->stream.full_disk, "d-8");
    expect(fixture, &after, "");
    strcpy(fixture->stream.full_disk, "");
    expect(fixture, &after, "");
    fixture->fake.now_ns += 60 * SECOND;
    strcpy(fixture->stream.full_disk, "d-8");
    expect(fixture, &after,
           "pg-1 full 2 the store of disk d-8 has no room for its copy: replication waits for it|");
}

/* Somebody ended it, or the copy went on: that is told at once. */
static void test_proof_is_told_at_once(void **state)
{
    struct fixture *fixture = *state;
    int64_t after = 0;

    for (int i = 0; i < 3; i++) {
        strcpy(fixture->stream.trouble, "no room");
        expect(fixture, &after, "pg-1 trouble 1 no room|");
        fixture->stream.trouble[0] = 0;
        fixture->stream.epoch_acked += i == 0;
        fixture->stream.is_started = i == 1;
        fixture->stream.role = i == 2 ? DATA_ROLE_TARGET : DATA_ROLE_SOURCE;
        expect(fixture, &after,
               i == 2 ? "pg-1 role 0 source -> target|pg-1 trouble 0 over: no room|"
                      : "pg-1 trouble 0 over: no room|");
    }
}

static void test_what_changes_all_the_time_is_told_once_a_minute(void **state)
{
    struct fixture *fixture = *state;
    int64_t after = 0;

    fixture->disk.full = 1;
    strcpy(fixture->stream.trouble, "1 block");
    expect(fixture, &after,
           "pg-1 trouble 1 1 block|d-1 full 2 no space is left below its store: 1 writes failed|");
    fixture->disk.full = 5;
    strcpy(fixture->stream.trouble, "2 blocks");
    expect(fixture, &after, "");
    fixture->fake.now_ns += 60 * SECOND;
    fixture->disk.full = 6;
    strcpy(fixture->stream.trouble, "3 blocks");
    expect(fixture, &after,
           "pg-1 trouble 1 3 blocks|d-1 full 2 no space is left below its store: 5 writes failed|");
}

static void test_streams_and_disks_come_and_go(void **state)
{
    struct fixture *fixture = *state;
    struct data_stream_status streams[2] = {{.id = "pg-0"}, {.id = "pg-1"}};
    int64_t after = 0;

    expect(fixture, &after, "");
    fixture->snapshot.streams = streams; /* the known one has another place now */
    fixture->snapshot.stream_count = 2;
    fixture->snapshot.disk_count = 0;
    expect(fixture, &after, "");
    streams[1].role = DATA_ROLE_FENCED;
    expect(fixture, &after, "pg-1 role 2 source -> fenced|");
    fixture->snapshot.stream_count = 0;
    expect(fixture, &after, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_change_is_told_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_try_is_not_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_full_disks_in_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_proof_is_told_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_changes_all_the_time_is_told_once_a_minute, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_streams_and_disks_come_and_go, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
