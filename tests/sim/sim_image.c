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
    unsigned part;
};

static void image_free(struct image *image)
{
    struct image **at = &image->node->images;

    while (*at != image)
        at = &(*at)->next;
    *at = image->next;
    for (unsigned i = 0; i < image->universe->span_count; i++)
        sim_kernel_free(image->parts[i].bytes);
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

static void submit_part(void *arg)
{
    struct submission *submission = arg;
    struct image *image = submission->image;
    struct image_part *part = &image->parts[submission->part];
    struct node *node = image->node;

    if (submission->snapshot)
        engine_snapshot_submit(node->engine, submission->snapshot, &part->request);
    else
        volume_submit(engine_disk_volume(node->engine, node_disk_id(part->span->disk)),
                      &part->request);
}

static struct image *image_begin(struct node *node, const struct judge_universe *universe,
                                 int only_disk, const char *snapshot,
                                 void (*done_cb)(struct image *image), void *arg)
{
    struct image *image = sim_kernel_alloc(sizeof(*image));
    unsigned count = 0;

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
    for (unsigned i = 0; i < universe->span_count; i++)
        count += only_disk < 0 || universe->spans[i].disk == (unsigned)only_disk;
    image->pending = count;
    for (unsigned i = 0; i < universe->span_count; i++) {
        struct image_part *part = &image->parts[i];
        struct submission submission = {image, snapshot, i};
        if (only_disk >= 0 && universe->spans[i].disk != (unsigned)only_disk)
            continue;
        part->image = image;
        part->span = &universe->spans[i];
        part->bytes = sim_kernel_alloc(part->span->length);
        part->iov = (struct iovec){part->bytes, part->span->length};
        part->request = (struct volume_request){.op = VOLUME_READ,
                                                .offset = part->span->offset,
                                                .length = part->span->length,
                                                .iov = &part->iov,
                                                .iov_count = 1,
                                                .done_cb = part_done};
        if (!sim_site_call(node->site, submit_part, &submission))
            return NULL; /* died inside; images_drop() ended it */
    }
    return image;
}

struct image *image_read(struct node *node, const struct judge_universe *universe,
                         void (*done_cb)(struct image *image), void *arg)
{
    return image_begin(node, universe, -1, NULL, done_cb, arg);
}

struct image *image_read_snapshot(struct node *node, unsigned disk, const char *id,
                                  void (*done_cb)(struct image *image), void *arg)
{
    return image_begin(node, &node->run->universe, (int)disk, id, done_cb, arg);
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
