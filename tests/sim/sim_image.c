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
    } else if (!judge_values(part->bytes, span->length, span->disk, span->offset,
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

static void prepare_part(struct image *image, unsigned index)
{
    struct image_part *part = &image->parts[index];

    part->image = image;
    part->span = &image->universe->spans[index];
    part->bytes = sim_block_alloc(part->span->length);
    part->iov = (struct iovec){part->bytes, part->span->length};
    part->request = (struct volume_request){.op = VOLUME_READ,
                                            .offset = part->span->offset,
                                            .length = part->span->length,
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
        prepare_part(image, i);
    sim_site_call(node->site, submit_parts, &submission);
}

void image_read_snapshot(struct node *node, unsigned disk, const char *id,
                         void (*done_cb)(struct image *image), void *arg)
{
    const struct judge_universe *universe = &node->run->universe;
    struct image *image = image_new(node, universe, done_cb, arg);
    struct submission submission = {image, id};

    for (unsigned i = 0; i < universe->span_count; i++) {
        if (universe->spans[i].disk == disk)
            prepare_part(image, i);
    }
    sim_site_call(node->site, submit_parts, &submission);
}

void images_drop(struct node *node)
{
    while (node->images) {
        struct image *image = node->images;
        image->is_bad = true;
        image->error = -1;
        image_finish(image);
    }
}
