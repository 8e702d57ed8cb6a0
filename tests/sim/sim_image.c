/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images: what all watched places of the disks show, read through the engine as a host would. The
 * reads of one image are under way together; its user makes sure that it means one moment.
 */
#include <string.h>

#include "base/check.h"
#include "sim_alloc.h"
#include "sim_run.h"

struct image_part {
    struct volume_request request; /* first */
    struct image *image;
    const struct judge_span *span;
    struct iovec iov;
    uint8_t *bytes;
};

struct submission {
    struct image *image;
    const char *snapshot; /* NULL: the volumes */
};

static void image_free(struct image *image)
{
    struct image **at = &image->node->images;

    while (*at != image)
        at = &(*at)->next;
    *at = image->next;
    for (unsigned i = 0; i < image->universe->span_count; i++)
        if (image->parts[i].bytes)
            sim_block_free(image->parts[i].bytes, image->parts[i].span->length);
    sim_kernel_free(image->parts);
    sim_kernel_free(image->values);
    sim_kernel_free(image);
}

static void image_finish(void *arg)
{
    struct image *image = arg;

    image->done_cb(image);
    image_free(image);
}

static void part_done(struct volume_request *request, int error)
{
    struct image_part *part = container_of(request, struct image_part, request);
    struct image *image = part->image;
    const struct judge_span *span = part->span;

    if (error < 0) {
        image->is_bad = true;
        image->error = error;
    } else if (!judge_values(part->bytes, part->iov.iov_len, span->disk, span->offset,
                             image->values + span->first, image->why)) {
        image->is_bad = true;
    }
    check(image->pending > 0);
    if (--image->pending == 0)
        image_finish(image);
}

static void submit_parts(void *arg)
{
    struct submission *submission = arg;
    struct image *image = submission->image;
    struct engine *engine = image->node->engine;

    for (unsigned i = 0; i < image->universe->span_count; i++) {
        struct image_part *part = &image->parts[i];
        if (!part->bytes)
            continue;
        if (submission->snapshot)
            engine_snapshot_submit(engine, submission->snapshot, &part->request);
        else
            volume_submit(engine_disk_volume(engine, node_disk_id(image->node, part->span->disk)),
                          &part->request);
    }
}

/* What lies behind the end of the disk, or of the snapshot, counts as zeros. */
static void prepare_part(struct image *image, unsigned index, uint64_t disk_bytes)
{
    struct image_part *part = &image->parts[index];
    uint64_t length = image->universe->spans[index].length;

    part->image = image;
    part->span = &image->universe->spans[index];
    if (part->span->offset >= disk_bytes)
        return;
    if (length > disk_bytes - part->span->offset)
        length = disk_bytes - part->span->offset;
    part->bytes = sim_block_alloc(part->span->length);
    part->iov = (struct iovec){part->bytes, length};
    part->request = (struct volume_request){.op = VOLUME_READ,
                                            .offset = part->span->offset,
                                            .length = length,
                                            .iov = &part->iov,
                                            .iov_count = 1,
                                            .done_cb = part_done};
    image->pending++;
}

static struct image *image_new(struct node *node, const struct judge_universe *universe,
                               void (*done_cb)(struct image *image), void *arg)
{
    struct image *image = sim_kernel_alloc(sizeof(*image));

    check(node->engine);
    image->node = node;
    image->universe = universe;
    image->life = sim_site_life(node->site);
    image->done_cb = done_cb;
    image->arg = arg;
    image->values = sim_kernel_alloc(universe->sector_count * sizeof(*image->values));
    image->parts = sim_kernel_alloc(universe->span_count * sizeof(*image->parts));
    image->next = node->images;
    node->images = image;
    return image;
}

void image_read(struct node *node, const struct judge_universe *universe, struct image_note note,
                void (*done_cb)(struct image *image), void *arg)
{
    struct image *image = image_new(node, universe, done_cb, arg);
    struct submission submission = {image, NULL};

    image->note = note;
    for (unsigned i = 0; i < universe->span_count; i++)
        prepare_part(image, i, node_disk_bytes(node, universe->spans[i].disk));
    sim_site_call(node->site, submit_parts, &submission);
}

static uint64_t snapshot_bytes(const struct node *node, unsigned disk, const char *id)
{
    struct engine_snapshot snapshot;

    for (unsigned i = 0; engine_snapshot_at(node->engine, node_disk_id(node, disk), i, &snapshot);
         i++)
        if (strcmp(snapshot.id, id) == 0)
            return snapshot.size_bytes;
    return node->run->universe.disk_bytes[disk]; /* it is gone: the reading says so */
}

void image_read_snapshot(struct node *node, unsigned disk, const char *id,
                         void (*done_cb)(struct image *image), void *arg)
{
    const struct judge_universe *universe = &node->run->universe;
    struct image *image = image_new(node, universe, done_cb, arg);
    struct submission submission = {image, id};

    for (unsigned i = 0; i < universe->span_count; i++) {
        if (universe->spans[i].disk == disk)
            prepare_part(image, i, snapshot_bytes(node, disk, id));
    }
    sim_site_call(node->site, submit_parts, &submission);
}

void images_drop(struct node *node)
{
    while (node->images) {
        struct image *image = node->images;
        image->is_bad = image->is_dropped = true;
        image->error = -1;
        image_finish(image);
    }
}
