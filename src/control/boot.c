/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: the data wing forgets everything that is not bytes; the records do not. One step after the
 * other, each a request; the order is: disks, streams, hosts, links. A missing disk keeps nobody
 * else from working but the disks of its own stream: without their stream their writes would be
 * remembered by nobody and their journal would not be shown, so they are closed again and no host
 * reaches them. For the same reason records that cannot be read are waited for.
 */
#include "control/boot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "control/audit.h"
#include "control/opening.h"
#include "control/roster_record.h"
#include "control/tag.h"

enum boot_phase { BOOT_DISKS, BOOT_GROUPS, BOOT_PAIRS, BOOT_HOSTS, BOOT_LINKS, BOOT_DONE };

struct boot {
    struct site *site;
    enum boot_phase phase;
    bool has_callers; /* users and keys were read */
    void *record;     /* of the phase: the one that is worked on */
    uint64_t position;
    const char *closing; /* disks of a stream that did not open, each followed by a space */
    char disk[RECORD_ID_SIZE];
    struct data_request request;
    struct loop_timer timer; /* a record could not be read */
    bool is_told;            /* which the log has */
    void (*done_cb)(void *arg);
    void *arg;
};

static void boot_next(struct boot *boot);

static struct disk_record *boot_disk(struct boot *boot)
{
    check(boot->record);
    return boot->record;
}

static void put_disk(struct site *site, const struct disk_record *disk, bool is_gone)
{
    struct change change;

    change_begin(&change, site);
    if (disk->status == DISK_AVAILABLE)
        change_remove(&change, RECORD_ATTACHMENT, disk->id);
    if (is_gone) {
        change_remove(&change, RECORD_DISK, disk->id);
        tag_forget(&change, disk->id);
    } else {
        change_put(&change, RECORD_DISK, disk);
    }
    change_commit(&change);
}

/* --- disks ----------------------------------------------------------------------------------- */

/* Its creation was cut off before anybody was answered; who asks again gets another disk. */
static void cut_off_removed(struct data_request *request)
{
    struct boot *boot = container_of(request, struct boot, request);

    site_done(boot->site);
    if (request->error < 0 && request->error != -ENOENT)
        log_error("control", "disk %s, never made, stays: %s", boot_disk(boot)->id, request->why);
    else
        put_disk(boot->site, boot_disk(boot), true);
    boot_next(boot);
}

static void disk_opened(struct data_request *request)
{
    struct boot *boot = container_of(request, struct boot, request);
    struct disk_record *disk = boot_disk(boot);

    site_done(boot->site);
    if (request->error == -EEXIST && request->create) {
        request->create = false; /* made before the crash */
        site_submit(boot->site, request, disk_opened);
        return;
    }
    if (request->error < 0 && disk->status != DISK_DELETING) {
        log_error("control", "disk %s cannot be opened and is left out: %s", disk->id,
                  request->why);
        site_note_trouble(boot->site, disk->id, request->why);
        audit_event(boot->site, "left_out", EVENT_CRITICAL, disk->id, "it cannot be opened: %s",
                    request->why);
    } else if (request->error == 0 && disk->status == DISK_CREATING) {
        boot->request =
            (struct data_request){.op = DATA_DISK_CLOSE, .disk = disk->id, .remove = true};
        site_submit(boot->site, &boot->request, cut_off_removed);
        return;
    }
    boot_next(boot);
}

static void open_disk(struct boot *boot)
{
    const struct disk_record *disk = boot_disk(boot);

    boot->request = (struct data_request){.op = DATA_DISK_OPEN,
                                          .disk = disk->id,
                                          .driver = disk->driver,
                                          .path = disk->path,
                                          .size_bytes = (uint64_t)disk->size_bytes,
                                          .create = disk->status == DISK_CREATING};
    site_submit(boot->site, &boot->request, disk_opened);
}

/* --- streams --------------------------------------------------------------------------------- */

/* A pair and a group begin with it. */
static const struct replica_record *boot_relation(const struct boot *boot)
{
    check(boot->record);
    return boot->record;
}

static void close_next(struct boot *boot);

static void orphan_closed(struct data_request *request)
{
    struct boot *boot = container_of(request, struct boot, request);

    site_done(boot->site);
    if (request->error < 0 && request->error != -ENOENT)
        log_error("control", "disk %s stays open: %s", boot->disk, request->why);
    close_next(boot);
}

/* For whoever asks why the disk is closed. */
static void note_left_out(struct boot *boot)
{
    char why[400];

    if (site_trouble(boot->site, boot->disk)[0])
        return;
    snprintf(why, sizeof(why),
             "%s, which it belongs to, cannot be opened (see verso status): mend or end that, then "
             "restart the daemon",
             boot_relation(boot)->id);
    site_note_trouble(boot->site, boot->disk, why);
}

static void close_next(struct boot *boot)
{
    size_t length = strcspn(boot->closing, " ");

    if (length == 0 || length >= sizeof(boot->disk)) {
        boot_next(boot);
        return;
    }
    memcpy(boot->disk, boot->closing, length);
    boot->disk[length] = 0;
    boot->closing += length + (boot->closing[length] == ' ' ? 1 : 0);
    note_left_out(boot);
    boot->request = (struct data_request){.op = DATA_DISK_CLOSE, .disk = boot->disk};
    site_submit(boot->site, &boot->request, orphan_closed);
}

static void stream_opened(void *arg, int error, const char *why)
{
    struct boot *boot = arg;

    /* A removal that a crash cut off behind its last step but the record. */
    bool is_gone = error == -ENOENT && boot_relation(boot)->status == REPLICA_DELETING;

    if (error < 0 && !is_gone) {
        log_error("control", "%s cannot be opened; it and its disks are left out: %s",
                  boot_relation(boot)->id, why);
        site_note_trouble(boot->site, boot_relation(boot)->id, why);
        audit_event(boot->site, "left_out", EVENT_CRITICAL, boot_relation(boot)->id,
                    "it cannot be opened, its disks are closed: %s", why);
        boot->closing = boot_relation(boot)->opened_disks;
        close_next(boot);
        return;
    }
    boot_next(boot);
}

/* False: there is nothing to open. */
static bool open_stream(struct boot *boot)
{
    const struct replica_record *record = boot_relation(boot);

    if (record->opened_serial != 0)
        opening_start(boot->site, record->id, false, stream_opened, boot);
    return record->opened_serial != 0;
}

/* --- hosts ----------------------------------------------------------------------------------- */

static void host_done(struct data_request *request)
{
    struct boot *boot = container_of(request, struct boot, request);
    struct disk_record *disk = boot_disk(boot);

    site_done(boot->site);
    if (request->error < 0 && request->error != -ENOENT)
        log_error("control", "disk %s (%s): %s", disk->id, disk_state_name(disk->status),
                  request->why);
    else if (disk->status == DISK_DETACHING) {
        disk->status = DISK_AVAILABLE;
        put_disk(boot->site, disk, false);
    } else if (disk->status == DISK_DELETING) {
        put_disk(boot->site, disk, true);
    }
    boot_next(boot);
}

/* A target's copy whose stream is gone until the next start: nothing but us keeps hosts from it. */
static bool is_lone_copy(struct boot *boot, const char *disk)
{
    struct pair_record pair;
    struct relation relation;

    return relation_find_by_disk(boot->site, disk, &pair) == 0 && pair.is_seeded &&
           relation_load(boot->site, pair.common.id, &relation) == 0 &&
           !relation_is_source(boot->site, &relation) &&
           !relation_is_actor(boot->site, &relation) && /* failed over here */
           relation_ruler(&relation)->opened_serial == 0;
}

/* False: there is nothing to do. */
static bool settle_host(struct boot *boot)
{
    const struct disk_record *disk = boot_disk(boot);

    boot->request = (struct data_request){.disk = disk->id};
    switch (disk->status) {
    case DISK_ATTACHING:
    case DISK_IN_USE:
        if (is_lone_copy(boot, disk->id)) {
            log_warning("control", "disk %s is attached, and a secondary disk: detach it",
                        disk->id);
            return false;
        }
        boot->request.op = DATA_DISK_ATTACH;
        break;
    case DISK_DETACHING:
        boot->request.op = DATA_DISK_DETACH;
        break;
    case DISK_DELETING:
        boot->request.op = DATA_DISK_CLOSE;
        boot->request.remove = !disk->path[0];
        break;
    default:
        return false;
    }
    site_submit(boot->site, &boot->request, host_done);
    return true;
}

/* --- the sequence ---------------------------------------------------------------------------- */

static void links_started(struct data_request *request)
{
    struct boot *boot = container_of(request, struct boot, request);

    site_done(boot->site);
    if (request->error < 0) {
        log_error("control",
                  "no peer can connect to this site: %s; make the address free, or mend it, and "
                  "restart the daemon",
                  request->why);
        for (unsigned i = 0; i < boot->site->peer_count; i++)
            snprintf(boot->site->peers[i].why, sizeof(boot->site->peers[i].why), "%.190s",
                     request->why);
    }
    boot->phase = BOOT_DONE;
    boot_next(boot);
}

static void boot_end(struct boot *boot)
{
    boot->done_cb(boot->arg);
    free(boot->record);
    free(boot);
}

static void read_again(struct loop_timer *timer)
{
    struct boot *boot = container_of(timer, struct boot, timer);

    site_done(boot->site);
    if (boot->site->is_stopping)
        boot_end(boot);
    else
        boot_next(boot);
}

/* As a request is, the waiting is counted: a stop waits for it. */
static void boot_wait(struct boot *boot, int error)
{
    struct site *site = boot->site;

    if (!boot->is_told)
        log_error("control", "the records cannot be read: %s; trying again", err_name(error));
    boot->is_told = true;
    site->pending_count++;
    boot->timer.fired_cb = read_again;
    loop_timer_set(site->loop, &boot->timer, loop_now_ns(site->loop) + site->retry_min_ns);
}

/* Reads the next record of the phase, or of the next phase that has one. */
static int read_next(struct boot *boot)
{
    static const enum record_kind kinds[] = {[BOOT_DISKS] = RECORD_DISK,
                                             [BOOT_GROUPS] = RECORD_GROUP,
                                             [BOOT_PAIRS] = RECORD_PAIR,
                                             [BOOT_HOSTS] = RECORD_DISK};
    int result = 0;

    while (boot->phase < BOOT_LINKS) {
        struct meta_query query = {.kind = kinds[boot->phase]};

        free(boot->record);
        boot->record = malloc(record_type(query.kind)->size);
        check(boot->record);
        result = meta_next(boot->site->meta, &query, &boot->position, boot->record);
        if (result != -ENOENT)
            return result;
        boot->phase++;
        boot->position = 0;
    }
    return 0;
}

/* False: the present record asks for nothing. */
static bool begin_step(struct boot *boot)
{
    switch (boot->phase) {
    case BOOT_DISKS:
        open_disk(boot);
        return true;
    case BOOT_GROUPS:
    case BOOT_PAIRS:
        return open_stream(boot);
    case BOOT_HOSTS:
        return settle_host(boot);
    case BOOT_LINKS:
        boot->request = (struct data_request){.op = DATA_START};
        site_submit(boot->site, &boot->request, links_started);
        return true;
    case BOOT_DONE:
        boot_end(boot);
        return true;
    }
    check(!"every phase has a case");
    return true;
}

static void boot_next(struct boot *boot)
{
    bool has_begun = false;

    while (!has_begun) {
        int result = boot->has_callers ? 0 : roster_record_load(boot->site);

        boot->has_callers = result == 0;
        if (result == 0)
            result = read_next(boot);

        if (result < 0)
            boot_wait(boot, result);
        has_begun = result < 0 || begin_step(boot);
    }
}

void boot_start(struct site *site, void (*done_cb)(void *arg), void *arg)
{
    struct boot *boot = calloc(1, sizeof(*boot));

    check(boot);
    boot->site = site;
    boot->done_cb = done_cb;
    boot->arg = arg;
    boot_next(boot);
}
