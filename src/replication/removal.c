/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a stream for good.
 *
 *   1. What the journal holds comes into the disks, or the order says that it is given up. Nobody
 *      gets disks that silently hold something older than what was shown.
 *   2. The folder goes by one renaming; what is left under the other name means nothing, and goes
 *      now or at the next start.
 */
#include "replication/removal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "replication/stream_life.h"

#define ENDING ".removed"

struct removal {
    struct engine *engine;
    struct stream *stream;
    engine_done_fn done_cb;
    void *arg;
};

static int remove_folder(struct engine *engine, const char *folder)
{
    char gone[PATH_MAX], parent[PATH_MAX];
    int error;

    check(snprintf(gone, sizeof(gone), "%s" ENDING, folder) < (int)sizeof(gone));
    check(snprintf(parent, sizeof(parent), "%s/streams", engine->folder) < (int)sizeof(parent));
    error = stream_remove_files(engine->loop, gone);
    if (error == 0)
        error = io_rename(engine->loop, folder, gone);
    if (error == 0)
        error = io_dir_sync(engine->loop, parent);
    return error == 0 ? stream_remove_files(engine->loop, gone) : error;
}

static void release_disks(struct engine *engine, const struct stream *stream)
{
    struct list *node, *next;

    list_for_each(node, next, &engine->disks)
    {
        struct site_disk *disk = list_entry(node, struct site_disk, node);

        if (disk->stream != stream)
            continue;
        disk->stream = NULL;
        engine_judge_disk(engine, disk);
    }
}

static void ended(void *arg, int end_error, const char *why)
{
    struct removal removal = *(struct removal *)arg;
    struct engine *engine = removal.engine;
    char folder[PATH_MAX];

    check_magic(engine, ENGINE_MAGIC);
    (void)why;
    free(arg);
    if (end_error == -ECANCELED) {
        removal.done_cb(removal.arg, -ECANCELED, "the daemon stops");
        engine_stop_goes_on(engine);
        return; /* freed with the engine */
    }
    snprintf(folder, sizeof(folder), "%s", removal.stream->folder);
    list_remove(&removal.stream->node);
    release_disks(engine, removal.stream);
    link_part(removal.stream->link, removal.stream->id);
    stream_free(removal.stream);
    int error = remove_folder(engine, folder);

    removal.done_cb(removal.arg, error, error != 0 ? err_name(error) : "");
    if (engine->is_ending_streams)
        engine_stop_goes_on(engine);
}

static int refuse(struct err *err, const char *id, const char *why)
{
    return err_set(
        err, -EUCLEAN,
        "the disks of %s lack what its journal holds, and it cannot be brought there "
        "(%s); repair that and restart the daemon, or give it up: forget, --discard-journal",
        id, why);
}

int removal_begin(struct engine *engine, struct stream *stream, bool give_up_journal,
                  engine_done_fn done_cb, void *arg, struct err *err)
{
    struct removal *removal;

    if (stream->is_ending) {
        if (give_up_journal)
            stream_end_hurry(stream, 0);
        return err_set(err, -EBUSY, "stream %s is being removed", stream->id);
    }
    if (!stream->is_open && !give_up_journal && stream_needs_journal(stream))
        return refuse(err, stream->id, stream->trouble);
    removal = malloc(sizeof(*removal));
    if (!removal)
        return err_set(err, -ENOMEM, "remove stream %s: memory is short", stream->id);
    *removal = (struct removal){.engine = engine, .stream = stream, .done_cb = done_cb, .arg = arg};
    stream_end(stream, false, !give_up_journal, ended, removal);
    return 0;
}

static void note_any(void *arg, const char *name)
{
    (void)name;
    *(bool *)arg = true;
}

/* A life that was killed may have renamed it without a sync: a power loss would bring it back when
 * nobody knows of it any more. */
static int none(struct engine *engine, const char *id, struct err *err)
{
    char parent[PATH_MAX];
    int error;

    check(snprintf(parent, sizeof(parent), "%s/streams", engine->folder) < (int)sizeof(parent));
    error = io_dir_sync(engine->loop, parent);
    if (error != 0 && error != -ENOENT)
        return err_set(err, error, "sync folder %s: %s", parent, err_name(error));
    return err_set(err, -ENOENT, "there is no stream %s", id);
}

int removal_of_closed(struct engine *engine, const char *id, bool give_up_journal, struct err *err)
{
    char folder[PATH_MAX], journal[PATH_MAX + 16];
    bool has_files = false, has_journal = false;

    snprintf(folder, sizeof(folder), "%s/streams/%s", engine->folder, id);
    snprintf(journal, sizeof(journal), "%s/journal", folder);
    if (io_dir_list(engine->loop, folder, note_any, &has_files) == -ENOENT)
        return none(engine, id, err);
    int listed = io_dir_list(engine->loop, journal, note_any, &has_journal);

    /* One that cannot be listed is there. */
    if ((has_journal || (listed != 0 && listed != -ENOENT)) && !give_up_journal)
        return refuse(err, id, "it is not open: see the log of the daemon's start");
    int error = remove_folder(engine, folder);

    return error == 0 ? 0 : err_set(err, error, "%s: %s", folder, err_name(error));
}

static void sweep_entry(void *arg, const char *name)
{
    struct engine *engine = arg;
    size_t length = strlen(name), ending = strlen(ENDING);
    char path[PATH_MAX];

    if (length < ending || strcmp(name + length - ending, ENDING) != 0)
        return;
    if (snprintf(path, sizeof(path), "%s/streams/%s", engine->folder, name) < (int)sizeof(path))
        (void)stream_remove_files(engine->loop, path);
}

void removal_sweep(struct engine *engine)
{
    char folder[PATH_MAX];

    check(snprintf(folder, sizeof(folder), "%s/streams", engine->folder) < (int)sizeof(folder));
    (void)io_dir_list(engine->loop, folder, sweep_entry, engine);
}
