/* SPDX-License-Identifier: Apache-2.0 */
/* The memories of superseded blocks of a huge disk: what making them touches. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/loop_ops.h"
#include "replication/superseded.h"

enum { HEAD_BYTES = 4096 };

/* Who looks behind the head dies. */
static int map_closed(struct loop *loop, const char *path, uint64_t bytes, void **ret_at,
                      struct err *err)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *at = mmap(NULL, bytes, PROT_NONE, flags, -1, 0);

    assert_ptr_not_equal(at, MAP_FAILED);
    assert_int_equal(mprotect(at, HEAD_BYTES, PROT_READ | PROT_WRITE), 0);
    *ret_at = at;
    return 0;
}

static void unmap(struct loop *loop, void *at, uint64_t bytes)
{
    assert_int_equal(munmap(at, bytes), 0);
}

/* A failover waits for it, and so does every host of the site: 64 TiB have 2 GiB of bits. */
static void a_new_one_is_not_looked_into(void **state)
{
    static const uint64_t block_count = UINT64_C(8) << 28; /* 8 TiB */
    static const bool has_journal = true;
    char folder[] = "/tmp/verso-superseded-XXXXXX";
    struct superseded_options options = {.folder = folder,
                                         .disk_count = 1,
                                         .block_counts = &block_count,
                                         .has_journal = &has_journal,
                                         .is_fresh = true};
    struct superseded *superseded;
    struct loop_ops ops;
    struct loop *loop;
    struct err err = {0};

    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(loop_new(LOOP_THREADS, &loop, &err), 0);
    ops = *loop->ops;
    ops.map_open = map_closed;
    ops.map_close = unmap;
    loop->ops = &ops;
    assert_int_equal(superseded_open(loop, &options, &superseded, &err), 0);
    superseded_close(superseded);
    assert_int_equal(superseded_remove(loop, folder, 1, &err), 0);
    loop_free(loop);
    rmdir(folder);
}

struct place {
    char folder[64];
    struct loop *loop;
    struct superseded_options options;
};

static const uint64_t block_counts[] = {100000, 70000};
static const bool has_journal[] = {true, false};

static void begin(struct place *place)
{
    struct err err = {0};

    *place = (struct place){.folder = "/tmp/verso-superseded-XXXXXX"};
    assert_non_null(mkdtemp(place->folder));
    assert_int_equal(loop_new(LOOP_THREADS, &place->loop, &err), 0);
    place->options = (struct superseded_options){.folder = place->folder,
                                                 .disk_count = 2,
                                                 .block_counts = block_counts,
                                                 .has_journal = has_journal,
                                                 .is_fresh = true};
    for (unsigned i = 0; i <= 2; i++)
        assert_int_equal(superseded_make_spare(place->loop, &place->options, i, &err), 0);
}

static void end(struct place *place)
{
    struct err err = {0};

    assert_int_equal(superseded_remove(place->loop, place->folder, 2, &err), 0);
    superseded_remove_spares(place->loop, place->folder, 2);
    loop_free(place->loop);
    assert_int_equal(rmdir(place->folder), 0); /* nothing else was left */
}

static struct stat look(const struct place *place, const char *name)
{
    struct stat stat_of = {0};
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", place->folder, name);
    if (stat(path, &stat_of) < 0)
        stat_of.st_ino = 0;
    return stat_of;
}

static bool has_all_its_room(struct stat stat_of)
{
    return stat_of.st_ino != 0 && stat_of.st_blocks * 512 >= stat_of.st_size;
}

/* Its number is nobody else's while it is open. */
static int keep(const struct place *place, const char *name)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", place->folder, name);
    return open(path, O_RDONLY);
}

/* Which files of a promotion are the spares that were made before. */
static unsigned promote(struct place *place)
{
    static const char *const names[] = {"superseded-0", "superseded.volatile"};
    static const char *const spares[] = {"superseded-0.spare", "superseded.volatile.spare"};
    struct superseded *superseded;
    struct err err = {0};
    int files[2];
    ino_t inodes[2];
    unsigned taken = 0;

    for (unsigned i = 0; i < 2; i++) {
        files[i] = keep(place, spares[i]);
        inodes[i] = look(place, spares[i]).st_ino;
    }
    assert_int_equal(superseded_open(place->loop, &place->options, &superseded, &err), 0);
    superseded_close(superseded);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(look(place, spares[i]).st_ino, 0);
        if (inodes[i] != 0 && look(place, names[i]).st_ino == inodes[i]) {
            assert_true(has_all_its_room(look(place, names[i])));
            taken |= 1u << i;
        }
        if (files[i] >= 0)
            close(files[i]);
    }
    return taken;
}

static void a_promotion_takes_what_was_made_before(void **state)
{
    struct place place;

    (void)state;
    begin(&place);
    assert_true(has_all_its_room(look(&place, "superseded-0.spare")));
    assert_true(has_all_its_room(look(&place, "superseded-1.spare")));
    assert_int_equal(promote(&place), 3);
    assert_int_equal(look(&place, "superseded-1").st_ino, 0); /* no block of it is in the journal */
    assert_int_equal(promote(&place), 0);                     /* a second one makes its own */
    end(&place);
}

static void write_at(const struct place *place, const char *name, off_t offset)
{
    char path[128];
    int file;

    snprintf(path, sizeof(path), "%s/%s", place->folder, name);
    file = open(path, O_WRONLY);
    assert_true(file >= 0);
    assert_int_equal(pwrite(file, "x", 1, offset), 1);
    assert_int_equal(fsync(file), 0);
    close(file);
}

static void what_was_written_in_is_not_taken(void **state)
{
    struct place place;
    struct err err = {0};

    (void)state;
    begin(&place);
    write_at(&place, "superseded-0.spare", 8192);
    write_at(&place, "superseded.volatile.spare", 8192);
    assert_int_equal(promote(&place), 0);
    for (unsigned i = 0; i <= 2; i++)
        assert_int_equal(superseded_make_spare(place.loop, &place.options, i, &err), 0);
    write_at(&place, "superseded-0.spare", 8); /* its header */
    assert_int_equal(promote(&place), 2);
    end(&place);
}

static void a_spare_of_another_size_is_made_anew(void **state)
{
    static const uint64_t larger[] = {100000 + 40000, 70000};
    struct place place;
    struct err err = {0};

    (void)state;
    begin(&place);
    place.options.block_counts = larger;
    assert_int_equal(superseded_make_spare(place.loop, &place.options, 0, &err), 0);
    assert_int_equal(promote(&place), 1); /* what they share was not */
    end(&place);
}

/* By less than a page of bits: the file is as long as before, and one for fewer blocks. */
static void a_spare_of_a_disk_that_grew_a_little_is_made_anew(void **state)
{
    static const uint64_t larger[] = {100000 + 100, 70000};
    struct place place;
    struct err err = {0};

    (void)state;
    begin(&place);
    place.options.block_counts = larger;
    for (unsigned i = 0; i <= 2; i++)
        assert_int_equal(superseded_make_spare(place.loop, &place.options, i, &err), 0);
    assert_int_equal(promote(&place), 3);
    end(&place);
}

/* What the kernel keeps of the file and what it has not, as on the morning after. */
static void drop_cache(const struct place *place, const char *name)
{
    int file = keep(place, name);

    assert_true(file >= 0);
    assert_int_equal(fsync(file), 0);
    assert_int_equal(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED), 0);
    close(file);
}

static void read_all(const struct place *place, const char *name)
{
    int file = keep(place, name);
    char bytes[4096];

    assert_true(file >= 0);
    while (read(file, bytes, sizeof(bytes)) > 0)
        ;
    close(file);
}

static void a_spare_that_a_backup_has_read_is_taken(void **state)
{
    struct place place;

    (void)state;
    begin(&place);
    read_all(&place, "superseded-0.spare");
    read_all(&place, "superseded.volatile.spare");
    assert_int_equal(promote(&place), 3);
    end(&place);
}

static bool is_all_room(const struct place *place, const char *name)
{
    int file = keep(place, name);
    off_t data;

    assert_true(file >= 0);
    data = lseek(file, HEAD_BYTES, SEEK_DATA);
    close(file);
    return data < 0;
}

/* Else the kernel reads ahead, which makes data of room, which is read and read ahead of, to the
 * end: 800 MB for 6 TiB, while everything waits. */
static void what_is_taken_is_not_read(void **state)
{
    struct superseded *superseded;
    struct place place;
    struct err err = {0};

    (void)state;
    begin(&place);
    drop_cache(&place, "superseded-0.spare");
    assert_int_equal(promote(&place), 3);
    assert_true(is_all_room(&place, "superseded-0"));
    drop_cache(&place, "superseded-0");
    place.options.is_fresh = false; /* a start, before the journal is drained */
    assert_int_equal(superseded_open(place.loop, &place.options, &superseded, &err), 0);
    superseded_close(superseded);
    assert_true(is_all_room(&place, "superseded-0"));
    end(&place);
}

static unsigned sync_count, allocate_count;
static int allocate_error;
static const struct loop_ops *real_ops;

static int allocate_counted(struct loop *loop, struct io_file *file, uint64_t bytes)
{
    allocate_count++;
    return allocate_error != 0 ? allocate_error : real_ops->file_allocate_now(loop, file, bytes);
}

static int sync_counted(struct loop *loop, struct io_file *file)
{
    sync_count++;
    return real_ops->file_sync_now(loop, file);
}

static int sync_folder_counted(struct loop *loop, const char *path)
{
    sync_count++;
    return real_ops->dir_sync(loop, path);
}

/* Hosts wait while a sync runs, and it is tried every ten seconds. */
static void no_sync_where_there_is_no_room_and_none_for_what_is_there(void **state)
{
    struct place place;
    struct err err = {0};
    struct loop_ops ops;

    (void)state;
    begin(&place);
    real_ops = place.loop->ops;
    ops = *real_ops;
    ops.file_allocate_now = allocate_counted;
    ops.file_sync_now = sync_counted;
    ops.dir_sync = sync_folder_counted;
    place.loop->ops = &ops;
    sync_count = allocate_count = 0;
    allocate_error = 0;
    for (unsigned i = 0; i <= 2; i++)
        assert_int_equal(superseded_make_spare(place.loop, &place.options, i, &err), 0);
    assert_int_equal(sync_count, 0);
    assert_int_equal(allocate_count, 3);
    superseded_remove_spares(place.loop, place.folder, 2);
    allocate_error = -ENOSPC;
    for (unsigned i = 0; i <= 2; i++)
        assert_int_equal(superseded_make_spare(place.loop, &place.options, i, &err), -ENOSPC);
    assert_int_equal(sync_count, 0);
    end(&place); /* which finds nothing left */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_one_is_not_looked_into),
        cmocka_unit_test(a_promotion_takes_what_was_made_before),
        cmocka_unit_test(what_was_written_in_is_not_taken),
        cmocka_unit_test(a_spare_of_another_size_is_made_anew),
        cmocka_unit_test(a_spare_of_a_disk_that_grew_a_little_is_made_anew),
        cmocka_unit_test(a_spare_that_a_backup_has_read_is_taken),
        cmocka_unit_test(what_is_taken_is_not_read),
        cmocka_unit_test(no_sync_where_there_is_no_room_and_none_for_what_is_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
