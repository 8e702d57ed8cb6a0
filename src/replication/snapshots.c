/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers of disks, as the volumes' preserver and as read-only exports.
 *
 *   N1  before a block of the base is overwritten, every live layer that lacks it keeps what the
 *       base holds (R11): one layer after the other, looked for anew after each, so that layers may
 *       come and go meanwhile;
 *   N2  a layer shows a block that it lacks from the base, under the shared range lock and only if
 *       it still lacks it there: else the block went into the layer meanwhile, and is read there;
 *   N3  a removed layer is out of every list at once; its files go when nobody reads or fills it;
 *   N4  a layer has the size that its disk had: what the disk holds beyond is none of its;
 *   N5  a base is never overwritten under a layer that is not open: what is damaged is set aside
 * for good, and while one cannot be read (which may pass) its disk does not open; one that has
 * expired is set aside as well, it would go at this start anyway.
 */
#include "replication/snapshots.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "volume/volume.h"

enum { SNAPSHOTS_MAGIC = 0x736e6170, READ_BLOCKS = 256 };

struct snapshot {
    struct list node; /* of its disk, or of `dying` */
    struct layer *layer;
    unsigned users;
    bool is_dying;
};

struct snapshot_disk {
    struct list node;
    struct snapshots *snapshots;
    char id[40];
    struct volume *volume; /* NULL: not attached */
    struct list all;       /* struct snapshot, oldest first */
    unsigned count;
    unsigned reading_count;
    struct err refusal; /* N5: code 0: none */
};

struct snapshots {
    uint32_t magic;
    struct loop *loop;
    char folder[PATH_MAX];
    struct list disks;
    struct list dying;
    struct list requests;  /* volume_request: done, to be told from the task */
    struct list preserves; /* preserve_op: likewise, all is kept */
    struct loop_task task;
    struct list lost;   /* to be told */
    struct err refusal; /* N5, of a layer whose disk is not known */
    void (*changed_cb)(void *arg, const char *disk);
    void *arg;
};

struct lost {
    struct list node;
    char id[40], why[400];
};

struct preserving { /* in preserve_op.private */
    struct layer_op op;
    struct snapshot_disk *disk;
    struct snapshot *snapshot;
    uint64_t block, count;
    const uint8_t *bytes;
};

struct reading {
    struct snapshots *snapshots;
    struct snapshot_disk *disk;
    struct snapshot *snapshot;
    struct volume *volume;
    struct volume_request *request;
    struct layer_op layer_op;
    struct base_read base_read;
    uint64_t block, run;
    uint8_t bytes[READ_BLOCKS * BLOCK_SIZE];
};

/* --- the lists ------------------------------------------------------------------------------- */

static struct snapshot_disk *find_disk(const struct snapshots *snapshots, const char *id)
{
    check_magic(snapshots, SNAPSHOTS_MAGIC);
    for (struct list *node = snapshots->disks.next; node != &snapshots->disks; node = node->next) {
        struct snapshot_disk *disk = list_entry(node, struct snapshot_disk, node);

        if (strcmp(disk->id, id) == 0)
            return disk;
    }
    return NULL;
}

static struct snapshot_disk *need_disk(struct snapshots *snapshots, const char *id)
{
    struct snapshot_disk *disk = find_disk(snapshots, id);

    if (disk != NULL || strlen(id) >= sizeof(disk->id))
        return disk;
    disk = calloc(1, sizeof(*disk));
    if (disk == NULL)
        return NULL;
    disk->snapshots = snapshots;
    strcpy(disk->id, id);
    list_init(&disk->all);
    list_append(&snapshots->disks, &disk->node);
    return disk;
}

static struct snapshot *find_snapshot(const struct snapshots *snapshots, const char *id,
                                      struct snapshot_disk **ret_disk)
{
    for (struct list *at = snapshots->disks.next; at != &snapshots->disks; at = at->next) {
        struct snapshot_disk *disk = list_entry(at, struct snapshot_disk, node);

        for (struct list *node = disk->all.next; node != &disk->all; node = node->next) {
            struct snapshot *snapshot = list_entry(node, struct snapshot, node);

            *ret_disk = disk;
            if (strcmp(layer_describe(snapshot->layer)->id, id) == 0)
                return snapshot;
        }
    }
    return NULL;
}

/* Takes over the layer, in any case. */
static int add(struct snapshots *snapshots, struct layer *layer)
{
    struct snapshot_disk *disk = need_disk(snapshots, layer_describe(layer)->disk);
    struct snapshot *snapshot = calloc(1, sizeof(*snapshot));

    if (disk == NULL || snapshot == NULL) {
        free(snapshot);
        layer_close(layer);
        return -ENOMEM;
    }
    snapshot->layer = layer;
    list_append(&disk->all, &snapshot->node);
    disk->count++;
    return 0;
}

/* N3 */
static int bury(struct snapshot *snapshot, struct err *err)
{
    int error;

    if (!snapshot->is_dying || snapshot->users > 0)
        return 0;
    list_remove(&snapshot->node);
    error = layer_remove(snapshot->layer, err);
    free(snapshot);
    return error;
}

static int drop(struct snapshot_disk *disk, struct snapshot *snapshot, struct err *err)
{
    struct snapshots *snapshots = disk->snapshots;
    int error;

    check(!snapshot->is_dying && disk->count > 0);
    list_remove(&snapshot->node);
    disk->count--;
    snapshot->is_dying = true;
    list_append(&snapshots->dying, &snapshot->node);
    error = bury(snapshot, err);
    snapshots->changed_cb(snapshots->arg, disk->id);
    return error;
}

static void unuse(struct snapshot *snapshot)
{
    struct err err = {0};

    check(snapshot->users > 0);
    snapshot->users--;
    if (bury(snapshot, &err) != 0)
        log_warning("snapshots", "%s", err.text);
}

static void run_task(struct loop_task *task)
{
    struct snapshots *snapshots = container_of(task, struct snapshots, task);
    struct list requests, preserves, *node;

    check_magic(snapshots, SNAPSHOTS_MAGIC);
    list_init(&requests);
    list_init(&preserves);
    while ((node = list_pop(&snapshots->requests)) != NULL)
        list_append(&requests, node);
    while ((node = list_pop(&snapshots->preserves)) != NULL)
        list_append(&preserves, node);
    while ((node = list_pop(&requests)) != NULL) {
        struct volume_request *request = list_entry(node, struct volume_request, node);
        request->done_cb(request, (int)(int64_t)request->private[0]);
    }
    while ((node = list_pop(&preserves)) != NULL) {
        struct preserve_op *op = list_entry(node, struct preserve_op, node);
        op->done_cb(op, 0);
    }
}

/* --- preserving ------------------------------------------------------------------------------ */

/* How many of these blocks lie in the layer: the disk may have grown since. */
static uint64_t count_inside(const struct snapshot *snapshot, uint64_t block, uint64_t count)
{
    uint64_t size = layer_describe(snapshot->layer)->size_bytes / BLOCK_SIZE;

    if (block >= size)
        return 0;
    return count < size - block ? count : size - block;
}

static bool lacks(const struct snapshot *snapshot, uint64_t block, uint64_t count)
{
    uint64_t same;

    count = count_inside(snapshot, block, count);
    if (count == 0)
        return false;

    /* What a fenced layer says it kept may not be durable: nothing may be overwritten under it. */
    return layer_fence(snapshot->layer) != 0 ||
           !layer_lookup(snapshot->layer, block, count, &same) || same < count;
}

static struct snapshot *find_lacking(const struct snapshot_disk *disk, uint64_t block,
                                     uint64_t count)
{
    for (struct list *node = disk->all.next; node != &disk->all; node = node->next) {
        struct snapshot *snapshot = list_entry(node, struct snapshot, node);

        if (lacks(snapshot, block, count))
            return snapshot;
    }
    return NULL;
}

static bool preserve_needs(void *arg, uint64_t block, uint64_t count)
{
    const struct snapshot_disk *disk = arg;

    return find_lacking(disk, block, count) != NULL;
}

/* Beyond its cap a layer is dropped, and that is said. */
static bool is_over_cap(const struct snapshot *snapshot, uint64_t count)
{
    const struct layer_description *description = layer_describe(snapshot->layer);

    return description->bytes_max > 0 &&
           layer_kept_bytes(snapshot->layer) + count * BLOCK_SIZE > description->bytes_max;
}

static void drop_over_cap(struct snapshot_disk *disk, struct snapshot *snapshot)
{
    const struct layer_description *description = layer_describe(snapshot->layer);
    struct err err = {0};

    log_warning("snapshots", "%s of disk %s (%s) is dropped: it would keep more than %llu bytes",
                description->id, description->disk, description->reason,
                (unsigned long long)description->bytes_max);
    if (drop(disk, snapshot, &err) != 0)
        log_warning("snapshots", "%s", err.text);
}

static void preserve_next(struct preserve_op *op);

static void preserve_kept(struct layer_op *layer_op, int error)
{
    struct preserving *state = container_of(layer_op, struct preserving, op);
    struct preserve_op *op = container_of((void *)state, struct preserve_op, private);
    bool is_dying = state->snapshot->is_dying;

    unuse(state->snapshot);
    if (error != 0 && !is_dying)
        op->done_cb(op, error);
    else
        preserve_next(op);
}

/* N1 */
static void preserve_next(struct preserve_op *op)
{
    struct preserving *state = (struct preserving *)(void *)op->private;
    struct snapshot_disk *disk = state->disk;
    struct snapshot *snapshot;

    while ((snapshot = find_lacking(disk, state->block, state->count)) != NULL &&
           is_over_cap(snapshot, count_inside(snapshot, state->block, state->count)))
        drop_over_cap(disk, snapshot);
    if (snapshot == NULL) {
        list_append(&disk->snapshots->preserves, &op->node);
        loop_defer(disk->snapshots->loop, &disk->snapshots->task);
        return;
    }
    state->snapshot = snapshot;
    snapshot->users++;
    layer_keep(snapshot->layer, &state->op, state->block,
               count_inside(snapshot, state->block, state->count), state->bytes, preserve_kept);
}

static void preserve(void *arg, struct preserve_op *op, uint64_t block, uint64_t count,
                     const uint8_t *bytes, void (*done_cb)(struct preserve_op *op, int error))
{
    struct preserving *state = (struct preserving *)(void *)op->private;

    _Static_assert(sizeof(*state) <= sizeof(op->private), "fits");
    op->done_cb = done_cb;
    state->disk = arg;
    state->block = block;
    state->count = count;
    state->bytes = bytes;
    preserve_next(op);
}

/* --- reading --------------------------------------------------------------------------------- */

static void end_later(struct snapshots *snapshots, struct volume_request *request, int error)
{
    request->private[0] = (uint64_t)(int64_t)error;
    list_append(&snapshots->requests, &request->node);
    loop_defer(snapshots->loop, &snapshots->task);
}

static void end_reading(struct reading *reading, int error)
{
    struct volume_request *request = reading->request;
    struct snapshots *snapshots = reading->snapshots;

    unuse(reading->snapshot);
    check(reading->disk->reading_count > 0);
    reading->disk->reading_count--;
    free(reading);
    end_later(snapshots, request, error);
}

static void read_next(struct reading *reading);

static void take_run(struct reading *reading, int error)
{
    const struct volume_request *request = reading->request;
    uint64_t from = reading->block * BLOCK_SIZE, to = from + reading->run * BLOCK_SIZE, skip = 0;

    if (error == -ECANCELED) { /* N2: it went into the layer */
        read_next(reading);
        return;
    }
    if (error != 0) {
        end_reading(reading, error);
        return;
    }
    if (from < request->offset)
        skip = request->offset - from;
    if (to > request->offset + request->length)
        to = request->offset + request->length;
    request_copy_out(request, from + skip - request->offset, reading->bytes + skip,
                     to - from - skip);
    reading->block += reading->run;
    read_next(reading);
}

static void layer_done(struct layer_op *op, int error)
{
    take_run(container_of(op, struct reading, layer_op), error);
}

static void base_done(struct base_read *read, int error)
{
    take_run(container_of(read, struct reading, base_read), error);
}

static bool is_still_lacking(struct base_read *read)
{
    const struct reading *reading = container_of(read, struct reading, base_read);
    uint64_t same;

    return !layer_lookup(reading->snapshot->layer, reading->block, reading->run, &same) &&
           same == reading->run;
}

static void read_next(struct reading *reading)
{
    const struct volume_request *request = reading->request;
    uint64_t end = (request->offset + request->length + BLOCK_SIZE - 1) / BLOCK_SIZE, count;

    if (reading->block >= end) {
        end_reading(reading, 0);
        return;
    }
    count = end - reading->block < READ_BLOCKS ? end - reading->block : READ_BLOCKS;
    if (layer_lookup(reading->snapshot->layer, reading->block, count, &reading->run)) {
        layer_read(reading->snapshot->layer, &reading->layer_op, reading->block, reading->run,
                   reading->bytes, layer_done);
        return;
    }
    reading->base_read.locked_cb = is_still_lacking;
    volume_base_read(reading->volume, &reading->base_read, reading->block, reading->run,
                     reading->bytes, base_done);
}

static int begin_reading(struct snapshots *snapshots, const char *id,
                         struct volume_request *request)
{
    struct snapshot_disk *disk = NULL;
    struct snapshot *snapshot = find_snapshot(snapshots, id, &disk);
    struct reading *reading;
    uint64_t size;

    if (snapshot == NULL)
        return -ENOENT;
    size = layer_describe(snapshot->layer)->size_bytes;
    if (request->op != VOLUME_READ)
        return request->op == VOLUME_FLUSH ? 0 : -EPERM;
    if (request->offset > size || request->length > size - request->offset)
        return -EINVAL;
    if (disk->volume == NULL)
        return -ENODEV;
    if (request->length == 0)
        return 0;
    reading = malloc(sizeof(*reading));
    if (reading == NULL)
        return -ENOMEM;
    reading->snapshots = snapshots;
    reading->disk = disk;
    reading->snapshot = snapshot;
    reading->volume = disk->volume;
    reading->request = request;
    reading->block = request->offset / BLOCK_SIZE;
    snapshot->users++;
    disk->reading_count++;
    read_next(reading);
    return -EINPROGRESS;
}

void snapshots_submit(struct snapshots *snapshots, const char *id, struct volume_request *request)
{
    int error = begin_reading(snapshots, id, request);

    if (error != -EINPROGRESS)
        end_later(snapshots, request, error);
}

/* --- making, removing ------------------------------------------------------------------------ */

int snapshots_attach(struct snapshots *snapshots, const char *id, struct volume *volume,
                     struct err *err)
{
    static const struct preserve_ops ops = {.needs = preserve_needs, .preserve = preserve};
    struct snapshot_disk *disk = need_disk(snapshots, id);

    if (disk == NULL)
        return err_set(err, -ENOMEM, "no memory");
    check(disk->volume == NULL);
    if (disk->refusal.code != 0)
        return err_set(err, disk->refusal.code, "%s", disk->refusal.text);
    for (struct list *node = disk->all.next; node != &disk->all; node = node->next) {
        const struct layer_description *description =
            layer_describe(list_entry(node, struct snapshot, node)->layer);

        /* The disk had grown, and its owner does not know it yet. */
        if (description->size_bytes > volume_size_bytes(volume) &&
            volume_adopt(volume, description->size_bytes, err) != 0)
            return err_wrap(err, "snapshot %s is of a disk of %llu bytes, %s has %llu",
                            description->id, (unsigned long long)description->size_bytes, id,
                            (unsigned long long)volume_size_bytes(volume));
    }
    disk->volume = volume;
    volume_set_preserve(volume, &ops, disk);
    return 0;
}

void snapshots_detach(struct snapshots *snapshots, const char *id)
{
    struct snapshot_disk *disk = find_disk(snapshots, id);

    if (disk == NULL || disk->volume == NULL)
        return;
    volume_set_preserve(disk->volume, NULL, NULL);
    disk->volume = NULL;
}

int snapshots_make(struct snapshots *snapshots, const struct layer_description *description,
                   struct err *err)
{
    struct layer *layer;
    int error;

    check_magic(snapshots, SNAPSHOTS_MAGIC);
    error = layer_create(snapshots->loop, snapshots->folder, description, &layer, err);
    if (error != 0)
        return error;
    error = add(snapshots, layer);
    if (error != 0)
        return err_set(err, error, "no memory");
    snapshots->changed_cb(snapshots->arg, description->disk);
    return 0;
}

int snapshots_remove(struct snapshots *snapshots, const char *id, struct err *err)
{
    struct snapshot_disk *disk = NULL;
    struct snapshot *snapshot = find_snapshot(snapshots, id, &disk);

    if (snapshot == NULL)
        return err_set(err, -ENOENT, "there is no snapshot %s", id);
    return drop(disk, snapshot, err);
}

static bool has_expired(const struct layer_description *description, uint64_t wall_ns)
{
    return description->expires_wall_ns != 0 && description->expires_wall_ns <= wall_ns;
}

static struct snapshot *find_expired(const struct snapshots *snapshots, uint64_t wall_ns,
                                     struct snapshot_disk **ret_disk)
{
    for (struct list *at = snapshots->disks.next; at != &snapshots->disks; at = at->next) {
        struct snapshot_disk *disk = list_entry(at, struct snapshot_disk, node);

        for (struct list *node = disk->all.next; node != &disk->all; node = node->next) {
            struct snapshot *snapshot = list_entry(node, struct snapshot, node);

            *ret_disk = disk;
            if (has_expired(layer_describe(snapshot->layer), wall_ns))
                return snapshot;
        }
    }
    return NULL;
}

void snapshots_expire(struct snapshots *snapshots, uint64_t wall_ns)
{
    struct snapshot_disk *disk;
    struct snapshot *snapshot;

    while ((snapshot = find_expired(snapshots, wall_ns, &disk)) != NULL) {
        struct err err = {0};

        log_notice("snapshots", "%s of disk %s has expired and is removed",
                   layer_describe(snapshot->layer)->id, disk->id);
        if (drop(disk, snapshot, &err) != 0)
            log_warning("snapshots", "%s", err.text);
    }
}

bool snapshots_is_read(const struct snapshots *snapshots, const char *id)
{
    const struct snapshot_disk *disk = find_disk(snapshots, id);

    return disk != NULL && disk->reading_count > 0;
}

unsigned snapshots_count(const struct snapshots *snapshots, const char *id)
{
    const struct snapshot_disk *disk = find_disk(snapshots, id);

    return disk != NULL ? disk->count : 0;
}

const struct layer *snapshots_at(const struct snapshots *snapshots, const char *id, unsigned index)
{
    const struct snapshot_disk *disk = find_disk(snapshots, id);

    if (disk == NULL)
        return NULL;
    for (struct list *node = disk->all.next; node != &disk->all; node = node->next)
        if (index-- == 0)
            return list_entry(node, struct snapshot, node)->layer;
    return NULL;
}

/* N5. Another try cannot open it. */
static bool is_damage(int error)
{
    return error == -EBADMSG || error == -EUCLEAN || error == -EINVAL || error == -ENOENT;
}

static void refuse(struct snapshots *snapshots, const char *id, const char *disk_id,
                   const struct err *why)
{
    struct snapshot_disk *disk = disk_id != NULL ? need_disk(snapshots, disk_id) : NULL;

    err_fill(
        disk != NULL ? &disk->refusal : &snapshots->refusal, why->code,
        "snapshot %s cannot be opened, and what it shows may not be overwritten; mend that and "
        "start again, or give it up (rename %s/%s.info to %s.lost): %s",
        id, snapshots->folder, id, id, why->text);
}

/* N5. No layer any more; what there is of it stays on disk for a person. */
static int give_up(struct snapshots *snapshots, const char *id, const char *disk, bool is_lost,
                   struct err *err)
{
    struct lost *lost = is_lost ? calloc(1, sizeof(*lost)) : NULL;
    int error;

    if (is_lost)
        log_error("snapshots", "%s is lost, its files stay in %s: %s", id, snapshots->folder,
                  err->text);
    else
        log_warning("snapshots", "%s has expired; it cannot be opened, so its files stay in %s: %s",
                    id, snapshots->folder, err->text);
    if (lost != NULL) { /* else the log alone has it */
        snprintf(lost->id, sizeof(lost->id), "%s", disk != NULL ? disk : id);
        snprintf(lost->why, sizeof(lost->why), "snapshot %s is lost, its files stay: %.300s", id,
                 err->text);
    }
    error = layer_set_aside(snapshots->loop, snapshots->folder, id, err);
    if (lost != NULL && error == 0)
        list_append(&snapshots->lost, &lost->node);
    else
        free(lost);
    return error;
}

static void open_one(void *arg, const char *id)
{
    struct snapshots *snapshots = arg;
    struct layer_description description = {0};
    struct err err = {0};
    struct layer *layer;
    const char *disk = NULL;
    bool is_old;
    int error = layer_read_info(snapshots->loop, snapshots->folder, id, &description, &err);

    if (error == 0) {
        disk = description.disk;
        error = layer_open(snapshots->loop, snapshots->folder, &description, &layer, &err);
    }
    if (error == 0) {
        error = add(snapshots, layer);
        if (error != 0)
            err_fill(&err, error, "no memory");
    }
    is_old = disk != NULL && has_expired(&description, loop_wall_ns(snapshots->loop));
    if (error != 0 && (is_damage(error) || is_old))
        error = give_up(snapshots, id, disk, is_damage(error), &err);
    if (error != 0)
        refuse(snapshots, id, disk, &err);
}

int snapshots_open(struct loop *loop, const char *folder,
                   void (*changed_cb)(void *arg, const char *disk), void *arg,
                   struct snapshots **ret_snapshots, struct err *err)
{
    struct snapshots *snapshots = calloc(1, sizeof(*snapshots));
    int error;

    if (snapshots == NULL)
        return err_set(err, -ENOMEM, "no memory");
    *snapshots = (struct snapshots){
        .magic = SNAPSHOTS_MAGIC, .loop = loop, .changed_cb = changed_cb, .arg = arg};
    list_init(&snapshots->disks);
    list_init(&snapshots->dying);
    list_init(&snapshots->requests);
    list_init(&snapshots->preserves);
    list_init(&snapshots->lost);
    snapshots->task.run_cb = run_task;
    list_init(&snapshots->task.node);
    snprintf(snapshots->folder, sizeof(snapshots->folder), "%s", folder);
    error = io_dir_make(loop, folder);
    if (error == 0)
        error = layer_list(loop, folder, open_one, snapshots);
    if (error != 0)
        err_set(err, error, "%s: cannot open the snapshots: %s", folder, err_name(error));
    else if (snapshots->refusal.code != 0)
        error = err_set(err, snapshots->refusal.code, "%s", snapshots->refusal.text);
    if (error != 0) {
        snapshots_close(snapshots);
        return error;
    }
    *ret_snapshots = snapshots;
    return 0;
}

void snapshots_tell_lost(struct snapshots *snapshots,
                         void (*lost_cb)(void *arg, const char *disk, const char *why), void *arg)
{
    struct list *node;

    while ((node = list_pop(&snapshots->lost)) != NULL) {
        struct lost *lost = list_entry(node, struct lost, node);

        lost_cb(arg, lost->id, lost->why);
        free(lost);
    }
}

void snapshots_close(struct snapshots *snapshots)
{
    struct list *at, *node;

    check_magic(snapshots, SNAPSHOTS_MAGIC);
    check(list_is_empty(&snapshots->dying) && list_is_empty(&snapshots->requests));
    check(list_is_empty(&snapshots->preserves));
    while ((at = list_pop(&snapshots->lost)) != NULL)
        free(list_entry(at, struct lost, node));
    while ((at = list_pop(&snapshots->disks)) != NULL) {
        struct snapshot_disk *disk = list_entry(at, struct snapshot_disk, node);

        while ((node = list_pop(&disk->all)) != NULL) {
            struct snapshot *snapshot = list_entry(node, struct snapshot, node);

            check(snapshot->users == 0);
            layer_close(snapshot->layer);
            free(snapshot);
        }
        free(disk);
    }
    snapshots->magic = 0;
    free(snapshots);
}
