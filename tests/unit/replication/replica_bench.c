/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting calls around the replica: each runs the loop until its operation is done. */
#include "replica_bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "store/store.h"

struct waiting {
    struct replica_op op;
    struct volume_request request;
    struct state_save save;
    struct iovec iov;
    struct loop *loop;
    int error;
};

static void fill(uint8_t *bytes, uint64_t stamp)
{
    for (unsigned i = 0; i < BLOCK_SIZE; i += 8)
        memcpy(bytes + i, &stamp, 8);
}

static uint64_t stamp_of(const uint8_t *bytes)
{
    uint64_t stamp;

    memcpy(&stamp, bytes, 8);
    for (unsigned i = 8; i < BLOCK_SIZE; i += 8)
        check(memcmp(bytes, bytes + i, 8) == 0); /* torn */
    return stamp;
}

static void op_done(struct replica_op *op, int error)
{
    struct waiting *waiting = container_of(op, struct waiting, op);

    waiting->error = error;
    loop_stop(waiting->loop);
}

static void request_done(struct volume_request *request, int error)
{
    struct waiting *waiting = container_of(request, struct waiting, request);

    waiting->error = error;
    loop_stop(waiting->loop);
}

static void save_done(struct state_save *save, int error)
{
    struct waiting *waiting = container_of(save, struct waiting, save);

    waiting->error = error;
    loop_stop(waiting->loop);
}

static void run(const char *command)
{
    check(system(command) == 0);
}

static void make_folder(struct replica_bench *bench)
{
    const char *parent = getenv("TMPDIR");

    if (parent == NULL)
        parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(bench->folder, sizeof(bench->folder), "%.100s/verso-replica-XXXXXX", parent);
    check(mkdtemp(bench->folder) != NULL);
}

static void open_volumes(struct replica_bench *bench, bool create)
{
    for (unsigned i = 0; i < BENCH_DISKS; i++) {
        char path[300], name[20];
        struct store_options options = {.driver = "file",
                                        .path = path,
                                        .name = name,
                                        .size_bytes = BENCH_BLOCKS * BLOCK_SIZE,
                                        .create = create};
        struct store *store;

        snprintf(name, sizeof(name), "d-%u", i);
        snprintf(path, sizeof(path), "%s/d-%u.raw", bench->folder, i);
        if (store_open(bench->loop, &options, &store, &bench->err) != 0) {
            fprintf(stderr, "%s\n", bench->err.text);
            abort();
        }
        check(volume_new(bench->loop, store, name, &bench->volumes[i]) == 0);
    }
}

static void changed(void *arg)
{
    ((struct replica_bench *)arg)->changes++;
}

int replica_bench_open(struct replica_bench *bench)
{
    struct replica_options options = {.stream = "pg-1",
                                      .folder = bench->folder,
                                      .volumes = bench->volumes,
                                      .journal_bytes_max = bench->journal_bytes_max,
                                      .retain_ns = bench->retain_ns,
                                      .retain_bytes = bench->retain_bytes,
                                      .changed_cb = changed,
                                      .arg = bench};
    int error;

    if (bench->file == NULL) {
        open_volumes(bench, false);
        error = state_file_open(bench->loop, bench->folder, false, bench->state, &bench->file,
                                &bench->err);
        check(error == 0);
    }
    options.state = bench->file;
    return replica_open(bench->loop, &options, &bench->replica, &bench->err);
}

void replica_bench_begin(struct replica_bench *bench, bool is_initial)
{
    memset(bench, 0, sizeof(*bench));
    check(loop_new(LOOP_THREADS, &bench->loop, &bench->err) == 0);
    make_folder(bench);
    open_volumes(bench, true);
    bench->journal_bytes_max = 64 << 20;
    bench->retain_ns = 1ull << 60;
    bench->retain_bytes = 1ull << 40;
    bench->state = calloc(1, sizeof(*bench->state));
    check(bench->state != NULL);
    bench->state->role = STREAM_ROLE_TARGET;
    bench->state->has_point = !is_initial;
    bench->state->disk_count = BENCH_DISKS;
    for (unsigned i = 0; i < BENCH_DISKS; i++) {
        snprintf(bench->state->disks[i].disk, sizeof(bench->state->disks[i].disk), "d-%u", i);
        bench->state->disks[i].size_bytes = BENCH_BLOCKS * BLOCK_SIZE;
        bench->state->disks[i].is_initial = is_initial;
    }
    check(state_file_open(bench->loop, bench->folder, true, bench->state, &bench->file,
                          &bench->err) == 0);
    check(replica_bench_open(bench) == 0);
}

static void closed(void *arg)
{
    loop_stop(((struct replica_bench *)arg)->loop);
}

void replica_bench_close(struct replica_bench *bench)
{
    if (bench->replica != NULL) {
        replica_close(bench->replica, closed, bench);
        loop_run(bench->loop);
    }
    bench->replica = NULL;
    state_file_close(bench->file);
    bench->file = NULL;
    for (unsigned i = 0; i < BENCH_DISKS; i++) {
        if (bench->volumes[i] != NULL)
            volume_free(bench->volumes[i]);
        bench->volumes[i] = NULL;
    }
}

void replica_bench_end(struct replica_bench *bench)
{
    char command[300];

    replica_bench_close(bench);
    loop_free(bench->loop);
    free(bench->state);
    snprintf(command, sizeof(command), "rm -rf %s", bench->folder);
    run(command);
}

void replica_bench_image(struct replica_bench *bench, bool power, struct replica_bench *ret_other)
{
    char command[600], path[300];
    int fd;

    *ret_other = (struct replica_bench){.journal_bytes_max = bench->journal_bytes_max,
                                        .retain_ns = bench->retain_ns,
                                        .retain_bytes = bench->retain_bytes};
    check(loop_new(LOOP_THREADS, &ret_other->loop, &ret_other->err) == 0);
    ret_other->state = calloc(1, sizeof(*ret_other->state));
    check(ret_other->state != NULL);
    make_folder(ret_other);
    snprintf(command, sizeof(command), "cp -a --sparse=always %s/. %s/", bench->folder,
             ret_other->folder);
    run(command);
    snprintf(path, sizeof(path), "%s/superseded.volatile", ret_other->folder);
    fd = open(path, O_WRONLY);
    if (power && fd >= 0)
        check(pwrite(fd, "another-boot", 12, 16) == 12);
    if (fd >= 0)
        close(fd);
}

static int wait_for(struct waiting *waiting)
{
    loop_run(waiting->loop);
    return waiting->error;
}

static int send_data(struct replica_bench *bench, unsigned disk, uint64_t block, uint64_t count,
                     uint64_t stamp, uint32_t harm)
{
    struct waiting *waiting = calloc(1, sizeof(*waiting));
    uint8_t *bytes = malloc(count * BLOCK_SIZE);
    uint32_t crcs[256];
    int error;

    check(waiting != NULL && bytes != NULL && count <= 256);
    for (uint64_t i = 0; i < count; i++) {
        fill(bytes + i * BLOCK_SIZE, stamp);
        crcs[i] = crc32c(0, bytes + i * BLOCK_SIZE, BLOCK_SIZE) ^ harm;
    }
    waiting->loop = bench->loop;
    replica_data(bench->replica, &waiting->op, disk, block, count, bytes, crcs, op_done);
    error = wait_for(waiting);
    free(bytes);
    free(waiting);
    return error;
}

int replica_bench_data(struct replica_bench *bench, unsigned disk, uint64_t block, uint64_t count,
                       uint64_t stamp)
{
    return send_data(bench, disk, block, count, stamp, 0);
}

int replica_bench_rotten(struct replica_bench *bench, unsigned disk, uint64_t block)
{
    return send_data(bench, disk, block, 1, 1, 1);
}

int replica_bench_hole(struct replica_bench *bench, unsigned disk, uint64_t block, uint64_t count)
{
    struct waiting waiting = {.loop = bench->loop};

    replica_hole(bench->replica, &waiting.op, disk, block, count, op_done);
    return wait_for(&waiting);
}

static void hole_ended(struct replica_op *op, int error)
{
    container_of(op, struct waiting, op)->error = error;
}

int replica_bench_hole_and_data(struct replica_bench *bench, uint64_t hole_count, uint64_t block,
                                uint64_t stamp)
{
    struct waiting hole = {.loop = bench->loop, .error = 1};
    int error;

    replica_hole(bench->replica, &hole.op, 0, 0, hole_count, hole_ended);
    error = replica_bench_data(bench, 0, block, 1, stamp);
    while (error == 0 && hole.error == 1) /* a read keeps the loop going for a while */
        (void)replica_bench_read(bench, 0, 0);
    return error == 0 ? hole.error : error;
}

int replica_bench_commit(struct replica_bench *bench, uint64_t epoch)
{
    struct waiting waiting = {.loop = bench->loop};
    struct journal_epoch info = {.epoch = epoch, .cut_wall_ns = loop_wall_ns(bench->loop)};

    replica_commit(bench->replica, &waiting.op, &info, op_done);
    return wait_for(&waiting);
}

int replica_bench_abort(struct replica_bench *bench)
{
    struct waiting waiting = {.loop = bench->loop};

    replica_abort(bench->replica, &waiting.op, op_done);
    return wait_for(&waiting);
}

int replica_bench_promote(struct replica_bench *bench, uint64_t point,
                          void (*differs_cb)(void *arg, unsigned disk, uint64_t block,
                                             uint64_t count),
                          void *arg)
{
    struct waiting waiting = {.loop = bench->loop};
    uint64_t wall_ns;
    int error;

    replica_promote(bench->replica, &waiting.op, point, differs_cb, arg, op_done);
    error = wait_for(&waiting);
    if (error != 0)
        return error;
    bench->state->role = STREAM_ROLE_PROMOTED;
    bench->state->point = point != 0 ? point : replica_epoch(bench->replica, &wall_ns);
    bench->state->is_drained = false;
    return replica_bench_save(bench);
}

int replica_bench_save(struct replica_bench *bench)
{
    struct waiting waiting = {.loop = bench->loop};

    state_file_save(bench->file, &waiting.save, save_done);
    return wait_for(&waiting);
}

static int submit(struct replica_bench *bench, unsigned disk, enum volume_op op, uint64_t block,
                  uint8_t *bytes)
{
    struct waiting waiting = {.loop = bench->loop, .iov = {bytes, BLOCK_SIZE}};

    waiting.request = (struct volume_request){.op = op,
                                              .offset = block * BLOCK_SIZE,
                                              .length = op == VOLUME_FLUSH ? 0 : BLOCK_SIZE,
                                              .iov = &waiting.iov,
                                              .iov_count = 1,
                                              .done_cb = request_done};
    volume_submit(bench->volumes[disk], &waiting.request);
    return wait_for(&waiting);
}

uint64_t replica_bench_read(struct replica_bench *bench, unsigned disk, uint64_t block)
{
    uint8_t bytes[BLOCK_SIZE];

    check(submit(bench, disk, VOLUME_READ, block, bytes) == 0);
    return stamp_of(bytes);
}

int replica_bench_write(struct replica_bench *bench, unsigned disk, uint64_t block, uint64_t stamp)
{
    uint8_t bytes[BLOCK_SIZE];

    fill(bytes, stamp);
    return submit(bench, disk, VOLUME_WRITE, block, bytes);
}

int replica_bench_flush(struct replica_bench *bench, unsigned disk)
{
    return submit(bench, disk, VOLUME_FLUSH, 0, NULL);
}

uint64_t replica_bench_base(struct replica_bench *bench, unsigned disk, uint64_t block)
{
    uint8_t bytes[BLOCK_SIZE];
    char path[300];
    int fd;

    snprintf(path, sizeof(path), "%s/d-%u.raw", bench->folder, disk);
    fd = open(path, O_RDONLY);
    check(fd >= 0 &&
          pread(fd, bytes, sizeof(bytes), (off_t)(block * BLOCK_SIZE)) == (ssize_t)sizeof(bytes));
    close(fd);
    return stamp_of(bytes);
}

static void tick(struct loop_timer *timer)
{
    loop_stop(container_of(timer, struct replica_bench, timer)->loop);
}

bool replica_bench_until(struct replica_bench *bench, bool (*cond)(struct replica_bench *bench))
{
    uint64_t end = loop_now_ns(bench->loop) + 30ull * 1000 * 1000 * 1000;

    while (!cond(bench)) {
        if (loop_now_ns(bench->loop) > end)
            return false;
        bench->timer.fired_cb = tick;
        loop_timer_set(bench->loop, &bench->timer, loop_now_ns(bench->loop) + 1000 * 1000);
        loop_run(bench->loop);
    }
    return true;
}
