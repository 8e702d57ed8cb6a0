/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: a start that cannot open a stream closes all its disks (boot.c). When the relation has ended
 * they are ordinary disks, and nothing keeps hosts from them but that nobody opened them. As at a
 * start nothing of it is recorded: killed within, the next start does it.
 */
#include "control/reopening.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"

struct reopening {
    struct site *site;
    struct disk_record disk;
    struct data_request request;
};

static void attached(struct data_request *request)
{
    struct reopening *reopening = container_of(request, struct reopening, request);

    site_done(reopening->site);
    if (request->error < 0)
        log_error("control", "disk %s is open, and not attached: %s", reopening->disk.id,
                  request->why);
    free(reopening);
}

static void opened(struct data_request *request)
{
    struct reopening *reopening = container_of(request, struct reopening, request);
    struct site *site = reopening->site;
    struct disk_record *disk = &reopening->disk;

    site_done(site);
    site_note_trouble(site, disk->id, request->error < 0 ? request->why : "");
    if (request->error < 0)
        log_error("control", "disk %s cannot be opened: %s", disk->id, request->why);
    /* It may have been detached meanwhile. What cannot be read now, the next start attaches. */
    if (request->error < 0 || site->is_stopping ||
        meta_get(site->meta, RECORD_DISK, disk->id, disk) < 0 || disk->status != DISK_IN_USE) {
        free(reopening);
        return;
    }
    reopening->request = (struct data_request){.op = DATA_DISK_ATTACH, .disk = disk->id};
    site_submit(site, &reopening->request, attached);
}

static void open_one(struct site *site, const char *id)
{
    struct reopening *reopening;
    struct disk_record disk;

    if (site_disk(site, id) || meta_get(site->meta, RECORD_DISK, id, &disk) < 0 ||
        (disk.status != DISK_IN_USE && disk.status != DISK_AVAILABLE))
        return;
    reopening = calloc(1, sizeof(*reopening));
    check(reopening);
    reopening->site = site;
    reopening->disk = disk;
    reopening->request = (struct data_request){.op = DATA_DISK_OPEN,
                                               .disk = reopening->disk.id,
                                               .driver = reopening->disk.driver,
                                               .path = reopening->disk.path,
                                               .size_bytes = (uint64_t)disk.size_bytes};
    site_submit(site, &reopening->request, opened);
}

void reopening_begin(struct site *site, const char *disks)
{
    if (site->is_stopping || !site->snapshot)
        return;
    for (const char *at = disks, *end; (end = strchr(at, ' ')); at = end + 1) {
        char id[RECORD_ID_SIZE] = "";

        check((size_t)(end - at) < sizeof(id));
        memcpy(id, at, (size_t)(end - at));
        open_one(site, id);
    }
}
