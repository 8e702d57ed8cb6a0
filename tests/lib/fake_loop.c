/* SPDX-License-Identifier: Apache-2.0 */
/* The loop for unit tests; see fake_loop.h. */
#include "tests/lib/fake_loop.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum fake_kind { FAKE_READ, FAKE_WRITE, FAKE_SYNC };

/* In io_op.private. */
struct pending {
    struct list node;
    enum fake_kind kind;
    struct io_file *file;
    const struct iovec *iov;
    unsigned iov_count;
    uint64_t offset;
};

static struct fake_loop *fake_of(struct loop *loop)
{
    return container_of(loop, struct fake_loop, loop);
}

void fake_loop_log(struct fake_loop *fake, const char *format, ...)
{
    size_t used = strlen(fake->log);
    va_list arguments;

    va_start(arguments, format);
    used += (size_t)vsnprintf(fake->log + used, sizeof(fake->log) - used, format, arguments);
    va_end(arguments);
    if (used + 2 < sizeof(fake->log))
        strcpy(fake->log + used, "\n");
}

struct io_file *fake_loop_file(struct fake_loop *fake, const char *path)
{
    for (unsigned i = 0; i < FAKE_FILES; i++) {
        if (strcmp(fake->files[i].path, path) == 0)
            return &fake->files[i];
    }
    return NULL;
}

static void resize(struct io_file *file, uint64_t size)
{
    file->bytes = realloc(file->bytes, size + 1);
    check(file->bytes != NULL);
    if (size > file->size)
        memset(file->bytes + file->size, 0, size - file->size);
    file->size = size;
}

static int transfer(struct io_file *file, enum fake_kind kind, const struct iovec *iov,
                    unsigned iov_count, uint64_t offset)
{
    for (unsigned i = 0; i < iov_count; i++) {
        if (kind == FAKE_WRITE && offset + iov[i].iov_len > file->size)
            resize(file, offset + iov[i].iov_len);
        if (offset + iov[i].iov_len > file->size)
            return -ENODATA;
        if (kind == FAKE_WRITE)
            memcpy(file->bytes + offset, iov[i].iov_base, iov[i].iov_len);
        else
            memcpy(iov[i].iov_base, file->bytes + offset, iov[i].iov_len);
        offset += iov[i].iov_len;
    }
    return 0;
}

/* ---- running -------------------------------------------------------------------------------- */

static bool run_tasks(struct fake_loop *fake)
{
    struct list *node = list_pop(&fake->tasks);

    if (!node)
        return false;
    do {
        struct loop_task *task = list_entry(node, struct loop_task, node);

        fake->task_count++;
        task->run_cb(task);
    } while ((node = list_pop(&fake->tasks)) != NULL);
    return true;
}

static bool complete_one(struct fake_loop *fake)
{
    struct list *node = list_pop(&fake->pending);
    struct pending *pending;
    struct io_op *op;
    int error = 0;
    int64_t length = 0;

    if (!node)
        return false;
    pending = list_entry(node, struct pending, node);
    op = container_of((uint64_t *)pending, struct io_op, private[0]);
    if (pending->kind == FAKE_SYNC) {
        const char *slash = strrchr(pending->file->path, '/');

        error = fake->sync_error;
        fake_loop_log(fake, "synced %s", slash ? slash + 1 : pending->file->path);
    }
    if (pending->kind == FAKE_WRITE)
        error = fake->write_error;
    if (pending->kind == FAKE_READ)
        error = fake->read_error;
    if (error == 0 && pending->kind != FAKE_SYNC)
        error = transfer(pending->file, pending->kind, pending->iov, pending->iov_count,
                         pending->offset);
    for (unsigned i = 0; i < pending->iov_count; i++)
        length += (int64_t)pending->iov[i].iov_len;
    op->done_cb(op, error < 0 ? error : length);
    return true;
}

void fake_loop_run(struct fake_loop *fake)
{
    while (run_tasks(fake) || (!fake->is_held && complete_one(fake))) {
    }
}

bool fake_loop_complete(struct fake_loop *fake)
{
    bool did;

    run_tasks(fake);
    did = complete_one(fake);
    run_tasks(fake);
    return did;
}

void fake_loop_advance(struct fake_loop *fake, uint64_t ns)
{
    struct list *node, *next;
    bool did;

    fake->now_ns += ns;
    do {
        did = false;
        list_for_each(node, next, &fake->timers)
        {
            struct loop_timer *timer =
                container_of((uint64_t *)node, struct loop_timer, private[0]);

            if (timer->deadline_ns > fake->now_ns)
                continue;
            list_remove(node);
            timer->fired_cb(timer);
            did = true;
            break;
        }
    } while (did);
    fake_loop_run(fake);
}

/* ---- the slots ------------------------------------------------------------------------------ */

static uint64_t fake_now(struct loop *loop)
{
    return fake_of(loop)->now_ns;
}

static void fake_defer(struct loop *loop, struct loop_task *task)
{
    if (list_is_empty(&task->node))
        list_append(&fake_of(loop)->tasks, &task->node);
}

static struct list *timer_node(struct loop_timer *timer)
{
    return (struct list *)timer->private;
}

static void fake_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
    (void)loop;
    if (timer_node(timer)->next)
        list_remove(timer_node(timer));
}

static void fake_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns)
{
    fake_timer_cancel(loop, timer);
    timer->deadline_ns = deadline_ns;
    list_append(&fake_of(loop)->timers, timer_node(timer));
}

static int fake_open(struct loop *loop, const char *path, unsigned flags, struct io_file **ret_file,
                     struct err *err)
{
    struct io_file *file = fake_loop_file(fake_of(loop), path);

    if (fake_of(loop)->open_error != 0)
        return err_set(err, fake_of(loop)->open_error, "%s: an error", path);
    if (!file && !(flags & IO_CREATE))
        return err_set(err, -ENOENT, "%s: missing", path);
    if (file && (flags & IO_EXCLUSIVE))
        return err_set(err, -EEXIST, "%s: exists", path);
    if (!file) {
        file = fake_loop_file(fake_of(loop), "");
        check(file != NULL);
        snprintf(file->path, sizeof(file->path), "%s", path);
        resize(file, 0);
    }
    check(!file->is_open);
    file->is_open = true;
    file->handle.loop = loop;
    *ret_file = file;
    return 0;
}

static int fake_forget(struct loop *loop, struct io_file *file)
{
    return 0;
}

static void fake_close(struct loop *loop, struct io_file *file)
{
    struct list *pending = &fake_of(loop)->pending;

    check(file->is_open);
    for (struct list *node = pending->next; node != pending; node = node->next)
        check(list_entry(node, struct pending, node)->file != file);
    file->is_open = false;
}

static bool fake_is_block(struct io_file *file)
{
    return strncmp(file->path, "/dev/", 5) == 0;
}

static int fake_size(struct loop *loop, struct io_file *file, uint64_t *ret_bytes)
{
    (void)loop;
    *ret_bytes = file->size;
    return 0;
}

static int fake_resize_now(struct loop *loop, struct io_file *file, uint64_t bytes)
{
    fake_of(loop)->op_count++;
    resize(file, bytes);
    return 0;
}

static int fake_transfer_now(struct fake_loop *fake, struct io_file *file, enum fake_kind kind,
                             void *bytes, size_t length, uint64_t offset)
{
    struct iovec iov = {bytes, length};

    fake->op_count++;
    return transfer(file, kind, &iov, 1, offset);
}

static int fake_read_now(struct loop *loop, struct io_file *file, void *bytes, size_t length,
                         uint64_t offset)
{
    fake_of(loop)->read_now_bytes += length;
    return fake_transfer_now(fake_of(loop), file, FAKE_READ, bytes, length, offset);
}

/* Bytes of zero lie in holes here. */
static uint64_t fake_data_now(struct loop *loop, struct io_file *file, uint64_t from, uint64_t to)
{
    (void)loop;
    while (from < to && (from >= file->size || file->bytes[from] == 0))
        from++;
    return from;
}

static int fake_write_now(struct loop *loop, struct io_file *file, const void *bytes, size_t length,
                          uint64_t offset)
{
    return fake_transfer_now(fake_of(loop), file, FAKE_WRITE, (void *)bytes, length, offset);
}

static int fake_sync_now(struct loop *loop, struct io_file *file)
{
    (void)file;
    fake_of(loop)->op_count++;
    return fake_of(loop)->sync_error;
}

static int fake_stamp(struct loop *loop, struct io_file *file, uint64_t *ret_stamp)
{
    (void)loop;
    (void)file;
    *ret_stamp = 0;
    return 0;
}

static void submit(struct loop *loop, struct io_op *op, struct pending pending)
{
    struct fake_loop *fake = fake_of(loop);
    static const char *const names[] = {"read", "write", "sync"};
    const char *slash = strrchr(pending.file->path, '/');

    fake->op_count++;
    fake_loop_log(fake, "%s %s", names[pending.kind], slash ? slash + 1 : pending.file->path);
    *(struct pending *)op->private = pending;
    list_append(&fake->pending, &((struct pending *)op->private)->node);
}

static void fake_read(struct loop *loop, struct io_op *op, struct io_file *file,
                      const struct iovec *iov, unsigned iov_count, uint64_t offset)
{
    submit(loop, op, (struct pending){{0}, FAKE_READ, file, iov, iov_count, offset});
}

static void fake_write(struct loop *loop, struct io_op *op, struct io_file *file,
                       const struct iovec *iov, unsigned iov_count, uint64_t offset)
{
    submit(loop, op, (struct pending){{0}, FAKE_WRITE, file, iov, iov_count, offset});
}

static void fake_sync(struct loop *loop, struct io_op *op, struct io_file *file)
{
    submit(loop, op, (struct pending){{0}, FAKE_SYNC, file, NULL, 0, 0});
}

static uint64_t fake_random(struct loop *loop)
{
    return ++fake_of(loop)->random * 0x9e3779b97f4a7c15ull;
}

static int fake_dir_make(struct loop *loop, const char *path)
{
    (void)loop;
    (void)path;
    return 0;
}

/* In the order of the slots, not by name. */
static int fake_dir_list(struct loop *loop, const char *path,
                         void (*entry_cb)(void *arg, const char *name), void *arg)
{
    size_t length = strlen(path);

    for (unsigned i = 0; i < FAKE_FILES; i++) {
        const char *name = fake_of(loop)->files[i].path;

        if (strncmp(name, path, length) == 0 && name[length] == '/')
            entry_cb(arg, name + length + 1);
    }
    return 0;
}

static int fake_dir_sync(struct loop *loop, const char *path)
{
    (void)loop;
    (void)path;
    return 0;
}

static int fake_unlink(struct loop *loop, const char *path)
{
    struct io_file *file = fake_loop_file(fake_of(loop), path);

    if (!file)
        return -ENOENT;
    check(!file->is_open);
    free(file->bytes);
    *file = (struct io_file){0};
    return 0;
}

static int fake_rename(struct loop *loop, const char *from, const char *to)
{
    struct io_file *file = fake_loop_file(fake_of(loop), from);

    if (!file)
        return -ENOENT;
    fake_unlink(loop, to);
    snprintf(file->path, sizeof(file->path), "%s", to);
    return 0;
}

static const struct loop_ops fake_ops = {
    .name = "fake",
    .now_ns = fake_now,
    .wall_ns = fake_now,
    .random = fake_random,
    .defer = fake_defer,
    .timer_set = fake_timer_set,
    .timer_cancel = fake_timer_cancel,
    .file_open = fake_open,
    .file_close = fake_close,
    .file_forget = fake_forget,
    .file_is_block_device = fake_is_block,
    .file_size = fake_size,
    .file_resize_now = fake_resize_now,
    .file_read_now = fake_read_now,
    .file_data_now = fake_data_now,
    .file_write_now = fake_write_now,
    .file_sync_now = fake_sync_now,
    .file_stamp = fake_stamp,
    .file_read = fake_read,
    .file_write = fake_write,
    .file_sync = fake_sync,
    .dir_make = fake_dir_make,
    .dir_sync = fake_dir_sync,
    .dir_list = fake_dir_list,
    .unlink = fake_unlink,
    .rename = fake_rename,
};

void fake_loop_init(struct fake_loop *fake)
{
    *fake = (struct fake_loop){.loop = {LOOP_MAGIC, &fake_ops, NULL}, .now_ns = 1000000000};
    list_init(&fake->tasks);
    list_init(&fake->timers);
    list_init(&fake->pending);
}

void fake_loop_fini(struct fake_loop *fake)
{
    check(list_is_empty(&fake->tasks) && list_is_empty(&fake->pending));
    for (unsigned i = 0; i < FAKE_FILES; i++) {
        check(!fake->files[i].is_open);
        free(fake->files[i].bytes);
    }
}
