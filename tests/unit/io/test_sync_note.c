/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The note of failed syncs on a real kernel: who finds it opens files whose pages are no longer in
 * the cache. (That a failure is noted, and what that is good for: tests/sim/test_sim_syncs.c.)
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "io/file.h"
#include "io/sync_note.h"

enum { PAGE = 4096, PAGES = 64 };

struct fixture {
    struct loop *loop;
    char folder[64], note[128], file[128];
    uint8_t bytes[PAGES * PAGE];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    snprintf(f->folder, sizeof(f->folder), "sync-note-XXXXXX"); /* on a disk: not in TMPDIR */
    check(mkdtemp(f->folder) != NULL);
    snprintf(f->note, sizeof(f->note), "%s/note", f->folder);
    snprintf(f->file, sizeof(f->file), "%s/file", f->folder);
    check(loop_new(LOOP_THREADS, &f->loop, NULL) == 0);
    memset(f->bytes, 'x', sizeof(f->bytes));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    loop_free(f->loop);
    unlink(f->note);
    unlink(f->file);
    rmdir(f->folder);
    free(f);
    return 0;
}

static unsigned count_cached(const struct fixture *f)
{
    unsigned char marks[PAGES];
    unsigned count = 0;
    int fd = open(f->file, O_RDWR | O_CLOEXEC);
    void *at = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_SHARED, fd, 0);

    check(fd >= 0 && at != MAP_FAILED && mincore(at, PAGES * PAGE, marks) == 0);
    for (unsigned i = 0; i < PAGES; i++)
        count += marks[i] & 1;
    munmap(at, PAGES * PAGE);
    close(fd);
    return count;
}

static void write_file(struct fixture *f)
{
    struct io_file *file;

    assert_int_equal(io_file_open(f->loop, f->file, IO_CREATE, &file, NULL), 0);
    assert_int_equal(io_file_write_now(f->loop, file, f->bytes, sizeof(f->bytes), 0), 0);
    io_file_close(f->loop, file);
}

static int reopen(struct fixture *f)
{
    struct io_file *file;
    int error = io_file_open(f->loop, f->file, 0, &file, NULL);

    if (error == 0)
        io_file_close(f->loop, file);
    return error;
}

static struct sync_note *watch(struct fixture *f)
{
    struct sync_note *note;

    assert_int_equal(sync_note_open(f->loop, f->note, &note, NULL), 0);
    loop_watch_syncs(f->loop, note);
    return note;
}

static void unwatch(struct fixture *f, struct sync_note *note)
{
    loop_watch_syncs(f->loop, NULL);
    sync_note_close(note);
}

static void test_cache_is_dropped_behind_a_failure(void **state)
{
    struct fixture *f = *state;
    struct sync_note *note = watch(f);
    char boot_id[64];

    write_file(f);
    assert_int_equal(reopen(f), 0);
    assert_int_equal(count_cached(f), PAGES); /* all is well: nothing is dropped */
    snprintf(boot_id, sizeof(boot_id), "%s", loop_boot_id(f->loop));
    sync_note_failed(note);
    assert_string_equal(loop_boot_id(f->loop), boot_id);
    unwatch(f, note);
    note = watch(f);
    assert_string_not_equal(loop_boot_id(f->loop), boot_id);
    assert_int_equal(reopen(f), 0);
    assert_int_equal(count_cached(f), 0);
    unwatch(f, note);
    assert_string_equal(loop_boot_id(f->loop), boot_id);
}

/* Pages that somebody uses stay: then nothing is opened as if they were gone. */
static void test_what_others_hold_is_told(void **state)
{
    struct fixture *f = *state;
    struct sync_note *note = watch(f);
    volatile const uint8_t *at;
    int fd;

    sync_note_failed(note);
    unwatch(f, note);
    note = watch(f);
    write_file(f);
    fd = open(f->file, O_RDONLY | O_CLOEXEC);
    at = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_SHARED, fd, 0);
    check(at != MAP_FAILED);
    assert_int_equal(at[PAGE], 'x'); /* mapped now */
    assert_int_equal(reopen(f), -EBUSY);
    munmap((void *)(uintptr_t)at, PAGES * PAGE);
    assert_int_equal(reopen(f), 0);
    close(fd);
    unwatch(f, note);
}

static void test_damaged_note_is_made_anew(void **state)
{
    struct fixture *f = *state;
    struct sync_note *note = watch(f);
    FILE *file;

    sync_note_failed(note);
    unwatch(f, note);
    file = fopen(f->note, "r+e");
    check(file != NULL && fseek(file, 20, SEEK_SET) == 0 && fputc('?', file) == '?');
    check(fclose(file) == 0);
    note = watch(f); /* as of another boot */
    assert_false(sync_note_is_distrusting(note));
    unwatch(f, note);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cache_is_dropped_behind_a_failure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_others_hold_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_note_is_made_anew, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
