/* SPDX-License-Identifier: Apache-2.0 */
/* Conformance cases: files, folders, mappings. */
#include "tests/lib/loop_cases_private.h"

enum { BLOCK = 4096 };

static void fill(void *bytes, size_t length, unsigned seed)
{
    uint8_t *at = bytes;

    for (size_t i = 0; i < length; i++)
        at[i] = (uint8_t)(seed * 31 + i * 7 + i / 251);
}

int64_t case_read(struct loop *loop, struct io_file *file, void *bytes, size_t length,
                  uint64_t offset)
{
    struct wait_op wait = {.loop = loop};
    struct iovec iov = {bytes, length};

    io_file_read(loop, &wait.op, file, &iov, 1, offset, wait_op_done);
    return wait_op_run(&wait, loop);
}

int64_t case_write(struct loop *loop, struct io_file *file, const void *bytes, size_t length,
                   uint64_t offset)
{
    struct wait_op wait = {.loop = loop};
    struct iovec iov = {(void *)bytes, length};

    io_file_write(loop, &wait.op, file, &iov, 1, offset, wait_op_done);
    return wait_op_run(&wait, loop);
}

static struct io_file *make_file(struct loop_case *c, uint64_t bytes)
{
    struct io_file *file;

    assert_int_equal(io_file_open(c->loop, c->path[0], IO_CREATE, &file, NULL), 0);
    assert_int_equal(io_file_resize_now(c->loop, file, bytes), 0);
    return file;
}

void case_file_open_flags(void **state)
{
    struct loop_case *c = *state;
    struct io_file *file = NULL;
    struct err err = {0};
    char byte = 1;

    assert_int_equal(io_file_open(c->loop, c->path[0], 0, &file, &err), -ENOENT);
    assert_int_equal(err.code, -ENOENT);
    assert_non_null(strstr(err.text, c->path[0]));
    assert_null(file);
    assert_int_equal(io_file_open(c->loop, c->path[0], IO_CREATE | IO_EXCLUSIVE, &file, &err), 0);
    io_file_close(c->loop, file);
    assert_int_equal(io_file_open(c->loop, c->path[0], IO_CREATE | IO_EXCLUSIVE, &file, &err),
                     -EEXIST);
    assert_int_equal(io_file_open(c->loop, c->path[0], IO_READ_ONLY, &file, &err), 0);
    assert_true(io_file_write_now(c->loop, file, &byte, 1, 0) < 0);
    assert_true(case_write(c->loop, file, &byte, 1, 0) < 0);
    assert_false(io_file_is_block_device(file));
    io_file_close(c->loop, file);
}

void case_file_lock(void **state)
{
    struct loop_case *c = *state;
    struct io_file *first, *second;
    struct err err = {0};

    assert_int_equal(io_file_open(c->loop, c->path[0], IO_CREATE | IO_LOCK, &first, &err), 0);
    assert_int_equal(io_file_open(c->loop, c->path[0], IO_LOCK, &second, &err), -EBUSY);
    assert_non_null(strstr(err.text, c->path[0]));
    assert_int_equal(io_file_open(c->loop, c->path[0], 0, &second, &err), 0); /* advisory */
    io_file_close(c->loop, second);
    io_file_close(c->loop, first);
    assert_int_equal(io_file_open(c->loop, c->path[0], IO_LOCK, &second, &err), 0);
    io_file_close(c->loop, second);
}

void case_file_now(void **state)
{
    struct loop_case *c = *state;
    struct io_file *file = make_file(c, 0);
    uint8_t out[10000], in[10000];
    uint64_t size;

    fill(out, sizeof(out), 1);
    assert_int_equal(io_file_write_now(c->loop, file, out, sizeof(out), 5000), 0);
    assert_int_equal(io_file_size(c->loop, file, &size), 0);
    assert_int_equal(size, 15000);
    assert_int_equal(io_file_read_now(c->loop, file, in, sizeof(in), 5000), 0);
    assert_memory_equal(in, out, sizeof(in));
    assert_int_equal(io_file_read_now(c->loop, file, in, 10, 0), 0);
    assert_int_equal(in[0] | in[9], 0);
    assert_int_equal(io_file_read_now(c->loop, file, in, 10, 14991), -ENODATA);
    assert_int_equal(io_file_sync_now(c->loop, file), 0);
    assert_int_equal(io_file_resize_now(c->loop, file, 6000), 0);
    assert_int_equal(io_file_read_now(c->loop, file, in, 1, 6000), -ENODATA);
    assert_int_equal(io_file_resize_now(c->loop, file, 8000), 0);
    assert_int_equal(io_file_read_now(c->loop, file, in, 2000, 6000), 0);
    assert_int_equal(in[0] | in[1999], 0); /* what was cut off does not come back */
    io_file_close(c->loop, file);
}

void case_file_read_write(void **state)
{
    struct loop_case *c = *state;
    struct io_file *file = make_file(c, 16 * BLOCK);
    struct wait_op wait = {.loop = c->loop};
    uint8_t out[3 * BLOCK], in[3 * BLOCK];
    struct iovec split[] = {{in, 100}, {in + 100, 0}, {in + 100, BLOCK}, {in + 100 + BLOCK, 200}};

    fill(out, sizeof(out), 2);
    assert_int_equal(case_write(c->loop, file, out, sizeof(out), BLOCK), sizeof(out));
    memset(in, 0xee, sizeof(in));
    assert_int_equal(case_read(c->loop, file, in, sizeof(in), BLOCK), sizeof(in));
    assert_memory_equal(in, out, sizeof(in));
    memset(in, 0xee, sizeof(in));
    io_file_read(c->loop, &wait.op, file, split, 4, BLOCK, wait_op_done);
    assert_int_equal(wait_op_run(&wait, c->loop), BLOCK + 300);
    assert_memory_equal(in, out, BLOCK + 300);
    assert_int_equal(in[BLOCK + 300], 0xee);
    io_file_sync(c->loop, &wait.op, file, wait_op_done);
    assert_int_equal(wait_op_run(&wait, c->loop), 0);
    io_file_close(c->loop, file);
    /* another look: what was written is in the file, not in the handle */
    assert_int_equal(io_file_open(c->loop, c->path[0], IO_READ_ONLY, &file, NULL), 0);
    assert_int_equal(io_file_read_now(c->loop, file, in, sizeof(in), BLOCK), 0);
    assert_memory_equal(in, out, sizeof(in));
    io_file_close(c->loop, file);
}

void case_file_past_end(void **state)
{
    struct loop_case *c = *state;
    struct io_file *file = make_file(c, BLOCK);
    uint8_t bytes[2 * BLOCK];

    assert_int_equal(case_read(c->loop, file, bytes, BLOCK, 0), BLOCK);
    assert_int_equal(case_read(c->loop, file, bytes, 2 * BLOCK, 0), -ENODATA);
    assert_int_equal(case_read(c->loop, file, bytes, 1, BLOCK), -ENODATA);
    assert_int_equal(case_read(c->loop, file, bytes, BLOCK, 1 << 30), -ENODATA);
    assert_int_equal(case_write(c->loop, file, bytes, BLOCK, 3 * BLOCK), BLOCK); /* grows */
    assert_int_equal(case_read(c->loop, file, bytes, BLOCK, 2 * BLOCK), BLOCK);
    io_file_close(c->loop, file);
}

struct nested {
    struct io_op op;
    struct loop *loop;
    struct io_file *file;
    struct iovec iov;
    int left;
    bool is_submitting;
};

static void submit_again(struct io_op *op, int64_t result)
{
    struct nested *nested = container_of(op, struct nested, op);

    assert_false(nested->is_submitting);
    assert_int_equal(result, nested->iov.iov_len);
    if (--nested->left == 0) {
        loop_stop(nested->loop);
        return;
    }
    nested->is_submitting = true;
    if (nested->left % 2 == 0)
        io_file_read(nested->loop, op, nested->file, &nested->iov, 1, 0, submit_again);
    else
        io_file_write(nested->loop, op, nested->file, &nested->iov, 1, 0, submit_again);
    nested->is_submitting = false;
}

/* Chains far longer than a stack could bear, and a timer that still gets its turn. */
void case_file_callback_later(void **state)
{
    struct loop_case *c = *state;
    uint8_t bytes[BLOCK] = {0};
    struct nested nested = {.loop = c->loop, .iov = {bytes, sizeof(bytes)}, .left = 20000};

    nested.file = make_file(c, BLOCK);
    nested.is_submitting = true;
    io_file_read(c->loop, &nested.op, nested.file, &nested.iov, 1, 0, submit_again);
    nested.is_submitting = false;
    loop_run(c->loop);
    assert_int_equal(nested.left, 0);
    io_file_close(c->loop, nested.file);
}

enum { PARALLEL = 256 };

struct parallel_op {
    struct io_op op;
    struct loop *loop;
    struct iovec iov;
    uint8_t bytes[BLOCK];
    int *left;
};

static void count_down(struct io_op *op, int64_t result)
{
    struct parallel_op *parallel = container_of(op, struct parallel_op, op);

    assert_int_equal(result, BLOCK);
    if (--*parallel->left == 0)
        loop_stop(parallel->loop);
}

void case_file_parallel(void **state)
{
    struct loop_case *c = *state;
    struct parallel_op *ops = calloc(PARALLEL, sizeof(*ops));
    struct io_file *file = make_file(c, PARALLEL * BLOCK);
    uint8_t expected[BLOCK];
    int left = PARALLEL;

    for (unsigned i = 0; i < PARALLEL; i++) {
        ops[i].loop = c->loop;
        ops[i].left = &left;
        ops[i].iov = (struct iovec){ops[i].bytes, BLOCK};
        fill(ops[i].bytes, BLOCK, i);
        io_file_write(c->loop, &ops[i].op, file, &ops[i].iov, 1, (uint64_t)i * BLOCK, count_down);
    }
    assert_int_equal(left, PARALLEL);
    loop_run(c->loop);
    assert_int_equal(left, 0);
    left = PARALLEL;
    for (unsigned i = 0; i < PARALLEL; i++) {
        memset(ops[i].bytes, 0, BLOCK);
        io_file_read(c->loop, &ops[i].op, file, &ops[i].iov, 1,
                     (uint64_t)(PARALLEL - 1 - i) * BLOCK, count_down);
    }
    loop_run(c->loop);
    for (unsigned i = 0; i < PARALLEL; i++) {
        fill(expected, BLOCK, PARALLEL - 1 - i);
        assert_memory_equal(ops[i].bytes, expected, BLOCK);
    }
    io_file_close(c->loop, file);
    free(ops);
}

/* 32 MiB in one operation, and in more vectors than one system call takes. */
void case_file_big(void **state)
{
    struct loop_case *c = *state;
    enum { BIG = 32 << 20, PIECES = 3000, PIECE = 1000 };
    struct io_file *file = make_file(c, 0);
    uint8_t *out = malloc(BIG), *in = calloc(1, BIG);
    struct iovec *iov = calloc(PIECES, sizeof(*iov));
    struct wait_op wait = {.loop = c->loop};

    fill(out, BIG, 5);
    assert_int_equal(case_write(c->loop, file, out, BIG, 0), BIG);
    assert_int_equal(case_read(c->loop, file, in, BIG, 0), BIG);
    assert_memory_equal(in, out, BIG);
    memset(in, 0, BIG);
    for (size_t i = 0; i < PIECES; i++)
        iov[i] = (struct iovec){in + i * PIECE, PIECE};
    io_file_read(c->loop, &wait.op, file, iov, PIECES, 0, wait_op_done);
    assert_int_equal(wait_op_run(&wait, c->loop), PIECES * PIECE);
    assert_memory_equal(in, out, PIECES * PIECE);
    assert_int_equal(in[PIECES * PIECE], 0);
    io_file_close(c->loop, file);
    free(iov);
    free(out);
    free(in);
}

static int64_t discard(struct loop_case *c, struct io_file *file, uint64_t offset, uint64_t length,
                       enum io_discard_mode mode)
{
    struct wait_op wait = {.loop = c->loop};

    io_file_discard(c->loop, &wait.op, file, offset, length, mode, wait_op_done);
    return wait_op_run(&wait, c->loop);
}

static void assert_zeros(struct loop_case *c, struct io_file *file, uint64_t offset, size_t length)
{
    uint8_t *bytes = malloc(length);

    memset(bytes, 0xee, length);
    assert_int_equal(case_read(c->loop, file, bytes, length, offset), length);
    for (size_t i = 0; i < length; i++)
        assert_int_equal(bytes[i], 0);
    free(bytes);
}

void case_file_discard(void **state)
{
    struct loop_case *c = *state;
    struct io_file *file = make_file(c, 0);
    uint8_t *bytes = malloc(64 * BLOCK), *in = malloc(64 * BLOCK);
    uint64_t size;

    fill(bytes, 64 * BLOCK, 9);
    assert_int_equal(case_write(c->loop, file, bytes, 64 * BLOCK, 0), 64 * BLOCK);
    assert_int_equal(discard(c, file, 16 * BLOCK, 16 * BLOCK, IO_DISCARD_HOLE), 0);
    assert_zeros(c, file, 16 * BLOCK, 16 * BLOCK);
    assert_int_equal(case_read(c->loop, file, in, 16 * BLOCK, 0), 16 * BLOCK);
    assert_memory_equal(in, bytes, 16 * BLOCK);
    assert_int_equal(case_read(c->loop, file, in, 32 * BLOCK, 32 * BLOCK), 32 * BLOCK);
    assert_memory_equal(in, bytes + 32 * BLOCK, 32 * BLOCK);
    assert_int_equal(discard(c, file, 60 * BLOCK, 16 * BLOCK, IO_DISCARD_HOLE), 0);
    assert_int_equal(io_file_size(c->loop, file, &size), 0);
    assert_int_equal(size, 64 * BLOCK); /* never grows */
    assert_int_equal(discard(c, file, 0, 0, IO_DISCARD_HOLE), 0);
    io_file_close(c->loop, file);
    free(in);
    free(bytes);
}

void case_file_zero(void **state)
{
    struct loop_case *c = *state;
    struct io_file *file = make_file(c, 0);
    uint8_t *bytes = malloc(64 * BLOCK), *in = malloc(64 * BLOCK);
    int64_t result;

    fill(bytes, 64 * BLOCK, 3);
    assert_int_equal(case_write(c->loop, file, bytes, 64 * BLOCK, 0), 64 * BLOCK);
    assert_int_equal(discard(c, file, 8 * BLOCK, 8 * BLOCK, IO_DISCARD_ZERO), 0);
    assert_zeros(c, file, 8 * BLOCK, 8 * BLOCK);
    result = discard(c, file, 32 * BLOCK, 8 * BLOCK, IO_DISCARD_ZERO_FAST);
    assert_true(result == 0 || result == -ENOTSUP);
    if (result == 0)
        assert_zeros(c, file, 32 * BLOCK, 8 * BLOCK);
    assert_int_equal(case_read(c->loop, file, in, 8 * BLOCK, 0), 8 * BLOCK);
    assert_memory_equal(in, bytes, 8 * BLOCK);
    assert_int_equal(case_read(c->loop, file, in, 16 * BLOCK, 16 * BLOCK), 16 * BLOCK);
    assert_memory_equal(in, bytes + 16 * BLOCK, 16 * BLOCK);
    io_file_close(c->loop, file);
    free(in);
    free(bytes);
}

static int64_t extents(struct loop_case *c, struct io_file *file, uint64_t offset, uint64_t length,
                       struct io_extent *list, unsigned count_max)
{
    struct wait_op wait = {.loop = c->loop};

    io_file_extents(c->loop, &wait.op, file, offset, length, list, count_max, wait_op_done);
    return wait_op_run(&wait, c->loop);
}

/* Whatever granularity the file system has, what it calls a hole reads as zeros, nothing is missing
 * in between, and a big hole is found. */
void case_file_extents(void **state)
{
    struct loop_case *c = *state;
    enum { MIB = 1 << 20 };
    struct io_file *file = make_file(c, 16 * MIB);
    struct io_extent list[16];
    uint8_t bytes[BLOCK];
    uint64_t at = 0, hole_bytes = 0;
    int64_t count;

    fill(bytes, sizeof(bytes), 1);
    assert_int_equal(case_write(c->loop, file, bytes, BLOCK, 4 * MIB), BLOCK);
    assert_int_equal(case_write(c->loop, file, bytes, BLOCK, 12 * MIB), BLOCK);
    count = extents(c, file, 0, 16 * MIB, list, 16);
    assert_true(count >= 1 && count <= 16);
    for (int64_t i = 0; i < count; i++) {
        assert_int_equal(list[i].offset, at);
        assert_true(list[i].length > 0);
        at += list[i].length;
        if (list[i].is_hole) {
            hole_bytes += list[i].length;
            assert_false(list[i].offset <= 4 * MIB && at > 4 * MIB);
            assert_false(list[i].offset <= 12 * MIB && at > 12 * MIB);
        }
    }
    assert_int_equal(at, 16 * MIB);
    assert_true(hole_bytes >= 12 * MIB);
    assert_int_equal(extents(c, file, MIB, 2 * MIB, list, 16), 1); /* inside the first hole */
    assert_true(list[0].is_hole && list[0].offset == MIB && list[0].length == 2 * MIB);
    assert_int_equal(extents(c, file, 0, 16 * MIB, list, 2), 2);
    assert_int_equal(extents(c, file, 4 * MIB, BLOCK, list, 2), 1);
    assert_true(!list[0].is_hole && list[0].length == BLOCK);
    assert_int_equal(io_file_data_now(c->loop, file, 0, 2 * MIB), 2 * MIB); /* the end */
    at = io_file_data_now(c->loop, file, 0, 16 * MIB);
    assert_true(at > 2 * MIB && at <= 4 * MIB);
    assert_int_equal(io_file_data_now(c->loop, file, 12 * MIB + 5, 16 * MIB), 12 * MIB + 5);
    assert_int_equal(io_file_data_now(c->loop, file, 15 * MIB, 15 * MIB), 15 * MIB);
    assert_int_equal(io_file_data_now(c->loop, file, 15 * MIB, 32 * MIB), 32 * MIB);
    /* Somebody cut it off: there are no zeros behind its end. */
    assert_int_equal(io_file_resize_now(c->loop, file, 8 * MIB), 0);
    count = extents(c, file, 6 * MIB, 10 * MIB, list, 16);
    assert_int_equal(count, 2);
    assert_true(list[0].is_hole && list[0].length == 2 * MIB);
    assert_true(!list[1].is_hole && list[1].offset == 8 * MIB && list[1].length == 8 * MIB);
    assert_int_equal(extents(c, file, 8 * MIB, MIB, list, 16), 1);
    assert_false(list[0].is_hole);
    /* Room that is taken: nothing of it is data before it is written. */
    assert_int_equal(io_file_allocate_now(c->loop, file, 10 * MIB), 0);
    assert_int_equal(io_file_allocate_now(c->loop, file, 5 * MIB), 0);
    assert_int_equal(io_file_sync_now(c->loop, file), 0);
    assert_int_equal(io_file_size(c->loop, file, &at), 0);
    assert_int_equal(at, 10 * MIB);
    assert_int_equal(io_file_data_now(c->loop, file, 5 * MIB, 10 * MIB), 10 * MIB);
    assert_int_equal(io_file_read_now(c->loop, file, bytes, BLOCK, 4 * MIB), 0);
    assert_int_equal(bytes[0], 31);
    io_file_close(c->loop, file);
}

void case_map(void **state)
{
    struct loop_case *c = *state;
    struct err err = {0};
    char *at;

    assert_int_equal(io_map_open(c->loop, c->path[1], 3 * BLOCK, (void **)&at, &err), 0);
    for (int i = 0; i < 3 * BLOCK; i++)
        assert_int_equal(at[i], 0);
    strcpy(at + 2 * BLOCK, "stays");
    io_map_close(c->loop, at, 3 * BLOCK);
    assert_int_equal(io_map_open(c->loop, c->path[1], 3 * BLOCK, (void **)&at, &err), 0);
    assert_string_equal(at + 2 * BLOCK, "stays");
    io_map_close(c->loop, at, 3 * BLOCK);
    assert_int_equal(io_unlink(c->loop, c->path[1]), 0);
    assert_int_equal(io_map_open(c->loop, "/no-such-folder/x", BLOCK, (void **)&at, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/no-such-folder/x"));
}

static void append_name(void *arg, const char *name)
{
    strcat(arg, name);
    strcat(arg, " ");
}

void case_dirs(void **state)
{
    struct loop_case *c = *state;
    char folder[256], path[3][300], names[256] = "";
    struct io_file *file;

    snprintf(folder, sizeof(folder), "%s/dir", c->cases->folder);
    assert_int_equal(io_dir_list(c->loop, folder, append_name, names), -ENOENT);
    assert_int_equal(io_dir_make(c->loop, folder), 0);
    assert_int_equal(io_dir_make(c->loop, folder), 0);
    for (int i = 0; i < 3; i++) {
        snprintf(path[i], sizeof(path[i]), "%s/%d", folder, 3 - i);
        assert_int_equal(io_file_open(c->loop, path[i], IO_CREATE, &file, NULL), 0);
        assert_int_equal(io_file_write_now(c->loop, file, path[i], 1 + (size_t)i, 0), 0);
        io_file_close(c->loop, file);
    }
    assert_int_equal(io_dir_sync(c->loop, folder), 0);
    assert_int_equal(io_dir_list(c->loop, folder, append_name, names), 0);
    assert_string_equal(names, "1 2 3 ");
    assert_int_equal(io_rename(c->loop, path[0], path[1]), 0); /* 3 over 2 */
    names[0] = '\0';
    assert_int_equal(io_dir_list(c->loop, folder, append_name, names), 0);
    assert_string_equal(names, "1 2 ");
    assert_int_equal(io_unlink(c->loop, path[0]), -ENOENT);
    assert_int_equal(io_rename(c->loop, path[0], path[1]), -ENOENT);
    assert_true(io_unlink(c->loop, folder) < 0); /* not empty */
    assert_int_equal(io_unlink(c->loop, path[1]), 0);
    assert_int_equal(io_unlink(c->loop, path[2]), 0);
    assert_int_equal(io_unlink(c->loop, folder), 0);
    assert_int_equal(io_dir_sync(c->loop, folder), -ENOENT);
}
