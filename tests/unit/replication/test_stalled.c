/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between two engines: what a site does while a sync or a save of its own takes long, or has
 * failed, or its store has no room. They are kept back by wrapping them in the linker.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pair_lab.h"
#include "replication/snapshots.h"
#include "replication/stream.h"

enum { LARGE_BLOCKS = DISK_BLOCKS + 2000, WRITES_MAX = 4096 };

enum save_fate { SAVE_GOES, SAVE_FAILS, SAVE_WAITS, SAVE_OF_FENCE_WAITS };

static struct {
    bool are_syncs_kept, are_syncs_refused;
    struct {
        struct volume *volume;
        struct base_write *write;
        void (*done_cb)(struct base_write *write, int error);
    } syncs[DISKS];
    unsigned sync_count;
    bool are_stores_full;
    struct {
        struct base_write *write;
        void (*done_cb)(struct base_write *write, int error);
    } refused[WRITES_MAX]; /* on their way back */
    unsigned refused_count;
    enum save_fate fate;
    struct stream *stream; /* whose save waits: before REPROTECT leaves, or of a fence */
    stream_step_fn step_cb;
    bool are_snapshots_refused;
    unsigned refused_snapshots;
} kept;

void __real_volume_base_sync(struct volume *volume, struct base_write *write,
                             void (*done_cb)(struct base_write *write, int error));
void __wrap_volume_base_sync(struct volume *volume, struct base_write *write,
                             void (*done_cb)(struct base_write *write, int error));
void __real_volume_base_write(struct volume *volume, struct base_write *write);
void __wrap_volume_base_write(struct volume *volume, struct base_write *write);
void __real_stream_save(struct stream *stream, stream_step_fn step_cb);
void __wrap_stream_save(struct stream *stream, stream_step_fn step_cb);

int __real_snapshots_make(struct snapshots *snapshots, const struct layer_description *description,
                          struct err *err);
int __wrap_snapshots_make(struct snapshots *snapshots, const struct layer_description *description,
                          struct err *err);

int __wrap_snapshots_make(struct snapshots *snapshots, const struct layer_description *description,
                          struct err *err)
{
    if (!kept.are_snapshots_refused)
        return __real_snapshots_make(snapshots, description, err);
    kept.refused_snapshots++;
    return err_set(err, -ENOSPC, "no room");
}

static void refuse(struct base_write *write, int error)
{
    unsigned i = 0;

    while (i < kept.refused_count && kept.refused[i].write != write)
        i++;
    assert_true(i < kept.refused_count && error == 0);
    void (*done_cb)(struct base_write * write, int error) = kept.refused[i].done_cb;

    kept.refused[i] = kept.refused[--kept.refused_count];
    done_cb(write, -ENOSPC);
}

/* Later, not from inside. */
static void refuse_later(struct volume *volume, struct base_write *write,
                         void (*done_cb)(struct base_write *write, int error))
{
    assert_true(kept.refused_count < WRITES_MAX);
    kept.refused[kept.refused_count].write = write;
    kept.refused[kept.refused_count++].done_cb = done_cb;
    __real_volume_base_sync(volume, write, refuse);
}

void __wrap_volume_base_sync(struct volume *volume, struct base_write *write,
                             void (*done_cb)(struct base_write *write, int error))
{
    if (kept.are_syncs_refused) {
        refuse_later(volume, write, done_cb);
        return;
    }
    if (!kept.are_syncs_kept) {
        __real_volume_base_sync(volume, write, done_cb);
        return;
    }
    assert_true(kept.sync_count < DISKS);
    kept.syncs[kept.sync_count].volume = volume;
    kept.syncs[kept.sync_count].write = write;
    kept.syncs[kept.sync_count++].done_cb = done_cb;
}

void __wrap_volume_base_write(struct volume *volume, struct base_write *write)
{
    if (!kept.are_stores_full) {
        __real_volume_base_write(volume, write);
        return;
    }
    refuse_later(volume, write, write->done_cb);
}

static bool save_waits(const struct stream *stream)
{
    return (kept.fate == SAVE_WAITS && stream->reprotect.step == REPROTECT_CLOSING) ||
           (kept.fate == SAVE_OF_FENCE_WAITS && stream->state.role == STREAM_ROLE_FENCED);
}

void __wrap_stream_save(struct stream *stream, stream_step_fn step_cb)
{
    if (kept.fate == SAVE_FAILS) {
        stream_set_trouble(stream, "the state cannot be stored");
        step_cb(stream, -EIO);
    } else if (save_waits(stream)) {
        kept.stream = stream;
        kept.step_cb = step_cb;
    } else {
        __real_stream_save(stream, step_cb);
    }
}

static bool may_write(struct pair_lab *lab, void *arg)
{
    unsigned site = *(unsigned *)arg;
    const char *why;

    return engine_disk_may_write(lab->sites[site].engine, site == PARIS ? "d-paris0" : "d-lyon0",
                                 &why);
}

static void replicate(struct pair_lab *lab)
{
    unsigned site = PARIS;

    memset(&kept, 0, sizeof(kept));
    pair_lab_open(lab);
    pair_wait(lab, may_write, &site);
    pair_write(lab, PARIS, 0, 10, 100, 1);
    assert_int_equal(pair_start(lab, PARIS, false), 0);
    pair_settle(lab, PARIS);
}

static void forget(void *arg, int error, const char *why)
{
}

static bool has_role(struct pair_lab *lab, unsigned site, enum stream_role role)
{
    return pair_status(lab, site).role == role;
}

static bool paris_is_fenced(struct pair_lab *lab, void *arg)
{
    return has_role(lab, PARIS, STREAM_ROLE_FENCED) && lab->sites[PARIS].is_closed[0];
}

static bool all_syncs_are_kept(struct pair_lab *lab, void *arg)
{
    return kept.sync_count == DISKS;
}

static bool a_save_is_kept(struct pair_lab *lab, void *arg)
{
    return kept.stream != NULL;
}

static bool syncs_have_ended(struct pair_lab *lab, void *arg)
{
    return kept.stream->base_synced_cb == NULL;
}

static bool lyon_is_target(struct pair_lab *lab, void *arg)
{
    return has_role(lab, LYON, STREAM_ROLE_TARGET) && has_role(lab, PARIS, STREAM_ROLE_SOURCE);
}

/* The sync that the first exchange asked for ends while the second one stores its state: it is not
 * the second one's, whose REPROTECT has not left yet. */
static void sync_of_an_exchange_before(void **state)
{
    struct pair_lab lab;

    replicate(&lab);
    assert_int_equal(pair_failover(&lab, LYON), 0);
    pair_wait(&lab, paris_is_fenced, NULL);
    kept.are_syncs_kept = true;
    engine_stream_reprotect(lab.sites[LYON].engine, "pg-lab", false, forget, NULL);
    pair_wait(&lab, all_syncs_are_kept, NULL);
    kept.are_syncs_kept = false;
    kept.fate = SAVE_WAITS;
    pair_site_stop(&lab, PARIS);
    pair_site_start(&lab, PARIS, false);
    pair_wait(&lab, a_save_is_kept, NULL);
    for (unsigned i = 0; i < DISKS; i++)
        __real_volume_base_sync(kept.syncs[i].volume, kept.syncs[i].write, kept.syncs[i].done_cb);
    pair_wait(&lab, syncs_have_ended, NULL);
    kept.fate = SAVE_GOES;
    __real_stream_save(kept.stream, kept.step_cb);
    pair_wait(&lab, lyon_is_target, NULL);
    assert_int_equal(pair_start(&lab, PARIS, false), 0);
    pair_settle(&lab, PARIS);
    pair_lab_close(&lab);
}

/* The disks stay closed until it is asked again and ends, so it says what keeps it from that. */
static void cancel_whose_sync_fails(void **state)
{
    struct pair_lab lab;
    unsigned site = LYON;

    replicate(&lab);
    assert_int_equal(pair_failover(&lab, LYON), 0);
    kept.are_syncs_refused = true;
    assert_int_equal(pair_reprotect_met(&lab, LYON, false), -ENOSPC);
    assert_true(has_role(&lab, LYON, STREAM_ROLE_PROMOTED));
    assert_false(may_write(&lab, &site));
    assert_non_null(strstr(pair_status(&lab, LYON).trouble, "disks cannot be synced"));
    kept.are_syncs_refused = false;
    assert_int_equal(pair_reprotect_met(&lab, LYON, false), 0);
    assert_true(has_role(&lab, LYON, STREAM_ROLE_TARGET));
    assert_null(strstr(pair_status(&lab, LYON).trouble, "synced"));
    pair_lab_close(&lab);
}

static uint64_t host_blocks(struct pair_lab *lab, unsigned site)
{
    return engine_disk_bytes(lab->sites[site].engine, site == PARIS ? "d-paris0" : "d-lyon0") /
           BLOCK_SIZE;
}

/* A host that attaches now would get a size that may not be there after a restart. */
static void size_that_is_not_durable(void **state)
{
    struct pair_lab lab;
    int error;

    replicate(&lab);
    assert_int_equal(pair_grow(&lab, LYON, 0, LARGE_BLOCKS), 0);
    assert_int_equal(host_blocks(&lab, LYON), LARGE_BLOCKS);
    do {
        kept.fate = SAVE_FAILS;
        error = pair_grow(&lab, PARIS, 0, LARGE_BLOCKS);
        kept.fate = SAVE_GOES;
        pair_run_ms(&lab, 1);
    } while (error == -EAGAIN);
    assert_int_equal(error, -EIO);
    assert_int_equal(pair_blocks(&lab, PARIS, 0), LARGE_BLOCKS);
    assert_int_equal(host_blocks(&lab, PARIS), DISK_BLOCKS);
    assert_int_equal(lab.sites[PARIS].grown_bytes, 0);
    /* Asked again, it is stored. */
    assert_int_equal(pair_grow(&lab, PARIS, 0, LARGE_BLOCKS), 0);
    assert_int_equal(host_blocks(&lab, PARIS), LARGE_BLOCKS);
    pair_lab_close(&lab);
}

static bool lyon_has_point(struct pair_lab *lab, void *arg)
{
    return pair_status(lab, LYON).has_point;
}

/* The source dies while the target ends the first copy. It does not know of that, but need not send
 * everything again: that would be one epoch, for which no journal may be large enough. */
static void first_copy_that_ends_without_its_source(void **state)
{
    struct pair_lab lab;
    unsigned site = PARIS;

    memset(&kept, 0, sizeof(kept));
    pair_lab_prepare(&lab);
    lab.settings.journal_bytes_max = 1 << 20;
    pair_lab_start(&lab);
    pair_wait(&lab, may_write, &site);
    pair_write(&lab, PARIS, 0, 0, 2000, PAIR_NOISE);
    kept.are_syncs_kept = true;
    assert_int_equal(pair_start(&lab, PARIS, false), 0);
    pair_wait(&lab, all_syncs_are_kept, NULL);
    kept.are_syncs_kept = false;
    pair_site_kill(&lab, PARIS);
    for (unsigned i = 0; i < DISKS; i++)
        __real_volume_base_sync(kept.syncs[i].volume, kept.syncs[i].write, kept.syncs[i].done_cb);
    pair_wait(&lab, lyon_has_point, NULL);
    pair_site_start(&lab, PARIS, false);
    pair_wait(&lab, may_write, &site);
    pair_write(&lab, PARIS, 0, 100, 10, PAIR_NOISE + 1);
    pair_settle(&lab, PARIS);
    assert_true(pair_status(&lab, PARIS).shipped_bytes < 100 * BLOCK_SIZE);
    pair_lab_close(&lab);
}

/* What is full is named at both sites, and is not the journal. */
static bool fullness_is_told(struct pair_lab *lab, void *arg)
{
    static const char text[] = "no room at the target in the store of disk d-lyon";
    struct engine_stream_status paris = pair_status(lab, PARIS), lyon = pair_status(lab, LYON);

    assert_null(strstr(paris.trouble, "journal"));
    assert_null(strstr(lyon.trouble, "journal"));
    assert_true(lyon.journal_needed_bytes == 0 && !paris.full_disk[0]);
    return strncmp(lyon.full_disk, "d-lyon", 6) == 0 &&
           strncmp(lyon.trouble, text, strlen(text)) == 0 &&
           strcmp(paris.trouble, lyon.trouble) == 0;
}

static void copy_into_a_full_store(void **state)
{
    struct pair_lab lab;
    unsigned site = PARIS;

    memset(&kept, 0, sizeof(kept));
    pair_lab_open(&lab);
    pair_wait(&lab, may_write, &site);
    pair_write(&lab, PARIS, 0, 10, 100, 1);
    kept.are_stores_full = true;
    assert_int_equal(pair_start(&lab, PARIS, false), 0);
    pair_wait(&lab, fullness_is_told, NULL);
    pair_site_stop(&lab, PARIS); /* told again on the next connection */
    pair_site_start(&lab, PARIS, false);
    pair_wait(&lab, fullness_is_told, NULL);
    assert_false(pair_status(&lab, LYON).has_point);
    kept.are_stores_full = false;
    pair_settle(&lab, PARIS); /* by itself */
    assert_string_equal(pair_status(&lab, PARIS).trouble, "");
    assert_string_equal(pair_status(&lab, LYON).trouble, "");
    assert_string_equal(pair_status(&lab, LYON).full_disk, "");
    pair_lab_close(&lab);
}

static bool half_is_shipped(struct pair_lab *lab, void *arg)
{
    return pair_status(lab, PARIS).shipped_bytes > 1700 * BLOCK_SIZE;
}

/* The source is stopped and started again in the middle: it knows what it has shipped. */
static void first_copy_that_goes_on_after_a_stop(void **state)
{
    struct pair_lab lab;
    unsigned site = PARIS;

    memset(&kept, 0, sizeof(kept));
    pair_lab_prepare(&lab);
    lab.settings.bandwidth_bytes = 16 << 20;
    pair_lab_start(&lab);
    pair_wait(&lab, may_write, &site);
    pair_write(&lab, PARIS, 0, 0, 3000, PAIR_NOISE);
    assert_int_equal(pair_start(&lab, PARIS, false), 0);
    pair_wait(&lab, half_is_shipped, NULL);
    pair_site_stop(&lab, PARIS);
    pair_site_start(&lab, PARIS, false);
    pair_settle(&lab, PARIS);
    /* One who begins anew ships 3000 again. */
    assert_true(pair_status(&lab, PARIS).shipped_bytes < 2400 * BLOCK_SIZE);
    pair_lab_close(&lab);
}

static bool no_room_is_told(struct pair_lab *lab, void *arg)
{
    static const char text[] = "no room at the site of disk ";

    return strncmp(pair_status(lab, PARIS).trouble, text, strlen(text)) == 0 &&
           strncmp(pair_status(lab, LYON).trouble, text, strlen(text)) == 0;
}

static bool is_turned(struct pair_lab *lab, void *arg)
{
    unsigned winner = *(unsigned *)arg;

    return has_role(lab, winner, STREAM_ROLE_SOURCE) &&
           has_role(lab, winner == PARIS ? LYON : PARIS, STREAM_ROLE_TARGET) &&
           pair_status(lab, PARIS).trouble[0] == '\0' && pair_status(lab, LYON).trouble[0] == '\0';
}

static bool is_paris_fenced(struct pair_lab *lab, void *arg)
{
    return has_role(lab, PARIS, STREAM_ROLE_FENCED);
}

/* The loser has no room for the snapshots, whichever site that is: both say so, neither asks
 * without a pause, an operator may ask at once, and with room it goes on by itself. */
static void reprotect_into_a_full_folder(void **state)
{
    for (unsigned winner = PARIS; winner <= LYON; winner++) {
        struct pair_lab lab;

        replicate(&lab);
        assert_int_equal(pair_failover(&lab, LYON), 0);
        pair_wait(&lab, is_paris_fenced, NULL);
        kept.are_snapshots_refused = true;
        assert_int_equal(pair_reprotect(&lab, LYON, winner == LYON), -ENOSPC);
        pair_wait(&lab, no_room_is_told, NULL);
        pair_run_ms(&lab, 300);
        assert_int_equal(kept.refused_snapshots, 1);
        if (winner == LYON) {
            assert_int_equal(pair_reprotect(&lab, LYON, true), -ENOSPC);
            assert_int_equal(kept.refused_snapshots, 2);
            kept.are_snapshots_refused = false;
            assert_int_equal(pair_reprotect(&lab, LYON, true), 0);
        }
        kept.are_snapshots_refused = false;
        pair_wait(&lab, is_turned, &winner);
        pair_lab_close(&lab);
    }
}

static void parted(void *arg, int error, const char *why)
{
    assert_int_equal(error, 0);
    *(bool *)arg = true;
}

static bool is_true(struct pair_lab *lab, void *arg)
{
    return *(bool *)arg;
}

/* The other site fails over and is given up there while the fence here is being stored: who is told
 * that this site has parted does not say so again, and nobody is left to fence the next life. */
static void part_of_a_source_whose_fence_is_not_stored(void **state)
{
    bool is_parted = false;
    struct pair_lab lab;
    unsigned site = PARIS;

    replicate(&lab);
    kept.fate = SAVE_OF_FENCE_WAITS;
    assert_int_equal(pair_failover(&lab, LYON), 0);
    pair_wait(&lab, a_save_is_kept, NULL);
    assert_int_equal(pair_remove(&lab, LYON), 0);
    engine_stream_part(lab.sites[PARIS].engine, "pg-lab", true, parted, &is_parted);
    pair_wait(&lab, is_true, &is_parted);
    kept.fate = SAVE_GOES; /* its end stores it, behind the kill */
    pair_site_kill(&lab, PARIS);
    pair_site_start(&lab, PARIS, false);
    assert_true(has_role(&lab, PARIS, STREAM_ROLE_FENCED));
    assert_false(pair_status(&lab, PARIS).is_started);
    assert_false(may_write(&lab, &site));
    pair_lab_close(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_copy_that_goes_on_after_a_stop),
        cmocka_unit_test(first_copy_that_ends_without_its_source),
        cmocka_unit_test(sync_of_an_exchange_before),
        cmocka_unit_test(cancel_whose_sync_fails),
        cmocka_unit_test(reprotect_into_a_full_folder),
        cmocka_unit_test(size_that_is_not_durable),
        cmocka_unit_test(copy_into_a_full_store),
        cmocka_unit_test(part_of_a_source_whose_fence_is_not_stored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
