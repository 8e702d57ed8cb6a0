/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: what a site loses in a reprotect stays as a snapshot of each disk (R15): of a stream, at the
 * moment when it becomes the target; of a disk in no stream, when it is asked for (its replication
 * has ended here, and the other site's content will come into it).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/id.h"
#include "replication/engine_parts.h"

static uint64_t draw(void *arg)
{
    return loop_random(arg);
}

/* What it was made for stands in `reason`; NULL: none. */
static const char *find_reason(struct engine *engine, const char *disk, const char *reason)
{
    unsigned count = snapshots_count(engine->snapshots, disk);

    for (unsigned i = 0; i < count; i++) {
        const struct layer_description *other =
            layer_describe(snapshots_at(engine->snapshots, disk, i));

        if (strcmp(other->reason, reason) == 0)
            return other->id;
    }
    return NULL;
}

/* "g3", or "g3-2" when another stream of the disk's past left one of that name. False: this very
 * generation has left one. */
static bool find_label(struct engine *engine, struct layer_description *description,
                       const char *label)
{
    unsigned count = snapshots_count(engine->snapshots, description->disk), number = 1, i;

    snprintf(description->label, sizeof(description->label), "%s", label);
    do {
        for (i = 0; i < count; i++) {
            const struct layer_description *other =
                layer_describe(snapshots_at(engine->snapshots, description->disk, i));

            if (strcmp(other->label, description->label) != 0)
                continue;
            if (strcmp(other->reason, description->reason) == 0)
                return false;
            snprintf(description->label, sizeof(description->label), "%.40s-%u", label, ++number);
            break;
        }
    } while (i < count);
    return true;
}

int keeping_make(struct engine *engine, const char *disk, const char *label, const char *reason,
                 bool replaces, struct err *err)
{
    const struct engine_settings *settings = &engine->settings;
    uint64_t now = loop_wall_ns(engine->loop);
    struct layer_description description = {
        .size_bytes = volume_size_bytes(engine_find_disk(engine, disk)->volume),
        .created_wall_ns = now,
        .expires_wall_ns =
            settings->snapshot_expiry_ns > 0 ? now + settings->snapshot_expiry_ns : 0,
        .bytes_max = settings->snapshot_bytes_max,
    };
    const char *older = replaces ? find_reason(engine, disk, reason) : NULL;
    char id[sizeof(description.id)];

    snprintf(description.disk, sizeof(description.disk), "%s", disk);
    snprintf(description.reason, sizeof(description.reason), "%s", reason);
    if (older) {
        snprintf(id, sizeof(id), "%s", older);
        int error = snapshots_remove(engine->snapshots, id, err);

        if (error != 0)
            return error;
    }
    if (!find_label(engine, &description, label))
        return 0; /* made before a crash */
    id_make("l", 16, draw, engine->loop, description.id);
    return snapshots_make(engine->snapshots, &description, err);
}

/* --- a disk in no stream --------------------------------------------------------------------- */

struct keep {
    struct base_write write;
    struct engine *engine;
    char disk[40], label[64], reason[64];
    engine_done_fn done_cb;
    void *arg;
};

/* What is shown stays, also after a power loss: nothing else remembers what was not flushed. */
static void synced(struct base_write *write, int error)
{
    struct keep *keep = container_of(write, struct keep, write);
    struct err err = {0};

    if (error != 0)
        err_set(&err, error, "disk %s cannot be synced: %s", keep->disk, err_name(error));
    else
        error = keeping_make(keep->engine, keep->disk, keep->label, keep->reason, true, &err);
    keep->done_cb(keep->arg, error, err.text);
    free(keep);
}

void engine_disk_keep(struct engine *engine, const char *id, const char *label, const char *reason,
                      engine_done_fn done_cb, void *arg)
{
    struct site_disk *disk = engine_find_disk(engine, id);
    struct keep *keep = calloc(1, sizeof(*keep));

    check_magic(engine, ENGINE_MAGIC);
    if (!keep || !disk || disk->stream) {
        free(keep);
        done_cb(arg,
                !disk          ? -ENOENT
                : disk->stream ? -EBUSY
                               : -ENOMEM,
                !disk          ? "the disk is not open"
                : disk->stream ? "the disk is in a stream"
                               : "no memory");
        return;
    }
    keep->engine = engine;
    keep->done_cb = done_cb;
    keep->arg = arg;
    snprintf(keep->disk, sizeof(keep->disk), "%s", id);
    snprintf(keep->label, sizeof(keep->label), "%s", label);
    snprintf(keep->reason, sizeof(keep->reason), "%s", reason);
    volume_base_sync(disk->volume, &keep->write, synced);
}
