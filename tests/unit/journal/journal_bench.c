/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting calls around the journal: each runs the loop until its operation is done. */
#include "journal_bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/crc32c.h"

struct wait {
    struct journal_op op;
    struct loop *loop;
    int error;
};

static void wait_done(struct journal_op *op, int error)
{
    struct wait *wait = container_of(op, struct wait, op);

    wait->error = error;
    loop_stop(wait->loop);
}

static int wait_for(struct wait *wait)
{
    loop_run(wait->loop);
    return wait->error;
}

void bench_begin(struct journal_bench *bench)
{
    const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

    memset(bench, 0, sizeof(*bench));
    check(loop_new(LOOP_THREADS, &bench->loop, &bench->err) == 0);
    snprintf(bench->folder, sizeof(bench->folder), "%s/verso-journal-XXXXXX", parent);
    check(mkdtemp(bench->folder) != NULL);
    bench->options = (struct journal_options){.folder = bench->folder,
                                              .stream = "pg-test",
                                              .segment_bytes = 64 << 20,
                                              .bytes_max = 1 << 30,
                                              .disk_count_max = 4};
}

static void remove_name(void *arg, const char *name)
{
    struct journal_bench *bench = arg;
    char path[600];

    snprintf(path, sizeof(path), "%s/%s", bench->folder, name);
    unlink(path);
}

void bench_end(struct journal_bench *bench)
{
    bench_close(bench);
    io_dir_list(bench->loop, bench->folder, remove_name, bench);
    rmdir(bench->folder);
    loop_free(bench->loop);
}

int bench_open(struct journal_bench *bench)
{
    check(bench->journal == NULL);
    memset(&bench->err, 0, sizeof(bench->err));
    return journal_open(bench->loop, &bench->options, &bench->journal, &bench->err);
}

void bench_close(struct journal_bench *bench)
{
    journal_close(bench->journal);
    bench->journal = NULL;
}

void bench_fill(uint8_t *bytes, uint64_t stamp, uint64_t count)
{
    for (uint64_t i = 0; i < count * BLOCK_SIZE; i += 8) {
        uint64_t word = (stamp + i / BLOCK_SIZE) * 0x9e3779b97f4a7c15ull + i % BLOCK_SIZE;
        memcpy(bytes + i, &word, 8);
    }
}

int bench_append(struct journal_bench *bench, unsigned disk, uint64_t block, uint64_t count,
                 uint64_t stamp)
{
    struct wait wait = {.loop = bench->loop};
    uint8_t *bytes = malloc(count * BLOCK_SIZE);
    uint32_t crcs[256];
    int error;

    check(bytes != NULL && count <= 256);
    bench_fill(bytes, stamp, count);
    for (uint64_t i = 0; i < count; i++)
        crcs[i] = crc32c(0, bytes + i * BLOCK_SIZE, BLOCK_SIZE);
    journal_append(bench->journal, &wait.op, disk, block, count, bytes, crcs, wait_done);
    error = wait_for(&wait);
    free(bytes);
    return error;
}

int bench_append_rotten(struct journal_bench *bench, unsigned disk, uint64_t block)
{
    static const uint8_t bytes[BLOCK_SIZE];
    struct wait wait = {.loop = bench->loop};
    uint32_t crc = crc32c(0, bytes, BLOCK_SIZE) ^ 1;

    journal_append(bench->journal, &wait.op, disk, block, 1, bytes, &crc, wait_done);
    return wait_for(&wait);
}

int bench_hole(struct journal_bench *bench, unsigned disk, uint64_t block, uint64_t count)
{
    struct wait wait = {.loop = bench->loop};

    journal_append_hole(bench->journal, &wait.op, disk, block, count, wait_done);
    return wait_for(&wait);
}

static void settle(struct journal_bench *bench)
{
    while (journal_step(bench->journal))
        ;
    check(journal_is_settled(bench->journal));
}

void bench_release(struct journal_bench *bench, uint64_t epoch)
{
    journal_release(bench->journal, epoch);
    settle(bench);
}

void bench_forget_after(struct journal_bench *bench, uint64_t epoch)
{
    journal_forget_after(bench->journal, epoch);
    settle(bench);
}

int bench_commit(struct journal_bench *bench, uint64_t epoch)
{
    struct wait wait = {.loop = bench->loop};
    struct journal_epoch info = {
        .epoch = epoch, .cut_wall_ns = epoch * 1000, .generation = {1, 2, 3}, .digest = epoch * 7};

    journal_commit(bench->journal, &wait.op, &info, wait_done);
    return wait_for(&wait);
}

int bench_abort(struct journal_bench *bench)
{
    struct wait wait = {.loop = bench->loop};

    journal_abort(bench->journal, &wait.op, wait_done);
    return wait_for(&wait);
}

int bench_read(struct journal_bench *bench, const struct journal_extent *extent, uint8_t *bytes)
{
    struct wait wait = {.loop = bench->loop};

    journal_read(bench->journal, &wait.op, extent, bytes, wait_done);
    return wait_for(&wait);
}

static void path_of(const struct journal_bench *bench, unsigned segment, char *path, size_t size)
{
    snprintf(path, size, "%s/%u.seg", bench->folder, segment);
}

uint8_t *bench_load(struct journal_bench *bench, unsigned segment, size_t *ret_length)
{
    char path[300];
    struct stat stat;
    uint8_t *bytes;
    int fd;

    path_of(bench, segment, path, sizeof(path));
    fd = open(path, O_RDONLY);
    if (fd < 0)
        return NULL;
    check(fstat(fd, &stat) == 0);
    bytes = malloc((size_t)stat.st_size + 1);
    check(bytes != NULL && read(fd, bytes, (size_t)stat.st_size) == stat.st_size);
    close(fd);
    *ret_length = (size_t)stat.st_size;
    return bytes;
}

void bench_store(struct journal_bench *bench, unsigned segment, const uint8_t *bytes, size_t length)
{
    char path[300];
    int fd;

    path_of(bench, segment, path, sizeof(path));
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    check(fd >= 0 && write(fd, bytes, length) == (ssize_t)length);
    close(fd);
}

void bench_remove(struct journal_bench *bench, unsigned segment)
{
    char path[300];

    path_of(bench, segment, path, sizeof(path));
    unlink(path);
}
