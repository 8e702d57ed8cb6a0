/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a simulated site: opening, blocking calls, and operations in flight.
 *
 * 1. An operation completes after a random time of its own, so those in flight end in any order.
 * 2. A write reaches the page cache when it is submitted or when it completes, at random; a read
 *    takes its bytes at either moment. What is in flight when the process dies reached it wholly,
 * in part or not at all.
 * 3. A sync makes durable, when it completes, what had reached the cache when it was submitted, and
 *    no more. A failed one loses a random half of that for good, though reads still show it.
 */
#include "sim_kernel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sim_slots.h"

enum file_call { FILE_READ, FILE_WRITE, FILE_SYNC, FILE_DISCARD, FILE_EXTENTS };

struct io_file {
    struct io_handle handle;
    struct list node; /* in site->files */
    struct sim_site *site;
    struct sim_inode *inode;
    char path[SIM_PATH_SIZE];
    unsigned flags;
    unsigned in_flight;
};

struct file_op {
    struct list node; /* in site->file_ops */
    enum file_call call;
    struct io_op *op;
    struct io_file *file;
    const struct iovec *iov;
    unsigned iov_count, extent_max;
    uint64_t offset, length;
    struct io_extent *extents;
    bool is_effective;
    uint64_t order; /* sync: what it covers */
    int64_t result;
};

struct map {
    struct list node; /* in site->maps */
    struct sim_inode *inode;
    uint8_t *at;
};

int sim_disk_fault(struct sim_site *site, enum sim_disk_call call, const char *path)
{
    struct sim_fault *fault = &site->disk.faults[call];

    if (fault->nth == 0 || !strstr(path, fault->part) || --fault->nth > 0)
        return 0;
    if (call == SIM_DISK_SYNC)
        site->disk.sync_failed_life = site->life;
    sim_trace(site->world, site, "%s of %s fails with %d",
              call == SIM_DISK_SYNC    ? "sync"
              : call == SIM_DISK_WRITE ? "write"
                                       : "read",
              path, fault->error);
    return fault->error;
}

void sim_disk_fail(struct sim_site *site, enum sim_disk_call call, const char *part, unsigned nth,
                   int error)
{
    struct sim_fault *fault = &site->disk.faults[call];

    check(nth == 0 || error < 0);
    snprintf(fault->part, sizeof(fault->part), "%s", part);
    fault->nth = nth;
    fault->error = error;
}

bool sim_disk_sync_failed(const struct sim_site *site)
{
    return site->disk.sync_failed_life == site->life;
}

void sim_disk_limit(struct sim_site *site, uint64_t bytes_max)
{
    site->disk.pages_max = bytes_max / SIM_PAGE_BYTES;
}

void sim_disk_repair(struct sim_site *site)
{
    for (unsigned i = 0; i < SIM_DISK_CALL_COUNT; i++)
        site->disk.faults[i].nth = 0;
    site->disk.pages_max = 0;
}

void sim_disk_stalls(struct sim_site *site, unsigned one_in)
{
    site->disk.stalls = one_in;
}

bool sim_disk_has(struct sim_site *site, const char *part)
{
    const char *path;

    return sim_names_match(site, part, 0, &path) != NULL;
}

bool sim_disk_rot(struct sim_site *site, const char *part, char *ret_path)
{
    struct sim_random *random = &site->world->random_disk;
    unsigned count = 0;
    const char *path;
    uint64_t offset;
    struct sim_inode *inode;

    while (sim_names_match(site, part, count, &path))
        count++;
    if (count == 0)
        return false;
    inode = sim_names_match(site, part, (unsigned)sim_draw_below(random, count), &path);
    if (!sim_inode_rot(inode, random, &offset))
        return false;
    sim_trace(site->world, site, "%s rots at %llu", path, (unsigned long long)offset);
    snprintf(ret_path, SIM_PATH_SIZE, "%s", path);
    return true;
}

void sim_disk_misdirect(struct sim_site *site, const char *part, unsigned nth)
{
    snprintf(site->disk.misdirect.part, sizeof(site->disk.misdirect.part), "%s", part);
    site->disk.misdirect.nth = nth;
    site->disk.misdirected[0] = '\0';
}

const char *sim_disk_misdirected(const struct sim_site *site)
{
    return site->disk.misdirected[0] ? site->disk.misdirected : NULL;
}

/* Where a write really lands. */
static uint64_t aim(struct sim_site *site, const struct io_file *file, uint64_t offset,
                    uint64_t length)
{
    struct sim_fault *fault = &site->disk.misdirect;
    uint64_t size = sim_inode_size(file->inode), lands;

    if (fault->nth == 0 || !strstr(file->path, fault->part) || --fault->nth > 0)
        return offset;
    fault->nth = 1; /* the next one, should this one have no other place */
    if (size <= length + SIM_PAGE_BYTES)
        return offset;
    lands = sim_draw_below(&site->world->random_disk, (size - length) / SIM_PAGE_BYTES) *
                SIM_PAGE_BYTES +
            offset % SIM_PAGE_BYTES;
    if (lands == offset || lands + length > size)
        return offset;
    fault->nth = 0;
    snprintf(site->disk.misdirected, SIM_PATH_SIZE, "%s", file->path);
    sim_trace(site->world, site, "a write of %llu bytes to %s lands at %llu instead of %llu",
              (unsigned long long)length, file->path, (unsigned long long)lands,
              (unsigned long long)offset);
    return lands;
}

uint64_t sim_disk_used(const struct sim_site *site)
{
    return site->disk.pages_used * SIM_PAGE_BYTES;
}

void sim_disk_tear(struct sim_site *site, bool tears)
{
    site->disk.tears = tears;
}

void sim_disk_damage(struct sim_site *site, enum sim_damage damage)
{
    site->disk.damage = damage;
}

void sim_disk_latency(struct sim_site *site, uint64_t latency_ns_max)
{
    site->disk.latency_ns = latency_ns_max;
}

void sim_disk_init(struct sim_site *site)
{
    site->disk.latency_ns = 2 * SIM_MS;
    sim_names_init(site);
}

void sim_disk_fini(struct sim_site *site)
{
    check(list_is_empty(&site->files));
    sim_names_fini(site);
}

/* --- open files ------------------------------------------------------------------------------ */

static int open_inode(struct sim_site *site, const char *path, unsigned flags,
                      struct sim_inode **ret_inode)
{
    struct sim_inode *inode = sim_name_find(site, path);
    int error;

    if (inode) {
        if ((flags & IO_CREATE) && (flags & IO_EXCLUSIVE))
            return -EEXIST;
        if (sim_inode_is_folder(inode))
            return -EISDIR;
        *ret_inode = sim_inode_ref(inode);
        return 0;
    }
    if (!(flags & IO_CREATE))
        return -ENOENT;
    inode = sim_inode_new(site, false);
    error = sim_name_create(site, path, inode);
    if (error < 0) {
        sim_inode_unref(inode);
        return error;
    }
    *ret_inode = inode;
    return 0;
}

int sim_file_open(struct loop *loop, const char *path, unsigned flags, struct io_file **ret_file,
                  struct err *err)
{
    struct sim_site *site = sim_loop_site(loop);
    struct sim_inode *inode;
    struct io_file *file;
    int error;

    sim_kernel_call(site);
    error = open_inode(site, path, flags, &inode);
    if (error < 0)
        return err_set(err, error, "open %s: %s", path, err_name(error));
    if ((flags & IO_LOCK) && *sim_inode_lock(inode)) {
        sim_inode_unref(inode);
        return err_set(err, -EBUSY, "open %s: in use", path);
    }
    if (flags & IO_LOCK)
        *sim_inode_lock(inode) = true;
    file = sim_kernel_alloc(sizeof(*file));
    file->handle.loop = loop;
    file->site = site;
    file->inode = inode;
    file->flags = flags;
    snprintf(file->path, sizeof(file->path), "%s", path);
    list_append(&site->files, &file->node);
    sim_kernel_call(site);
    *ret_file = file;
    return 0;
}

static void file_free(struct io_file *file)
{
    if (file->flags & IO_LOCK)
        *sim_inode_lock(file->inode) = false;
    list_remove(&file->node);
    sim_inode_unref(file->inode);
    sim_kernel_free(file);
}

void sim_file_close(struct loop *loop, struct io_file *file)
{
    check(file->site == sim_loop_site(loop) && file->in_flight == 0);
    file_free(file);
}

int sim_file_forget(struct loop *loop, struct io_file *file)
{
    int error = sim_file_sync_now(loop, file);

    if (error == 0)
        sim_inode_forget(file->inode);
    return error;
}

bool sim_file_is_block_device(struct io_file *file)
{
    return false;
}

int sim_file_size(struct loop *loop, struct io_file *file, uint64_t *ret_bytes)
{
    *ret_bytes = sim_inode_size(file->inode);
    return 0;
}

static void peek(const struct sim_inode *inode, void *bytes, size_t length, uint64_t offset)
{
    uint64_t size = sim_inode_size(inode);
    size_t part = offset < size ? size - offset : 0;

    part = part < length ? part : length;
    if (part > 0)
        sim_inode_read(inode, bytes, part, offset);
    memset((uint8_t *)bytes + part, 0, length - part);
}

bool sim_disk_peek(struct sim_site *site, const char *path, void *bytes, size_t length,
                   uint64_t offset)
{
    const struct sim_inode *inode = sim_name_find(site, path);

    if (inode)
        peek(inode, bytes, length, offset);
    return inode != NULL;
}

bool sim_disk_is_hole(struct sim_site *site, const char *path, uint64_t offset, uint64_t length)
{
    const struct sim_inode *inode = sim_name_find(site, path);
    bool is_hole = true;

    return !inode || (sim_inode_run(inode, offset, length, &is_hole) == length && is_hole);
}

void sim_disk_poke(struct sim_site *site, const char *path, const void *bytes, size_t length,
                   uint64_t offset)
{
    struct sim_inode *inode = sim_name_find(site, path);

    if (inode)
        sim_inode_poke(inode, bytes, length, offset);
}

void sim_file_peek(struct io_file *file, void *bytes, size_t length, uint64_t offset)
{
    peek(file->inode, bytes, length, offset);
}

/* --- blocking calls -------------------------------------------------------------------------- */

int sim_file_resize_now(struct loop *loop, struct io_file *file, uint64_t bytes)
{
    sim_kernel_call(file->site);
    if (file->flags & IO_READ_ONLY)
        return -EBADF;
    sim_inode_resize(file->inode, bytes);
    sim_kernel_call(file->site);
    return 0;
}

/* Room that is kept is not counted here: who relies on it may be refused all the same. */
int sim_file_allocate_now(struct loop *loop, struct io_file *file, uint64_t bytes)
{
    int error = sim_disk_fault(file->site, SIM_DISK_WRITE, file->path);

    sim_kernel_call(file->site);
    if (error < 0)
        return error;
    if (file->flags & IO_READ_ONLY)
        return -EBADF;
    if (sim_inode_size(file->inode) < bytes)
        sim_inode_resize(file->inode, bytes);
    sim_kernel_call(file->site);
    return 0;
}

int sim_file_read_now(struct loop *loop, struct io_file *file, void *bytes, size_t length,
                      uint64_t offset)
{
    int error = sim_disk_fault(file->site, SIM_DISK_READ, file->path);

    if (error < 0)
        return error;
    if (offset + length > sim_inode_size(file->inode))
        return -ENODATA;
    sim_inode_read(file->inode, bytes, length, offset);
    return 0;
}

uint64_t sim_file_data_now(struct loop *loop, struct io_file *file, uint64_t from, uint64_t to)
{
    bool is_hole = true;
    uint64_t run = from < to ? sim_inode_run(file->inode, from, to - from, &is_hole) : 0;

    return is_hole ? from + run : from;
}

int sim_file_write_now(struct loop *loop, struct io_file *file, const void *bytes, size_t length,
                       uint64_t offset)
{
    int error = sim_disk_fault(file->site, SIM_DISK_WRITE, file->path);

    sim_kernel_call(file->site);
    if (error < 0)
        return error;
    if (file->flags & IO_READ_ONLY)
        return -EBADF;
    offset = aim(file->site, file, offset, length);
    error = sim_inode_write(file->inode, bytes, length, offset);
    sim_kernel_call(file->site);
    return error;
}

int sim_file_sync_now(struct loop *loop, struct io_file *file)
{
    int error = sim_disk_fault(file->site, SIM_DISK_SYNC, file->path);

    sim_kernel_call(file->site);
    sim_inode_sync(file->inode, sim_inode_order(file->inode), error < 0);
    sim_kernel_call(file->site);
    return error;
}

/* Nobody but the daemon writes here: a disk that looks changed at a start is the daemon's fault. */
int sim_file_stamp(struct loop *loop, struct io_file *file, uint64_t *ret_stamp)
{
    (void)loop;
    *ret_stamp = sim_inode_newest(file->inode);
    return 0;
}

/* --- operations in flight -------------------------------------------------------------------- */

static uint64_t iov_length(const struct iovec *iov, unsigned count)
{
    uint64_t length = 0;

    for (unsigned i = 0; i < count; i++)
        length += iov[i].iov_len;
    return length;
}

static int64_t read_effect(struct file_op *op)
{
    uint64_t at = op->offset;

    if (op->offset + op->length > sim_inode_size(op->file->inode))
        return -ENODATA;
    for (unsigned i = 0; i < op->iov_count; i++) {
        sim_inode_read(op->file->inode, op->iov[i].iov_base, op->iov[i].iov_len, at);
        at += op->iov[i].iov_len;
    }
    return (int64_t)op->length;
}

/* Writes `length_max` bytes of the operation at most: fewer when the process dies under it. */
static int64_t write_effect(struct file_op *op, uint64_t length_max)
{
    uint64_t at = op->offset, left = length_max;
    int error = 0;

    for (unsigned i = 0; i < op->iov_count && left > 0 && error == 0; i++) {
        size_t part = op->iov[i].iov_len < left ? op->iov[i].iov_len : left;
        error = sim_inode_write(op->file->inode, op->iov[i].iov_base, part, at);
        at += part;
        left -= part;
    }
    return error < 0 ? error : (int64_t)op->length;
}

static int64_t discard_effect(struct file_op *op, uint64_t length_max)
{
    uint64_t size = sim_inode_size(op->file->inode);
    uint64_t end = op->offset + length_max;

    end = end < size ? end : size;
    if (op->offset < end)
        check(sim_inode_write(op->file->inode, NULL, end - op->offset, op->offset) == 0);
    return 0;
}

static int64_t extents_effect(struct file_op *op)
{
    unsigned count = 0;
    uint64_t at = op->offset, end = op->offset + op->length, size = sim_inode_size(op->file->inode);

    while (at < end && count < op->extent_max) {
        struct io_extent *extent = &op->extents[count++];
        uint64_t stop = at < size && size < end ? size : end;

        extent->offset = at;
        extent->length = sim_inode_run(op->file->inode, at, stop - at, &extent->is_hole);
        extent->is_hole = extent->is_hole && at < size;
        at += extent->length;
    }
    return count;
}

static void take_effect(struct file_op *op)
{
    if (op->is_effective)
        return;
    op->is_effective = true;
    if (op->result < 0)
        return;
    switch (op->call) {
    case FILE_READ:
        op->result = read_effect(op);
        break;
    case FILE_WRITE:
        op->result = write_effect(op, op->length);
        break;
    case FILE_DISCARD:
        op->result = discard_effect(op, op->length);
        break;
    case FILE_EXTENTS:
        op->result = extents_effect(op);
        break;
    case FILE_SYNC:
        break;
    }
}

static void op_free(struct file_op *op)
{
    list_remove(&op->node);
    op->file->in_flight--;
    sim_block_free(op, sizeof(*op));
}

static void run_file_op(struct sim_event *event)
{
    struct file_op *op = event->arg;
    struct io_op *user = op->op;
    int64_t result;

    take_effect(op);
    if (op->call == FILE_SYNC) {
        sim_inode_sync(op->file->inode, op->order, op->result < 0);
        loop_sync_ended(op->file->handle.loop, op->result);
    }
    result = op->result;
    op_free(op);
    sim_hash_mix(event->world, (uint64_t)result);
    user->done_cb(user, result);
}

static struct file_op *op_new(struct loop *loop, struct io_op *user, struct io_file *file,
                              enum file_call call, uint64_t offset, uint64_t length)
{
    struct file_op *op = sim_block_alloc(sizeof(*op));
    struct sim_site *site = sim_loop_site(loop);

    check(file->site == site);
    *op = (struct file_op){
        .call = call,
        .op = user,
        .file = file,
        .offset = offset,
        .length = length,
    };
    file->in_flight++;
    list_append(&site->file_ops, &op->node);
    return op;
}

/* Mostly quick, now and then slow: so that orders differ. */
static uint64_t draw_delay(struct sim_site *site, enum file_call call)
{
    struct sim_random *random = &site->world->random_disk;
    uint64_t max = site->disk.latency_ns;

    if (site->disk.stalls > 0 && sim_draw_below(random, site->disk.stalls) == 0)
        return sim_draw_below(random, 3 * SIM_SECOND);
    if (call == FILE_SYNC)
        max *= 10;
    else if (!sim_draw_chance(random, 10))
        max /= 8;
    return 1 + sim_draw_below(random, max + 1);
}

static void op_submit(struct file_op *op, enum sim_disk_call call)
{
    static const char *const kinds[] = {"read", "write", "sync", "discard", "extents"};
    struct sim_site *site = op->file->site;

    op->result = sim_disk_fault(site, call, op->file->path);
    if (call == SIM_DISK_WRITE && op->file->flags & IO_READ_ONLY)
        op->result = -EBADF;
    if (sim_draw_chance(&site->world->random_disk, 50))
        take_effect(op);
    sim_event_add(site->world, site, draw_delay(site, op->call), kinds[op->call], run_file_op)
        ->arg = op;
    sim_kernel_call(site);
}

void sim_file_read(struct loop *loop, struct io_op *user, struct io_file *file,
                   const struct iovec *iov, unsigned iov_count, uint64_t offset)
{
    struct file_op *op = op_new(loop, user, file, FILE_READ, offset, iov_length(iov, iov_count));

    op->iov = iov;
    op->iov_count = iov_count;
    op_submit(op, SIM_DISK_READ);
}

void sim_file_write(struct loop *loop, struct io_op *user, struct io_file *file,
                    const struct iovec *iov, unsigned iov_count, uint64_t offset)
{
    struct file_op *op = op_new(loop, user, file, FILE_WRITE, offset, iov_length(iov, iov_count));

    op->iov = iov;
    op->iov_count = iov_count;
    op->offset = aim(file->site, file, offset, op->length);
    op_submit(op, SIM_DISK_WRITE);
}

void sim_file_sync(struct loop *loop, struct io_op *user, struct io_file *file)
{
    struct file_op *op = op_new(loop, user, file, FILE_SYNC, 0, 0);

    op->order = sim_inode_order(file->inode);
    op_submit(op, SIM_DISK_SYNC);
}

void sim_file_discard(struct loop *loop, struct io_op *user, struct io_file *file, uint64_t offset,
                      uint64_t length, enum io_discard_mode mode)
{
    struct file_op *op = op_new(loop, user, file, FILE_DISCARD, offset, length);

    op_submit(op, SIM_DISK_WRITE);
}

void sim_file_extents(struct loop *loop, struct io_op *user, struct io_file *file, uint64_t offset,
                      uint64_t length, struct io_extent *extents, unsigned extent_max)
{
    struct file_op *op = op_new(loop, user, file, FILE_EXTENTS, offset, length);

    op->extents = extents;
    op->extent_max = extent_max;
    op_submit(op, SIM_DISK_READ);
}

/* --- kill-safe memory ------------------------------------------------------------------------ */

int sim_map_open(struct loop *loop, const char *path, uint64_t bytes, void **ret_at,
                 struct err *err)
{
    struct sim_site *site = sim_loop_site(loop);
    struct sim_inode *inode;
    struct map *map;
    int error;

    sim_kernel_call(site);
    error = open_inode(site, path, IO_CREATE, &inode);
    if (error < 0)
        return err_set(err, error, "map %s: %s", path, err_name(error));
    map = sim_kernel_alloc(sizeof(*map));
    map->at = sim_inode_map(inode, bytes);
    map->inode = inode;
    list_append(&site->maps, &map->node);
    *ret_at = map->at;
    return 0;
}

static void map_free(struct map *map)
{
    list_remove(&map->node);
    sim_inode_unref(map->inode);
    sim_kernel_free(map);
}

void sim_map_close(struct loop *loop, void *at, uint64_t bytes)
{
    struct sim_site *site = sim_loop_site(loop);
    struct list *node, *next;

    list_for_each(node, next, &site->maps)
    {
        struct map *map = list_entry(node, struct map, node);
        if (map->at == at) {
            map_free(map);
            return;
        }
    }
    check(!"a map that is open");
}

/* --- ends of life ---------------------------------------------------------------------------- */

/* A write under way when its process dies: the kernel may do all, a part or none of it. */
static void op_die(struct file_op *op)
{
    struct sim_random *random = &op->file->site->world->random_disk;

    if (op->is_effective || op->result < 0 || sim_draw_chance(random, 50))
        return;
    if (op->call == FILE_WRITE)
        write_effect(op, sim_draw_chance(random, 50)
                             ? op->length
                             : sim_draw_below(random, op->length / 512 + 1) * 512);
    else if (op->call == FILE_DISCARD)
        discard_effect(op, op->length);
}

void sim_disk_kill(struct sim_site *site)
{
    while (!list_is_empty(&site->file_ops)) {
        struct file_op *op = list_entry(site->file_ops.next, struct file_op, node);
        op_die(op);
        op_free(op);
    }
    while (!list_is_empty(&site->files))
        file_free(list_entry(site->files.next, struct io_file, node));
    while (!list_is_empty(&site->maps))
        map_free(list_entry(site->maps.next, struct map, node));
}

static void inode_power_loss(struct sim_inode *inode, void *arg)
{
    sim_inode_power_loss(inode, *(unsigned *)arg);
}

void sim_disk_power_loss(struct sim_site *site)
{
    static const unsigned keeps[] = {0, 20, 50, 80, 100};
    unsigned keep = keeps[sim_draw_below(&site->world->random_disk, ARRAY_COUNT(keeps))];

    if (site->disk.damage != SIM_DAMAGE_RANDOM)
        keep = site->disk.damage == SIM_DAMAGE_ALL    ? 0
               : site->disk.damage == SIM_DAMAGE_NONE ? 100
                                                      : 50;

    sim_names_power_loss(site);
    sim_names_each(site, inode_power_loss, &keep);
}
