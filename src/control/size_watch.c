/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: a disk that replicates grows in the data wing first, at the target because its source did,
 * and after a crash a record may be behind. What a disk has is the wing's to say; its record
 * follows. A record that cannot be written now waits in site->grown, so that nobody makes a pair by
 * it. One that is being resized by a call here is that call's to write, and so is that of a disk in
 * no pair: who got an error asks again.
 */
#include "control/size_watch.h"

#include <errno.h>

#include "base/check.h"
#include "base/log.h"
#include "control/operations.h"
#include "control/relation.h"
#include "control/sync.h"

/* The pair that this site has to keep, of this disk; false: none. */
static bool find_pair(struct site *site, const char *disk, struct pair_record *ret_pair)
{
    struct relation relation;

    return relation_find_by_disk(site, disk, ret_pair) == 0 &&
           relation_load(site, ret_pair->common.id, &relation) == 0 &&
           relation_is_actor(site, &relation);
}

void size_watch_put(struct change *change, struct disk_record *disk, int64_t bytes)
{
    struct pair_record pair;

    disk->size_bytes = bytes;
    change_put(change, RECORD_DISK, disk);
    if (!find_pair(change->site, disk->id, &pair) || pair.size_bytes >= bytes)
        return;
    pair.size_bytes = bytes;
    relation_touch(&pair.common);
    change_put(change, RECORD_PAIR, &pair);
}

void size_watch_tell(struct site *site, const char *disk)
{
    struct pair_record pair;

    if (find_pair(site, disk, &pair))
        sync_mark(site, pair.common.id);
}

/* True: the record says so, or there is none. */
static bool settle(struct site *site, const char *id, int64_t bytes)
{
    struct disk_record disk;
    struct change change;
    int result = meta_get(site->meta, RECORD_DISK, id, &disk);

    if (result < 0)
        return result == -ENOENT;
    if (disk.size_bytes >= bytes)
        return true;
    if (call_is_running(site, ops_disk_resize, id))
        return false;
    change_begin(&change, site);
    size_watch_put(&change, &disk, bytes);
    if (change_commit(&change) < 0)
        return false;
    log_notice("control", "disk %s has %lld bytes", id, (long long)bytes);
    size_watch_tell(site, id);
    return true;
}

bool size_watch_settle(struct site *site, const char *disk, uint64_t bytes)
{
    return bytes <= INT64_MAX && settle(site, disk, (int64_t)bytes);
}

void size_watch_grown(struct site *site, const char *disk, uint64_t bytes)
{
    struct pair_record pair;

    if (bytes > INT64_MAX || relation_find_by_disk(site, disk, &pair) == -ENOENT ||
        settle(site, disk, (int64_t)bytes))
        return;
    if (!site->grown)
        site->grown = json_object();
    check(site->grown &&
          json_object_set_new(site->grown, disk, json_integer((json_int_t)bytes)) == 0);
}

void size_watch_again(struct site *site)
{
    const char *disk;
    json_t *bytes;
    void *next;

    json_object_foreach_safe(site->grown, next, disk, bytes)
    {
        if (json_is_integer(bytes) && settle(site, disk, json_integer_value(bytes)))
            json_object_del(site->grown, disk);
    }
}
