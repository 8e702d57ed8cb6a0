/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk of a stream becomes larger. Sizes are no part of an epoch, and only grow.
 *
 *   both     what was written so far is synced, beside all else
 *   target   store, durable -> state, durable -> the peer hears of it
 *   source   (the peer has said that its disk is as large) hosts are held
 *            -> sets and intent log are wider -> intent bits of the new blocks, durable
 *            -> store, durable; the new blocks are open -> state, durable -> hosts go on
 *
 *   G1  the target's disk is never smaller than the source's while anything is shipped;
 *   G2  all blocks that a disk gets at the source are open: what the target holds there is not
 *       asked;
 *   G3  after a failover the new source may be the larger one. It counts what lies beyond the
 *       loser's end as different, durably, before the loser can follow it;
 *   G4  the peer hears of a size when it is durable.
 *
 * docs/model/growth.py looks at every order of these steps. A kill between two of them leaves a
 * larger file, larger sets, or a larger target: each is no more than unused room, and asked again
 * the call goes through. A disk whose stream's state says more than its owner knows has grown
 * (stream_open()).
 */
#include "replication/growth.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/step.h"
#include "replication/standby.h"
#include "volume/volume.h"

#define AGAIN_NS (10 * UINT64_C(1000000000))

static void sizes_are_durable(struct stream *stream)
{
    for (unsigned i = 0; i < stream->state.disk_count; i++) {
        if (stream->durable_bytes[i] == stream->state.disks[i].size_bytes)
            continue;
        stream->durable_bytes[i] = stream->state.disks[i].size_bytes;
        stream->callbacks.grown_cb(stream->callbacks.arg, stream, stream->state.disks[i].disk);
    }
}

static void finish(struct stream *stream, int error, const char *why)
{
    struct growth *growth = &stream->growth;
    stream_done_fn done_cb = growth->done_cb;

    growth->done_cb = NULL;
    growth->is_running = false;
    stream_changed(stream);
    stream_role_changed(stream); /* the two meet anew, with what is durable now */
    if (done_cb != NULL)
        done_cb(growth->arg, error, why);
}

/* --- the target ------------------------------------------------------------------------------ */

static void target_saved(struct stream *stream, int error)
{
    step_point("growth-target-saved");
    if (error == 0)
        sizes_are_durable(stream);
    else
        stream->growth.is_unsaved = true; /* for good: the file is fenced */
    finish(stream, error, error != 0 ? stream->trouble : "");
    standby_begin(stream);
}

static int grow_target(struct stream *stream, unsigned disk, uint64_t size_bytes, struct err *err)
{
    int error = volume_grow(stream->volumes[disk], size_bytes, err);

    if (error != 0)
        return err_wrap(err, "disk %s", stream->state.disks[disk].disk);
    step_point("growth-target-store");
    stream->state.disks[disk].size_bytes = size_bytes;
    return 0;
}

static void again(struct loop_timer *timer)
{
    struct growth *growth = container_of(timer, struct growth, timer);
    struct stream *stream = container_of(growth, struct stream, growth);

    check_magic(stream, STREAM_MAGIC);
    if (stream->is_open && !stream->is_ending)
        stream_role_changed(stream);
}

static void try_later(struct stream *stream, const struct err *err)
{
    char text[400];

    snprintf(text, sizeof(text),
             "too small for the other site's: %.120s; make room, it is tried "
             "again",
             err->text);
    stream_set_trouble(stream, text);
    stream->growth.timer.fired_cb = again;
    loop_timer_set(stream->loop, &stream->growth.timer, loop_now_ns(stream->loop) + AGAIN_NS);
}

bool growth_follow(struct stream *stream)
{
    bool is_any = false;
    struct err err = {0};

    check(stream->state.role == STREAM_ROLE_TARGET);
    /* By what the source was told of us it ships, or waits: nothing else may keep us from
     * receiving. */
    for (unsigned i = 0; i < stream->state.disk_count; i++) {
        if (stream->hello.disks[i].size_bytes <= stream->durable_bytes[i])
            continue;
        if (stream->growth.is_running || stream->growth.is_unsaved)
            return true; /* the end of the former is looked at anew */
        is_any = true;
        if (grow_target(stream, i, stream->hello.disks[i].size_bytes, &err) == 0)
            continue;
        try_later(stream, &err);
        return true;
    }
    if (is_any) {
        stream->growth.is_running = true;
        stream_save(stream, target_saved);
    }
    return is_any;
}

/* --- the source ------------------------------------------------------------------------------ */

static void source_end(struct stream *stream, int error, const char *why)
{
    stream->growth.is_held = false;
    stream->hold_why = NULL;
    if (error == 0)
        sizes_are_durable(stream);
    stream_release(stream);
    finish(stream, error, why);
    stream_step_end(stream);
}

static void source_saved(struct stream *stream, int error)
{
    step_point("growth-source-saved");
    source_end(stream, error, error != 0 ? stream->trouble : "");
}

static void source_marked(struct stream *stream, int error)
{
    struct growth *growth = &stream->growth;
    struct err err = {0};

    if (error != 0) {
        source_end(stream, error, "intent bits cannot be stored");
        return;
    }
    step_point("growth-source-marked");
    error = tracking_grow(stream->volumes[growth->disk], growth->size_bytes, &err);
    if (error != 0) {
        source_end(stream, error, err.text);
        return;
    }
    step_point("growth-source-store");
    stream->state.disks[growth->disk].size_bytes = growth->size_bytes;
    stream_save(stream, source_saved);
}

static void source_held(struct stream *stream, int error)
{
    struct growth *growth = &stream->growth;
    struct err err = {0};

    check(error == 0 && stream->state.role == STREAM_ROLE_SOURCE && stream->is_tracked);
    error = tracking_widen(stream->volumes[growth->disk], growth->size_bytes, &err);
    if (error != 0)
        source_end(stream, error, err.text);
    else
        stream_save_intents(stream, source_marked);
}

static int check_source(const struct stream *stream, unsigned disk, uint64_t size_bytes,
                        struct err *err)
{
    if (stream->state.is_reprotect_open || stream->reprotect.step != REPROTECT_NONE ||
        !stream->state.is_drained)
        return err_set(err, -EBUSY, "a failover is not over yet: its journal or its reprotect");
    if (stream_old_copy_why(stream) != NULL)
        return err_set(err, -EBUSY, "%s", stream_old_copy_why(stream));
    if (!stream->is_link_up || !stream->has_hello)
        return err_set(err, -EHOSTUNREACH, "the other site is not reachable");
    if (stream->hello.role != STREAM_ROLE_TARGET)
        return err_set(err, -EBUSY, "the other site is not the target");
    /* G1 */
    if (disk >= stream->hello.disk_count || stream->hello.disks[disk].size_bytes < size_bytes)
        return err_set(err, -EAGAIN, "the disk of the other site is not as large yet");
    return 0;
}

static void begin_source(struct stream *stream, unsigned disk, uint64_t size_bytes)
{
    stream->growth.disk = disk;
    stream->growth.size_bytes = size_bytes;
    stream->growth.is_held = true;
    stream->hold_why = "a disk is being made larger";
    stream_step_begin(stream);
    stream_hold(stream, source_held);
}

/* --- both ------------------------------------------------------------------------------------ */

static unsigned find_disk(const struct stream *stream, const char *disk)
{
    unsigned i = 0;

    while (i < stream->state.disk_count && strcmp(stream->state.disks[i].disk, disk) != 0)
        i++;
    return i;
}

/* Whether it may begin, as things stand. */
static int judge(struct stream *stream, unsigned disk, uint64_t size_bytes, struct err *err)
{
    if (!stream->is_open || stream->is_ending || stream->hold_why != NULL ||
        stream->reprotect.is_unsaved || stream->join_cb != NULL)
        return err_set(err, -EBUSY, "the stream is not ready");
    if (stream->state.role != STREAM_ROLE_SOURCE && stream->state.role != STREAM_ROLE_TARGET)
        return err_set(err, -EBUSY, "after a failover it cannot grow before a reprotect");
    return stream->state.role == STREAM_ROLE_SOURCE ? check_source(stream, disk, size_bytes, err)
                                                    : 0;
}

static int begin(struct stream *stream, unsigned disk, uint64_t size_bytes, struct err *err)
{
    bool is_source = stream->state.role == STREAM_ROLE_SOURCE;
    int error = judge(stream, disk, size_bytes, err);

    if (error == 0 && !is_source)
        error = grow_target(stream, disk, size_bytes, err);
    if (error != 0)
        return error;
    if (is_source && size_bytes > stream->state.disks[disk].size_bytes)
        begin_source(stream, disk, size_bytes);
    else
        stream_save(stream, target_saved);
    return 0;
}

static void synced(struct base_write *write, int error)
{
    struct growth *growth = container_of(write, struct growth, sync);
    struct stream *stream = container_of(growth, struct stream, growth);
    struct err err = {0};

    check_magic(stream, STREAM_MAGIC);
    step_point("growth-synced");
    if (error != 0)
        err_set(&err, error, "disk %s: %s", stream->state.disks[growth->disk].disk,
                err_name(error));
    else
        error = begin(stream, growth->disk, growth->size_bytes, &err);
    if (error != 0)
        finish(stream, error, err.text);
    stream_step_end(stream);
}

int growth_begin(struct stream *stream, const char *id, uint64_t size_bytes, stream_done_fn done_cb,
                 void *arg, struct err *err)
{
    unsigned disk = find_disk(stream, id);
    struct growth *growth = &stream->growth;
    int error;

    if (disk == stream->state.disk_count)
        return err_set(err, -ENOENT, "disk %s is not in %s", id, stream->id);
    if (growth->is_running)
        return err_set(err, -EBUSY, "the stream is not ready");
    /* What is there already is asked for again, and is made durable once more. */
    if (size_bytes < stream->state.disks[disk].size_bytes)
        size_bytes = stream->state.disks[disk].size_bytes;
    error = judge(stream, disk, size_bytes, err);
    if (error != 0)
        return error;
    growth->done_cb = done_cb;
    growth->arg = arg;
    growth->disk = disk;
    growth->size_bytes = size_bytes;
    growth->is_running = true;
    /* What hosts wrote may be gigabytes; store_grow() would sync them while nothing else runs. */
    stream_step_begin(stream);
    volume_base_sync(stream->volumes[disk], &growth->sync, synced);
    return 0;
}

bool growth_may_ship(const struct stream *stream)
{
    for (unsigned i = 0; i < stream->state.disk_count; i++)
        if (stream->hello.disks[i].size_bytes < stream->state.disks[i].size_bytes)
            return false;
    return true;
}

int growth_mark_behind(struct stream *stream)
{
    int error = 0;

    for (unsigned i = 0; i < stream->state.disk_count && error == 0; i++) {
        uint64_t size = volume_block_count(stream->volumes[i]);
        uint64_t theirs = stream->hello.disks[i].size_bytes >> BLOCK_SHIFT;

        if (i < stream->hello.disk_count && theirs < size)
            error = tracking_mark(stream->volumes[i], TRACKING_OPEN, theirs, size - theirs);
    }
    return error;
}

int growth_mark_run(struct stream *stream, const struct stream_dirty *dirty, uint64_t block,
                    uint64_t count)
{
    if (dirty->disk >= stream->state.disk_count || dirty->disk >= stream->hello.disk_count)
        return -EPROTO;
    uint64_t ours = volume_block_count(stream->volumes[dirty->disk]);
    uint64_t theirs = stream->hello.disks[dirty->disk].size_bytes >> BLOCK_SHIFT;
    uint64_t end = ours > theirs ? ours : theirs;

    if (block > end || count > end - block)
        return -EPROTO;
    if (block >= ours)
        return 0;
    return tracking_mark(stream->volumes[dirty->disk],
                         dirty->is_suspect ? TRACKING_SUSPECT : TRACKING_OPEN, block,
                         count < ours - block ? count : ours - block);
}
