/* SPDX-License-Identifier: Apache-2.0 */
/* Disks of the pretended data wing that become larger, and who may, in a stream; and that are kept.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "fake_world.h"

static struct fake_stream *find_stream(struct fake_site *site, const char *disk,
                                       unsigned *ret_place)
{
    for (unsigned i = 0; i < FAKE_STREAMS; i++)
        for (unsigned k = 0; site->streams[i].exists && k < site->streams[i].disk_count; k++) {
            *ret_place = k;
            if (strcmp(site->streams[i].disks[k].disk, disk) == 0)
                return &site->streams[i];
        }
    return NULL;
}

void fake_tell_size(struct fake_site *site, const struct fake_disk *disk)
{
    struct data_event event = {.kind = DATA_EVENT_DISK_GROWN, .size_bytes = disk->size};

    snprintf(event.name, sizeof(event.name), "%s", disk->id);
    if (site->is_alive)
        control_event(site->control, &event);
}

/* The target's copy must be as large before. */
static int judge(struct fake_site *site, const struct fake_stream *stream, unsigned place,
                 struct data_request *request)
{
    unsigned other = site == &site->world->sites[0];
    const struct fake_stream *twin = fake_stream_of(site->world, other, stream->id);

    snprintf(request->why, sizeof(request->why), "the stream is in another role");
    if (stream->role == DATA_ROLE_TARGET)
        return 0;
    if (stream->role != DATA_ROLE_SOURCE)
        return -EBUSY;
    if (!site->world->is_link_up || !twin || !twin->is_open)
        return -EHOSTUNREACH;
    return fake_disk_of(site->world, other, twin->disks[place].disk)->size >= request->size_bytes
               ? 0
               : -EAGAIN;
}

int fake_grow(struct fake_site *site, struct fake_disk *disk, struct data_request *request)
{
    unsigned place = 0;
    struct fake_stream *stream = find_stream(site, disk->id, &place);
    int error = 0;

    check(disk->is_open && request->size_bytes >= disk->size);
    if (request->size_bytes > UINT64_C(1) << 40) {
        snprintf(request->why, sizeof(request->why), "%s is full", site->name);
        return -ENOSPC;
    }
    if (stream)
        error = judge(site, stream, place, request);
    if (error < 0)
        return error;
    disk->size = request->size_bytes;
    fake_tell_size(site, disk);
    return 0;
}

int fake_keep(struct fake_site *site, struct fake_disk *disk, struct data_request *request)
{
    unsigned place;

    if (!disk || !disk->is_open)
        return -ENOENT;
    if (find_stream(site, disk->id, &place))
        return -EBUSY;
    check(!disk->is_wanted && request->label[0] && request->reason[0]);
    disk->kept++;
    return 0;
}
