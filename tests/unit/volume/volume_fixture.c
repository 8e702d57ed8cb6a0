/* SPDX-License-Identifier: Apache-2.0 */
/* The fixture of the volume's tests; see volume_fixture.h. */
#include "volume_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static struct fixture *fixture_of(struct store *store)
{
    return container_of(store, struct fixture, store);
}

/* ---- the store ------------------------------------------------------------------------------ */

static void call_add(struct store *store, struct fixture_call call)
{
    struct fixture *fixture = fixture_of(store);

    for (unsigned i = 0; i < FIXTURE_CALLS; i++) {
        if (fixture->calls[i].kind)
            continue;
        call.order = ++fixture->order;
        fixture->calls[i] = call;
        return;
    }
    check(!"room for a call");
}

static uint64_t iov_bytes(const struct iovec *iov, unsigned iov_count)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < iov_count; i++)
        bytes += iov[i].iov_len;
    return bytes;
}

static void log_call(struct store *store, const char *name, uint64_t offset, uint64_t length)
{
    fake_loop_log(&fixture_of(store)->fake, "store %s %llu+%llu", name,
                  (unsigned long long)(offset / BLOCK_SIZE),
                  (unsigned long long)((length + BLOCK_SIZE - 1) / BLOCK_SIZE));
}

static void memory_close(struct store *store)
{
    (void)store;
}

static void memory_read(struct store *store, struct store_op *op, const struct iovec *iov,
                        unsigned iov_count, uint64_t offset)
{
    log_call(store, "read", offset, iov_bytes(iov, iov_count));
    call_add(store, (struct fixture_call){'r', op, iov, iov_count, offset, 0, NULL, 0});
}

static void memory_write(struct store *store, struct store_op *op, const struct iovec *iov,
                         unsigned iov_count, uint64_t offset)
{
    log_call(store, "write", offset, iov_bytes(iov, iov_count));
    call_add(store, (struct fixture_call){'w', op, iov, iov_count, offset, 0, NULL, 0});
}

static void memory_sync(struct store *store, struct store_op *op)
{
    fake_loop_log(&fixture_of(store)->fake, "store sync");
    call_add(store, (struct fixture_call){'s', op, NULL, 0, 0, 0, NULL, 0});
}

static void memory_discard(struct store *store, struct store_op *op, uint64_t offset,
                           uint64_t length, enum io_discard_mode mode)
{
    (void)mode;
    log_call(store, "discard", offset, length);
    call_add(store, (struct fixture_call){'d', op, NULL, 0, offset, length, NULL, 0});
}

static void memory_extents(struct store *store, struct store_op *op, uint64_t offset,
                           uint64_t length, struct io_extent *extents, unsigned extent_max)
{
    (void)extent_max;
    call_add(store, (struct fixture_call){'e', op, NULL, 0, offset, length, extents, 0});
}

static int memory_grow(struct store *store, uint64_t size_bytes, bool may_extend, struct err *err)
{
    return err_set(err, -ENOSPC, "%s cannot have %llu bytes", store->name,
                   (unsigned long long)size_bytes);
}

static int memory_stamp(struct store *store, uint64_t *ret_stamp)
{
    *ret_stamp = 0;
    return store->is_fenced ? -EIO : 0;
}

static const struct store_ops memory_ops = {
    .name = "memory",
    .close = memory_close,
    .read = memory_read,
    .write = memory_write,
    .sync = memory_sync,
    .discard = memory_discard,
    .extents = memory_extents,
    .grow = memory_grow,
    .stamp = memory_stamp,
};

static bool is_zero(const uint8_t *bytes)
{
    static const uint8_t zeros[BLOCK_SIZE];

    return memcmp(bytes, zeros, BLOCK_SIZE) == 0;
}

/* Whole blocks of zeros are holes. */
static void fill_extent(struct fixture *fixture, const struct fixture_call *call)
{
    uint64_t at = call->offset, end = call->offset + call->length;
    bool is_hole = is_zero(fixture->bytes + at / BLOCK_SIZE * BLOCK_SIZE);

    while (at < end && is_zero(fixture->bytes + at / BLOCK_SIZE * BLOCK_SIZE) == is_hole)
        at = (at / BLOCK_SIZE + 1) * BLOCK_SIZE;
    *call->extents =
        (struct io_extent){call->offset, (at < end ? at : end) - call->offset, is_hole};
}

static int apply_call(struct fixture *fixture, const struct fixture_call *call)
{
    uint64_t offset = call->offset;

    for (unsigned i = 0; i < call->iov_count; i++) {
        if (call->kind == 'w')
            memcpy(fixture->bytes + offset, call->iov[i].iov_base, call->iov[i].iov_len);
        else
            memcpy(call->iov[i].iov_base, fixture->bytes + offset, call->iov[i].iov_len);
        offset += call->iov[i].iov_len;
    }
    if (call->kind == 'd')
        memset(fixture->bytes + call->offset, 0, call->length);
    if (call->kind == 'e')
        fill_extent(fixture, call);
    return call->kind == 'e' ? 1 : 0;
}

bool fixture_store_end(struct fixture *fixture, unsigned index, int error)
{
    struct fixture_call *found = NULL, call;
    unsigned long after = 0;

    for (unsigned pass = 0; pass <= index; pass++) {
        struct fixture_call *next = NULL;

        for (unsigned i = 0; i < FIXTURE_CALLS; i++) {
            struct fixture_call *at = &fixture->calls[i];

            if (at->kind && at->order > after && (!next || at->order < next->order))
                next = at;
        }
        if (!next)
            break;
        found = next;
        after = next->order;
    }
    if (!found)
        return false;
    call = *found;
    found->kind = 0;
    if (error == 0)
        error = apply_call(fixture, &call);
    if (call.kind == 's') {
        fake_loop_log(&fixture->fake, "store synced");
        store_op_sync_done(call.op, error);
    } else {
        store_op_done(call.op, error);
    }
    return true;
}

void fixture_settle(struct fixture *fixture)
{
    do {
        fake_loop_run(&fixture->fake);
    } while (fixture_store_end(fixture, 0, 0));
}

/* ---- overlay and layer ---------------------------------------------------------------------- */

static bool overlay_lookup(void *arg, uint64_t block, uint64_t count, uint64_t *ret_count)
{
    struct fixture *fixture = arg;
    uint64_t run = 1;

    while (run < count && fixture->in_overlay[block + run] == fixture->in_overlay[block])
        run++;
    *ret_count = run;
    return fixture->in_overlay[block];
}

static bool overlay_is_hole(void *arg, uint64_t block, uint64_t count)
{
    struct fixture *fixture = arg;

    for (uint64_t i = 0; i < count; i++) {
        check(fixture->in_overlay[block + i]);
        if (!is_zero(fixture->overlay_bytes + (block + i) * BLOCK_SIZE))
            return false;
    }
    return true;
}

struct overlay_work {
    struct loop_task task;
    struct overlay_read *read;
};

static void overlay_end(struct loop_task *task)
{
    struct overlay_work *work = container_of(task, struct overlay_work, task);

    work->read->done_cb(work->read, 0);
}

static void overlay_soon(struct fixture *fixture, struct overlay_read *read,
                         void (*done_cb)(struct overlay_read *read, int error))
{
    struct overlay_work *work = (struct overlay_work *)read->private;

    read->done_cb = done_cb;
    work->read = read;
    work->task.run_cb = overlay_end;
    list_init(&work->task.node);
    loop_defer(&fixture->fake.loop, &work->task);
}

static void overlay_read_blocks(void *arg, struct overlay_read *read, uint64_t block,
                                uint64_t count, uint8_t *bytes,
                                void (*done_cb)(struct overlay_read *read, int error))
{
    struct fixture *fixture = arg;

    for (uint64_t i = 0; i < count; i++)
        check(fixture->in_overlay[block + i]);
    memcpy(bytes, fixture->overlay_bytes + block * BLOCK_SIZE, count * BLOCK_SIZE);
    overlay_soon(fixture, read, done_cb);
}

static void overlay_replaced(void *arg, uint64_t block, uint64_t count)
{
    struct fixture *fixture = arg;

    fake_loop_log(&fixture->fake, "replaced %llu+%llu", (unsigned long long)block,
                  (unsigned long long)count);
    memset(fixture->in_overlay + block, 0, count * sizeof(bool));
}

static void overlay_flushing(void *arg)
{
    fake_loop_log(&((struct fixture *)arg)->fake, "flushing");
}

static void overlay_flushed(void *arg, struct overlay_read *op,
                            void (*done_cb)(struct overlay_read *op, int error))
{
    fake_loop_log(&((struct fixture *)arg)->fake, "flushed");
    overlay_soon(arg, op, done_cb);
}

static const struct overlay_ops overlay_ops = {
    .lookup = overlay_lookup,
    .is_hole = overlay_is_hole,
    .read = overlay_read_blocks,
    .replaced = overlay_replaced,
    .flushing = overlay_flushing,
    .flushed = overlay_flushed,
};

void fixture_overlay(struct fixture *fixture)
{
    volume_set_overlay(fixture->volume, &overlay_ops, fixture);
}

static bool layer_needs(void *arg, uint64_t block, uint64_t count)
{
    struct fixture *fixture = arg;

    for (uint64_t i = 0; fixture->has_layer && i < count; i++) {
        if (!fixture->in_layer[block + i])
            return true;
    }
    return false;
}

struct layer_work {
    struct loop_task task;
    struct preserve_op *op;
    struct fixture *fixture;
    uint64_t block, count;
    const uint8_t *bytes;
};

static void layer_end(struct loop_task *task)
{
    struct layer_work *work = container_of(task, struct layer_work, task);
    struct fixture *fixture = work->fixture;

    for (uint64_t i = 0; i < work->count; i++) {
        uint64_t block = work->block + i;

        if (!fixture->in_layer[block])
            memcpy(fixture->layer_bytes + block * BLOCK_SIZE, work->bytes + i * BLOCK_SIZE,
                   BLOCK_SIZE);
        fixture->in_layer[block] = true;
    }
    fake_loop_log(&fixture->fake, "preserved %llu+%llu", (unsigned long long)work->block,
                  (unsigned long long)work->count);
    work->op->done_cb(work->op, 0);
}

static void layer_preserve(void *arg, struct preserve_op *op, uint64_t block, uint64_t count,
                           const uint8_t *bytes, void (*done_cb)(struct preserve_op *op, int error))
{
    struct layer_work *work = (struct layer_work *)op->private;
    struct fixture *fixture = arg;

    *work = (struct layer_work){{layer_end, {0}}, op, fixture, block, count, bytes};
    op->done_cb = done_cb;
    list_init(&work->task.node);
    loop_defer(&fixture->fake.loop, &work->task);
}

static const struct preserve_ops preserve_ops = {.needs = layer_needs, .preserve = layer_preserve};

void fixture_layer(struct fixture *fixture)
{
    fixture->has_layer = true;
    memset(fixture->in_layer, 0, sizeof(fixture->in_layer));
    volume_set_preserve(fixture->volume, &preserve_ops, fixture);
}

/* ---- set up --------------------------------------------------------------------------------- */

void fixture_init(struct fixture *fixture)
{
    *fixture = (struct fixture){0};
    fake_loop_init(&fixture->fake);
    fixture->bytes = calloc(FIXTURE_BLOCKS, BLOCK_SIZE);
    fixture->overlay_bytes = calloc(FIXTURE_BLOCKS, BLOCK_SIZE);
    fixture->layer_bytes = calloc(FIXTURE_BLOCKS, BLOCK_SIZE);
    check(fixture->bytes && fixture->overlay_bytes && fixture->layer_bytes);
    fixture->store = (struct store){.magic = STORE_MAGIC,
                                    .ops = &memory_ops,
                                    .loop = &fixture->fake.loop,
                                    .size_bytes = (uint64_t)FIXTURE_BLOCKS * BLOCK_SIZE};
    check(volume_new(&fixture->fake.loop, &fixture->store, "d-1", &fixture->volume) == 0);
}

static void quiet_untrack(void *arg)
{
    tracking_stop(((struct fixture *)arg)->volume);
}

void fixture_untrack(struct fixture *fixture)
{
    volume_hold(fixture->volume, quiet_untrack, fixture);
    fixture_settle(fixture);
    check(!tracking_is_on(fixture->volume));
    volume_release(fixture->volume);
    bitfile_close(fixture->intent);
    stash_free(fixture->stash);
}

void fixture_fini(struct fixture *fixture)
{
    fixture_settle(fixture);
    if (tracking_is_on(fixture->volume))
        fixture_untrack(fixture);
    check(volume_is_idle(fixture->volume));
    volume_free(fixture->volume);
    fake_loop_fini(&fixture->fake);
    free(fixture->bytes);
    free(fixture->overlay_bytes);
    free(fixture->layer_bytes);
}

static void stash_full(void *arg)
{
    struct fixture *fixture = arg;

    fixture->full_count++;
    tracking_merge(fixture->volume);
}

static void dirtied(void *arg)
{
    ((struct fixture *)arg)->dirty_count++;
}

void fixture_track(struct fixture *fixture, uint64_t memory_blocks, uint64_t spill_blocks)
{
    uint64_t blocks = fixture->store.size_bytes / BLOCK_SIZE; /* a test may have made it larger */
    uint64_t regions = (blocks + REGION_BLOCKS - 1) / REGION_BLOCKS;
    struct stash_options stash_options = {.memory_bytes_max = memory_blocks * BLOCK_SIZE,
                                          .spill_bytes_max = spill_blocks * BLOCK_SIZE,
                                          .spill_path = "/spill",
                                          .volume_count_max = 4};
    struct tracking_options options = {
        .stash_index = 2, .stash_full_cb = stash_full, .dirtied_cb = dirtied, .arg = fixture};

    check(bitfile_open(&fixture->fake.loop, "/intent", "INTN", regions, &fixture->intent, NULL) ==
          0);
    check(stash_new(&fixture->fake.loop, &stash_options, &fixture->stash) == 0);
    options.intent = fixture->intent;
    options.stash = fixture->stash;
    check(tracking_start(fixture->volume, &options) == 0);
}

/* ---- hosts ---------------------------------------------------------------------------------- */

void sectors_fill(uint8_t *bytes, uint64_t sectors, uint64_t value)
{
    for (uint64_t i = 0; i < sectors * VOLUME_SECTOR; i += sizeof(value))
        memcpy(bytes + i, &value, sizeof(value));
}

uint64_t sector_value(const uint8_t *bytes)
{
    uint64_t value, other;

    memcpy(&value, bytes, sizeof(value));
    for (unsigned i = 0; i < VOLUME_SECTOR; i += sizeof(value)) {
        memcpy(&other, bytes + i, sizeof(value));
        check(other == value);
    }
    return value;
}

static void host_done(struct volume_request *request, int error)
{
    struct host *host = container_of(request, struct host, request);

    check(host->error == 1);
    host->error = error;
    if (host->tag)
        fake_loop_log(&host->fixture->fake, "reply %d %d", host->tag, error);
}

struct host *host_submit(struct fixture *fixture, enum volume_op op, unsigned flags,
                         uint64_t sector, uint64_t sectors, uint64_t value, int tag)
{
    struct host *host = calloc(1, sizeof(*host));

    check(host != NULL);
    host->fixture = fixture;
    host->tag = tag;
    host->error = 1;
    host->bytes = malloc(sectors * VOLUME_SECTOR + 1);
    sectors_fill(host->bytes, sectors, value);
    host->iov = (struct iovec){host->bytes, sectors * VOLUME_SECTOR};
    host->request = (struct volume_request){.op = op,
                                            .flags = flags,
                                            .offset = sector * VOLUME_SECTOR,
                                            .length = sectors * VOLUME_SECTOR,
                                            .iov = &host->iov,
                                            .iov_count = 1,
                                            .done_cb = host_done};
    volume_submit(fixture->volume, &host->request);
    check(host->error == 1);
    return host;
}

void host_free(struct host *host)
{
    check(host->error != 1);
    free(host->bytes);
    free(host);
}

void host_run(struct fixture *fixture, enum volume_op op, uint64_t sector, uint64_t sectors,
              uint64_t value)
{
    struct host *host = host_submit(fixture, op, 0, sector, sectors, value, 0);

    fixture_settle(fixture);
    check(host->error == 0);
    host_free(host);
}

/* ---- the log -------------------------------------------------------------------------------- */

bool log_has(const struct fixture *fixture, const char *text)
{
    return strstr(fixture->fake.log, text) != NULL;
}

bool log_has_order(const struct fixture *fixture, const char *first, const char *second)
{
    const char *at = strstr(fixture->fake.log, first);

    return at && strstr(at + strlen(first), second);
}

void log_reset(struct fixture *fixture)
{
    fixture->fake.log[0] = '\0';
}
