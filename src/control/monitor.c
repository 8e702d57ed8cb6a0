/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: see monitor.h. The data wing counts since a disk was opened; a sample is the difference of
 * two counts, so the first after a start makes none. A slot's place follows from its moment: no
 * index, nothing to recover, and what is older than the ring is overwritten.
 */
#include "control/monitor.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "control/audit.h"
#include "io/file.h"

#define MAGIC "VRSMON01"
#define BEAT_MS_MAX 12500 /* between two counts; more is a gap */

#define PAUSE_NS UINT64_C(5000000)

enum { PIECE = 25 };                                /* files in one turn: calls wait no longer */
enum { HEAD_SIZE = 64, SLOT_SIZE = 64, BODY = 60 }; /* BODY: what the CRC behind it covers */

struct counted {
    char id[RECORD_ID_SIZE];
    bool is_checked; /* its file's head, in this life */
    bool is_due;     /* slot is to be written */
    struct monitor_slot slot;
    uint64_t at_ms; /* loop's clock */
    struct data_disk_status status;
};

struct monitor {
    char folder[PATH_MAX / 2];
    struct counted *disks;   /* of the last sample */
    unsigned count, written; /* of the disks; so many of this sample are done */
    bool is_swept, is_failing, has_failed, has_fewer;
    struct err err;
    struct site *site; /* of the last sample */
    struct loop_timer timer;
};

struct monitor *monitor_new(const char *folder)
{
    struct monitor *monitor = calloc(1, sizeof(*monitor));

    check(monitor);
    snprintf(monitor->folder, sizeof(monitor->folder), "%s", folder);
    return monitor;
}

void monitor_free(struct monitor *monitor)
{
    if (!monitor)
        return;
    if (monitor->site)
        loop_timer_cancel(monitor->site->loop, &monitor->timer);
    free(monitor->disks);
    free(monitor);
}

/* --- the file -------------------------------------------------------------------------------- */

static void path_of(const struct monitor *monitor, const char *disk, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%s.ring", monitor->folder, disk);
}

static void encode_head(uint8_t head[HEAD_SIZE])
{
    struct bytes_writer writer = {.at = head, .left = HEAD_SIZE};

    memset(head, 0, HEAD_SIZE);
    bytes_put(&writer, MAGIC, 8);
    bytes_put_le32(&writer, SLOT_SIZE);
    bytes_put_le32(&writer, MONITOR_SLOTS);
    bytes_put_le32(&writer, MONITOR_PERIOD_S);
    put_le32(head + BODY, crc32c(0, head, BODY));
}

static void encode_slot(const struct monitor_slot *slot, uint8_t bytes[SLOT_SIZE])
{
    struct bytes_writer writer = {.at = bytes, .left = SLOT_SIZE};

    memset(bytes, 0, SLOT_SIZE);
    bytes_put_le32(&writer, slot->stamp);
    bytes_put_le32(&writer, slot->elapsed_ms);
    bytes_put_le64(&writer, slot->reads);
    bytes_put_le64(&writer, slot->writes);
    bytes_put_le64(&writer, slot->read_bytes);
    bytes_put_le64(&writer, slot->write_bytes);
    bytes_put_le64(&writer, slot->read_us);
    bytes_put_le64(&writer, slot->write_us);
    put_le32(bytes + BODY, crc32c(0, bytes, BODY));
}

/* A gap when it is damaged, of another round of the ring, or makes no sense. */
static void decode_slot(const uint8_t bytes[SLOT_SIZE], uint32_t stamp, struct monitor_slot *ret)
{
    struct bytes_reader reader = {.at = bytes, .left = SLOT_SIZE};
    struct monitor_slot slot;

    memset(ret, 0, sizeof(*ret));
    slot.stamp = bytes_le32(&reader);
    slot.elapsed_ms = bytes_le32(&reader);
    slot.reads = bytes_le64(&reader);
    slot.writes = bytes_le64(&reader);
    slot.read_bytes = bytes_le64(&reader);
    slot.write_bytes = bytes_le64(&reader);
    slot.read_us = bytes_le64(&reader);
    slot.write_us = bytes_le64(&reader);
    if (get_le32(bytes + BODY) == crc32c(0, bytes, BODY) && slot.stamp == stamp &&
        slot.elapsed_ms > 0 && slot.elapsed_ms <= BEAT_MS_MAX)
        *ret = slot;
}

/* -EUCLEAN: the file is of no use. Another error: nobody can say. */
static int check_head(struct loop *loop, struct io_file *file, const char *path, struct err *err)
{
    uint8_t head[HEAD_SIZE], wanted[HEAD_SIZE];
    uint64_t size = 0;
    int result = io_file_size(loop, file, &size);

    encode_head(wanted);
    if (result == 0 && size != HEAD_SIZE + MONITOR_SLOTS * SLOT_SIZE)
        result = -EUCLEAN;
    if (result == 0)
        result = io_file_read_now(loop, file, head, HEAD_SIZE, 0);
    if (result == 0 && memcmp(head, wanted, HEAD_SIZE) != 0)
        result = -EUCLEAN;
    return result < 0 ? err_set(err, result, "%s: %s", path, err_name(result)) : 0;
}

static int make_file(struct monitor *monitor, struct loop *loop, const char *path,
                     struct io_file **ret_file, struct err *err)
{
    uint8_t head[HEAD_SIZE];
    int result = io_dir_make(loop, monitor->folder);

    if (result < 0)
        return err_set(err, result, "%s: %s", monitor->folder, err_name(result));
    result = io_file_open(loop, path, IO_CREATE, ret_file, err);
    if (result < 0)
        return result;
    encode_head(head);
    result = io_file_resize_now(loop, *ret_file, HEAD_SIZE + MONITOR_SLOTS * SLOT_SIZE);
    if (result == 0)
        result = io_file_write_now(loop, *ret_file, head, HEAD_SIZE, 0);
    if (result < 0) {
        io_file_close(loop, *ret_file);
        return err_set(err, result, "%s: %s", path, err_name(result));
    }
    return 0;
}

/* Opens the disk's file, looked at once a life (`counted` NULL: again). */
static int open_file(struct monitor *monitor, struct site *site, const char *disk, bool is_checked,
                     struct io_file **ret_file, struct err *err)
{
    char path[PATH_MAX];
    int result;

    path_of(monitor, disk, path);
    result = io_file_open(site->loop, path, 0, ret_file, err);
    if (result == 0 && !is_checked) {
        result = check_head(site->loop, *ret_file, path, err);
        if (result < 0)
            io_file_close(site->loop, *ret_file);
    }
    if (result == -EUCLEAN) {
        (void)io_unlink(site->loop, path);
        audit_event(site, "monitor", EVENT_WARNING, disk,
                    "the file of its samples was damaged and is begun anew");
        result = -ENOENT;
    }
    if (result != -ENOENT)
        return result;
    return make_file(monitor, site->loop, path, ret_file, err);
}

/* --- sampling -------------------------------------------------------------------------------- */

static int write_slot(struct monitor *monitor, struct site *site, struct counted *counted,
                      struct err *err)
{
    const struct monitor_slot *slot = &counted->slot;
    uint8_t bytes[SLOT_SIZE];
    struct io_file *file;
    int result = open_file(monitor, site, counted->id, counted->is_checked, &file, err);

    if (result < 0)
        return result;
    counted->is_checked = true;
    encode_slot(slot, bytes);
    result = io_file_write_now(site->loop, file, bytes, SLOT_SIZE,
                               HEAD_SIZE + (uint64_t)(slot->stamp % MONITOR_SLOTS) * SLOT_SIZE);
    io_file_close(site->loop, file);
    return result < 0 ? err_set(err, result, "%s: %s", counted->id, err_name(result)) : 0;
}

/* False: no sample can be made of these two. */
static bool subtract(const struct counted *before, const struct counted *after,
                     struct monitor_slot *slot)
{
    const struct data_disk_status *from = &before->status, *to = &after->status;

    slot->elapsed_ms = (uint32_t)(after->at_ms - before->at_ms);
    slot->reads = to->reads - from->reads;
    slot->writes = to->writes - from->writes;
    slot->read_bytes = to->read_bytes - from->read_bytes;
    slot->write_bytes = to->write_bytes - from->write_bytes;
    slot->read_us = (to->read_ns - from->read_ns) / 1000;
    slot->write_us = (to->write_ns - from->write_ns) / 1000;
    return after->at_ms - before->at_ms > 0 && after->at_ms - before->at_ms <= BEAT_MS_MAX &&
           to->reads >= from->reads && to->writes >= from->writes; /* else: opened anew */
}

static const struct counted *find(const struct monitor *monitor, const char *id, unsigned hint)
{
    if (hint < monitor->count && strcmp(monitor->disks[hint].id, id) == 0)
        return &monitor->disks[hint];
    for (unsigned i = 0; i < monitor->count; i++)
        if (strcmp(monitor->disks[i].id, id) == 0)
            return &monitor->disks[i];
    return NULL;
}

static void sweep_entry(void *arg, const char *name)
{
    struct {
        struct monitor *monitor;
        struct site *site;
    } *sweep = arg;
    size_t length = strlen(name);
    char id[RECORD_ID_SIZE], path[PATH_MAX];
    struct disk_record record;

    if (length < 6 || length - 5 >= sizeof(id) || strcmp(name + length - 5, ".ring") != 0)
        return;
    memcpy(id, name, length - 5);
    id[length - 5] = '\0';
    if (meta_get(sweep->site->meta, RECORD_DISK, id, &record) != -ENOENT)
        return;
    path_of(sweep->monitor, id, path);
    (void)io_unlink(sweep->site->loop, path);
}

/* Files of disks that are gone. */
static void sweep(struct monitor *monitor, struct site *site)
{
    struct {
        struct monitor *monitor;
        struct site *site;
    } arg = {monitor, site};

    (void)io_dir_list(site->loop, monitor->folder, sweep_entry, &arg); /* -ENOENT: none yet */
    monitor->is_swept = true;
}

static void end_sample(struct monitor *monitor)
{
    if (monitor->has_failed && !monitor->is_failing)
        audit_event(monitor->site, "monitor", EVENT_WARNING, "",
                    "samples cannot be written: %.180s", monitor->err.text);
    monitor->is_failing = monitor->has_failed;
    monitor->has_failed = false;
    if (!monitor->is_swept || monitor->has_fewer)
        sweep(monitor, monitor->site);
}

/* A piece now, the rest a little later. What is not written when the next sample comes is a gap. */
static void write_slots(struct monitor *monitor)
{
    struct loop *loop = monitor->site->loop;
    unsigned end = monitor->written + PIECE;

    if (monitor->written == monitor->count)
        return;
    if (end > monitor->count)
        end = monitor->count;
    for (; monitor->written < end; monitor->written++) {
        struct counted *counted = &monitor->disks[monitor->written];

        if (counted->is_due && write_slot(monitor, monitor->site, counted, &monitor->err) < 0)
            monitor->has_failed = true;
    }
    if (monitor->written < monitor->count)
        loop_timer_set(loop, &monitor->timer, loop_now_ns(loop) + PAUSE_NS);
    else
        end_sample(monitor);
}

static void piece_due(struct loop_timer *timer)
{
    write_slots(container_of(timer, struct monitor, timer));
}

void monitor_sample(struct monitor *monitor, struct site *site)
{
    const struct data_snapshot *snapshot = site->snapshot;
    uint64_t now_ms = loop_now_ns(site->loop) / 1000000;
    struct counted *disks = calloc(snapshot->disk_count + 1, sizeof(*disks));
    /* A beat may come a bit early. */
    uint32_t stamp = (uint32_t)((site_now_s(site) + 1) / MONITOR_PERIOD_S);

    check(disks);
    monitor->site = site;
    monitor->timer.fired_cb = piece_due;
    loop_timer_cancel(site->loop, &monitor->timer);
    for (unsigned i = 0; i < snapshot->disk_count; i++) {
        const struct counted *before = find(monitor, snapshot->disks[i].id, i);
        struct counted *now = &disks[i];

        *now = (struct counted){.at_ms = now_ms, .status = snapshot->disks[i]};
        strcpy(now->id, now->status.id);
        now->is_checked = before && before->is_checked;
        now->slot.stamp = stamp;
        now->is_due = before && subtract(before, now, &now->slot);
    }
    monitor->has_fewer = snapshot->disk_count < monitor->count;
    free(monitor->disks);
    monitor->disks = disks;
    monitor->count = snapshot->disk_count;
    monitor->written = 0;
    if (monitor->count == 0)
        end_sample(monitor);
    write_slots(monitor);
}

/* --- reading --------------------------------------------------------------------------------- */

/* A damaged file is begun anew with the next sample. */
static void look_again(struct monitor *monitor, const char *disk)
{
    for (unsigned i = 0; i < monitor->count; i++)
        if (strcmp(monitor->disks[i].id, disk) == 0)
            monitor->disks[i].is_checked = false;
}

int monitor_read(struct monitor *monitor, struct site *site, const char *disk, uint32_t first,
                 unsigned count, struct monitor_slot *ret_slots, struct err *err)
{
    uint8_t *bytes = calloc(count, SLOT_SIZE);
    struct io_file *file;
    unsigned done = 0;
    char path[PATH_MAX];
    int result;

    check(bytes && count > 0 && count <= MONITOR_READ_MAX);
    memset(ret_slots, 0, count * sizeof(*ret_slots));
    path_of(monitor, disk, path);
    result = io_file_open(site->loop, path, IO_READ_ONLY, &file, err);
    if (result == 0) {
        result = check_head(site->loop, file, path, err);
        if (result < 0)
            io_file_close(site->loop, file);
    }
    if (result == -EUCLEAN)
        look_again(monitor, disk);
    if (result < 0) {
        free(bytes);
        return result == -ENOENT || result == -EUCLEAN ? 0 : result; /* no sample yet */
    }
    while (result == 0 && done < count) {
        unsigned at = (first + done) % MONITOR_SLOTS, run = MONITOR_SLOTS - at;

        if (run > count - done)
            run = count - done;
        result = io_file_read_now(site->loop, file, bytes + (size_t)done * SLOT_SIZE,
                                  (size_t)run * SLOT_SIZE, HEAD_SIZE + (uint64_t)at * SLOT_SIZE);
        done += run;
    }
    io_file_close(site->loop, file);
    for (unsigned i = 0; result == 0 && i < count; i++)
        decode_slot(bytes + (size_t)i * SLOT_SIZE, first + i, &ret_slots[i]);
    free(bytes);
    return result < 0 ? err_set(err, result, "%s: %s", path, err_name(result)) : 0;
}
