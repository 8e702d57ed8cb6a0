/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room for a failover, taken in advance (see the header).
 *
 *   1. Never more than settings.reserve_bytes for the superseded blocks of a stream; what
 *      needs more has none of it (intent bits are small, and always made).
 *   2. A failover does without what could not be made: it makes it itself, as room allows.
 *   3. An intent file of a target says nothing: the failover clears it first (failover.c). One
 *      that is damaged keeps nobody from it.
 */
#include "replication/standby.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "replication/superseded.h"
#include "store/bitfile_format.h"
#include "volume/volume.h"

#define AGAIN_NS (10 * UINT64_C(1000000000))

static const char NO_ROOM[] = "a failover may be refused, there is no room for what it needs: ";

static void tell(struct stream *stream, const char *text)
{
    char trouble[sizeof(stream->trouble)];
    bool is_ours = strncmp(stream->trouble, NO_ROOM, sizeof(NO_ROOM) - 1) == 0;

    snprintf(trouble, sizeof(trouble), "%s%.250s", text[0] != '\0' ? NO_ROOM : "", text);
    if (is_ours || (stream->trouble[0] == '\0' && text[0] != '\0'))
        stream_set_trouble(stream, trouble); /* nothing else is hidden by it */
}

/* Is it there, with room for that many? */
static bool has_intent(struct stream *stream, const char *path, uint64_t regions)
{
    struct io_file *file;
    uint64_t bytes = 0;

    if (io_file_open(stream->loop, path, IO_READ_ONLY, &file, NULL) != 0)
        return false;
    bool has = io_file_size(stream->loop, file, &bytes) == 0 && bytes >= bitfile_bytes(regions);

    io_file_close(stream->loop, file);
    return has;
}

static int make_intent(struct stream *stream, unsigned i, struct err *err)
{
    uint64_t blocks = volume_block_count(stream->volumes[i]);
    uint64_t regions = (blocks + REGION_BLOCKS - 1) / REGION_BLOCKS;
    struct bitfile *file = NULL;
    char path[300];

    snprintf(path, sizeof(path), "%s/intent-%u", stream->folder, i);
    if (has_intent(stream, path, regions))
        return 0;
    int error = bitfile_open_blank(stream->loop, path, "INTN", regions, &file, err);

    if (error == 0)
        bitfile_close(file);
    return error;
}

/* What was kept may be of a time when it was less, or more was given. */
static void keep_none(struct stream *stream, uint64_t bytes)
{
    log_warning("stream",
                "%s: a failover takes up to %llu bytes of the data folder, which are more than "
                "failover-reserve: none are kept for it",
                stream->id, (unsigned long long)bytes);
    superseded_remove_spares(stream->loop, stream->folder, stream->state.disk_count);
}

/* Disk after disk, then what they share. */
static int make_next(struct stream *stream, struct err *err)
{
    uint64_t block_counts[STREAM_DISKS_MAX], bytes;
    unsigned i = stream->standby_next;
    struct superseded_options options = {.folder = stream->folder,
                                         .disk_count = stream->state.disk_count,
                                         .block_counts = block_counts};
    int error = i < options.disk_count ? make_intent(stream, i, err) : 0;

    for (unsigned k = 0; k < options.disk_count; k++)
        block_counts[k] = volume_block_count(stream->volumes[k]);
    bytes = superseded_spare_bytes(&options);
    if (error == 0 && bytes <= stream->settings.reserve_bytes)
        error = superseded_make_spare(stream->loop, &options, i, err);
    else if (error == 0 && i == 0)
        keep_none(stream, bytes);
    return error;
}

static void fired(struct loop_timer *timer)
{
    struct stream *stream = container_of(timer, struct stream, standby_timer);
    struct err err = {0};
    uint64_t wait_ns = 0;

    check_magic(stream, STREAM_MAGIC);
    if (!stream->is_open || stream->is_ending || stream->hold_why != NULL ||
        stream->state.role != STREAM_ROLE_TARGET || stream->target == NULL)
        return; /* who makes it a target begins anew */
    if (make_next(stream, &err) != 0) {
        tell(stream, err.text);
        wait_ns = AGAIN_NS;
    } else if (++stream->standby_next > stream->state.disk_count) {
        tell(stream, "");
        return;
    }
    loop_timer_set(stream->loop, &stream->standby_timer, loop_now_ns(stream->loop) + wait_ns);
}

void standby_begin(struct stream *stream)
{
    stream->standby_next = 0;
    if (stream->state.role != STREAM_ROLE_TARGET || !stream->is_open)
        return;
    if (stream->settings.reserve_bytes == 0) {
        superseded_remove_spares(stream->loop, stream->folder, stream->state.disk_count);
        return;
    }
    stream->standby_timer.fired_cb = fired;
    loop_timer_set(stream->loop, &stream->standby_timer, loop_now_ns(stream->loop));
}

void standby_end(struct stream *stream)
{
    loop_timer_cancel(stream->loop, &stream->standby_timer);
}
