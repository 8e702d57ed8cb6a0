/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads, writes, syncs, discards and extents by blocking system calls.
 *
 * How a range becomes zeros (each line falls to the next when the kernel says it cannot):
 *
 *   mode        regular file                           block device
 *   HOLE        punch hole; zero range                 punch hole; BLKZEROOUT
 *   ZERO        zero range; punch hole and allocate;   BLKZEROOUT
 *               write zeros
 *   ZERO_FAST   zero range; punch hole and allocate;   punch hole; -ENOTSUP
 *               -ENOTSUP
 *
 * A block device's own zero range may write zeros behind our back, so ZERO_FAST does not use it;
 * BLKDISCARD promises nothing about what is read afterwards, so nobody uses that.
 */
#include "io/posix_work.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "io/posix_file.h"

enum {
    QUICK_BYTES_MAX = 1 << 20,
    ZEROS_BYTES = 1 << 16,
};

void posix_work_fill_transfer(struct io_op *op, enum posix_op_kind kind, struct io_file *file,
                              const struct iovec *iov, unsigned iov_count, uint64_t offset)
{
    struct posix_op *state = posix_op_of(op);

    check(kind == OP_READ || kind == OP_WRITE);
    state->kind = kind;
    state->target = posix_file_check(file);
    state->iov = iov;
    state->iov_count = iov_count;
    state->offset = offset;
    state->length = posix_op_iov_bytes(iov, iov_count);
    state->done = 0;
    check(offset <= INT64_MAX && state->length <= INT64_MAX - offset);
}

void posix_work_fill_sync(struct io_op *op, struct io_file *file)
{
    struct posix_op *state = posix_op_of(op);

    state->kind = OP_SYNC;
    state->target = posix_file_check(file);
    state->length = 0;
}

void posix_work_fill_discard(struct io_op *op, struct io_file *file, uint64_t offset,
                             uint64_t length, enum io_discard_mode mode)
{
    struct posix_op *state = posix_op_of(op);

    state->kind = OP_DISCARD;
    state->target = posix_file_check(file);
    state->offset = offset;
    state->length = length;
    state->discard_mode = mode;
}

void posix_work_fill_extents(struct io_op *op, struct io_file *file, uint64_t offset,
                             uint64_t length, struct io_extent *extents, unsigned extent_max)
{
    struct posix_op *state = posix_op_of(op);

    state->kind = OP_EXTENTS;
    state->target = posix_file_check(file);
    state->offset = offset;
    state->length = length;
    state->extents.at = extents;
    state->extents.count_max = extent_max;
}

bool posix_work_is_quick(struct io_op *op)
{
    const struct posix_op *state = posix_op_of(op);
    const struct io_file *file = state->target;

    return file->is_memory && state->length <= QUICK_BYTES_MAX;
}

static int64_t transfer(struct posix_op *state, int fd)
{
    while (state->done < state->length) {
        struct iovec single;
        unsigned count;
        const struct iovec *iov = posix_op_rest(state, &single, &count);
        off_t at = (off_t)(state->offset + state->done);
        ssize_t result = state->kind == OP_READ ? preadv(fd, iov, (int)count, at)
                                                : pwritev(fd, iov, (int)count, at);

        if (result < 0 && errno == EINTR)
            continue;
        if (result < 0)
            return -errno;
        if (result == 0)
            return state->kind == OP_READ ? -ENODATA : -EIO;
        state->done += (uint64_t)result;
    }
    return (int64_t)state->length;
}

static bool is_refusal(int64_t result)
{
    return result == -EOPNOTSUPP || result == -ENOTTY || result == -ENOSYS;
}

static int64_t allocate(const struct posix_op *state, int fd, int mode)
{
    while (fallocate(fd, mode, (off_t)state->offset, (off_t)state->length) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

static int64_t punch(const struct posix_op *state, int fd)
{
    return allocate(state, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
}

static int64_t write_zeros(const struct posix_op *state, int fd)
{
    static const char zeros[ZEROS_BYTES] __attribute__((aligned(4096)));
    uint64_t at = state->offset, end = state->offset + state->length;

    while (at < end) {
        ssize_t count =
            pwrite(fd, zeros, end - at < ZEROS_BYTES ? end - at : ZEROS_BYTES, (off_t)at);

        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return count < 0 ? -errno : -EIO;
        at += (uint64_t)count;
    }
    return 0;
}

static int64_t discard_block_device(const struct posix_op *state, int fd)
{
    uint64_t range[2] = {state->offset, state->length};
    int64_t result = -EOPNOTSUPP;

    if (state->discard_mode != IO_DISCARD_ZERO)
        result = punch(state, fd);
    if (is_refusal(result) && state->discard_mode != IO_DISCARD_ZERO_FAST)
        result = ioctl(fd, BLKZEROOUT, range) < 0 ? -errno : 0;
    return is_refusal(result) ? -ENOTSUP : result;
}

static int64_t discard_regular_file(const struct posix_op *state, int fd)
{
    int64_t result = -EOPNOTSUPP;

    if (state->discard_mode == IO_DISCARD_HOLE)
        result = punch(state, fd);
    if (is_refusal(result))
        result = allocate(state, fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
    if (is_refusal(result) && state->discard_mode != IO_DISCARD_HOLE) {
        result = punch(state, fd);
        if (result == 0)
            result = allocate(state, fd, FALLOC_FL_KEEP_SIZE);
    }
    if (is_refusal(result) && state->discard_mode == IO_DISCARD_ZERO)
        result = write_zeros(state, fd);
    return is_refusal(result) ? -ENOTSUP : result;
}

/* No data from `at` on: where that is a hole of the file no longer. Behind a file's end there is
 * none: who cut it off under us shall meet the error that reading there is. */
static uint64_t last_hole_end(int fd, uint64_t at, uint64_t end)
{
    struct stat facts;

    if (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode) || (uint64_t)facts.st_size >= end)
        return end;
    return (uint64_t)facts.st_size > at ? (uint64_t)facts.st_size : at;
}

static int64_t find_extents(const struct posix_op *state, int fd)
{
    uint64_t at = state->offset, end = state->offset + state->length;
    unsigned count = 0;

    while (at < end && count < state->extents.count_max) {
        struct io_extent *extent = &state->extents.at[count];
        off_t next = lseek(fd, (off_t)at, SEEK_DATA);
        bool is_hole = next < 0 ? errno == ENXIO : (uint64_t)next > at;

        if (next < 0 && is_hole) {
            next = (off_t)last_hole_end(fd, at, end);
            is_hole = (uint64_t)next > at;
        } else if (!is_hole)
            next = next < 0 ? (off_t)end : lseek(fd, (off_t)at, SEEK_HOLE);
        if (next <= (off_t)at || (uint64_t)next > end)
            next = (off_t)end; /* a failure, or a hole punched under us: call it what we have */
        *extent = (struct io_extent){at, (uint64_t)next - at, is_hole};
        at = (uint64_t)next;
        count++;
    }
    return count;
}

void posix_work_run(struct io_op *op)
{
    struct posix_op *state = posix_op_of(op);
    const struct io_file *file = state->target;

    switch (state->kind) {
    case OP_READ:
    case OP_WRITE:
        state->result = transfer(state, file->fd);
        break;
    case OP_SYNC:
        state->result = fdatasync(file->fd) < 0 ? -errno : 0;
        break;
    case OP_DISCARD:
        if (state->length == 0)
            state->result = 0;
        else if (file->is_block)
            state->result = discard_block_device(state, file->fd);
        else
            state->result = discard_regular_file(state, file->fd);
        break;
    case OP_EXTENTS:
        state->result = find_extents(state, file->fd);
        break;
    default:
        check(false);
    }
}
