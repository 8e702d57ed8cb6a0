/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: one place for the limits of a site. They are the operator's ([quota] of the configuration);
 * the contract names a number for one of them only (17 pairs in a group). A quota of 0 bytes is
 * none.
 */
#include "control/quota.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static int count_of(struct site *site, enum record_kind kind, unsigned *ret_count)
{
    struct meta_query query = {.kind = kind};

    return meta_count(site->meta, &query, ret_count);
}

int quota_has_room_for_pair(struct site *site)
{
    unsigned count = 0;
    int result = count_of(site, RECORD_PAIR, &count);

    return result < 0 ? result : count < site->quota.pairs;
}

bool quota_allows_pair(struct call *call)
{
    int room = quota_has_room_for_pair(call->site);

    if (room < 0)
        call_fail_internal(call, err_name(room));
    else if (room == 0)
        call_fail(call, API_QUOTA_EXCEED, "At most %u pairs at site %s.", call->site->quota.pairs,
                  call->site->name);
    return room > 0;
}

struct empties {
    struct site *site;
    unsigned count;
    int error;
};

static bool count_empty(void *arg, uint64_t position, const void *record)
{
    struct empties *empties = arg;
    const struct group_record *group = record;
    struct meta_query members = {RECORD_PAIR, "group_id", group->common.id};
    unsigned count = 0;

    (void)position;
    empties->error = meta_count(empties->site->meta, &members, &count);
    empties->count += count == 0;
    return empties->error == 0;
}

static int count_empty_groups(struct site *site, unsigned *ret_count)
{
    struct meta_query groups = {.kind = RECORD_GROUP};
    struct empties empties = {.site = site};
    int result = meta_walk(site->meta, &groups, 0, count_empty, &empties);

    *ret_count = empties.count;
    return result < 0 ? result : empties.error;
}

bool quota_allows_group(struct call *call)
{
    struct site *site = call->site;
    const struct site_quota *quota = &site->quota;
    unsigned count = 0, empty = 0;
    int result = count_of(site, RECORD_GROUP, &count);

    /* Fewer groups than may be empty need not be looked at. */
    if (result == 0 && count >= quota->empty_groups)
        result = count_empty_groups(site, &empty);
    if (result < 0)
        call_fail_internal(call, err_name(result));
    else if (count >= quota->groups)
        call_fail(call, API_QUOTA_EXCEED, "At most %u groups at site %s.", quota->groups,
                  site->name);
    else if (empty >= quota->empty_groups)
        call_fail(call, API_TOO_MUCH_EMPTY_GROUP, "At most %u at site %s.", quota->empty_groups,
                  site->name);
    return result == 0 && count < quota->groups && empty < quota->empty_groups;
}

/* What the disk gains that becomes so large: it is not in its record yet. */
static uint64_t gain_of(struct site *site, const char *disk_id, uint64_t bytes)
{
    struct disk_record disk;

    if (meta_get(site->meta, RECORD_DISK, disk_id, &disk) < 0 || bytes <= (uint64_t)disk.size_bytes)
        return 0;
    return bytes - (uint64_t)disk.size_bytes;
}

/* Which growths count. */
struct scope {
    const char *except;        /* not of this disk, which is judged; NULL: any */
    struct pair_record *pairs; /* of the disks of these alone; NULL: any */
    unsigned pair_count;
};

static bool is_in(struct site *site, const struct scope *scope, const char *disk)
{
    if (scope->except && strcmp(scope->except, disk) == 0)
        return false;
    for (unsigned i = 0; i < scope->pair_count; i++)
        if (strcmp(relation_disk(site, &scope->pairs[i]), disk) == 0)
            return true;
    return !scope->pairs;
}

/* What disks gain that grow now, by our own calls and by the peer's. */
static uint64_t bytes_under_way(struct site *site, const struct scope *scope)
{
    struct list *node, *next;
    uint64_t bytes = 0;

    list_for_each(node, next, &site->calls)
    {
        const struct call *call = list_entry(node, struct call, node);

        if (call->growth_bytes > 0 && is_in(site, scope, call->object))
            bytes += gain_of(site, call->object, call->growth_bytes);
    }
    list_for_each(node, next, &site->growths)
    {
        const struct quota_growth *growth = list_entry(node, struct quota_growth, node);

        if (is_in(site, scope, growth->disk))
            bytes += gain_of(site, growth->disk, growth->bytes);
    }
    return bytes;
}

bool quota_allows_member(struct call *call, const struct relation *group,
                         const struct relation *pair)
{
    const struct site_quota *quota = &call->site->quota;
    struct pair_record itself = pair->pair;
    struct scope scope = {0}, alone = {.pairs = &itself, .pair_count = 1};
    uint64_t bytes = (uint64_t)itself.size_bytes;
    int result = relation_members(call->site, group, &scope.pairs, &scope.pair_count);
    unsigned count = scope.pair_count;
    bool is_large;

    for (unsigned i = 0; result == 0 && i < count; i++)
        bytes += (uint64_t)scope.pairs[i].size_bytes;
    if (result == 0)
        bytes += bytes_under_way(call->site, &alone);
    if (result == 0 && count > 0)
        bytes += bytes_under_way(call->site, &scope);
    free(scope.pairs);
    is_large = quota->group_bytes > 0 && bytes > quota->group_bytes;
    if (result < 0)
        call_fail_internal(call, err_name(result));
    else if (count >= quota->group_pairs)
        call_fail(call, API_PAIRS_EXCEED, "At most %u.", quota->group_pairs);
    else if (is_large)
        call_fail(call, API_GROUP_CAPACITY_LIMIT, "It would be %llu bytes; at most %llu.",
                  (unsigned long long)bytes, (unsigned long long)quota->group_bytes);
    return result == 0 && count < quota->group_pairs && !is_large;
}

bool quota_allows_group_growth(struct call *call, const struct relation *member, const char *disk,
                               int64_t growth)
{
    uint64_t bytes = (uint64_t)growth, bytes_max = call->site->quota.group_bytes;
    struct relation group = {.is_group = true, .group = member->group};
    struct scope scope = {.except = disk};
    int result = 0;

    if (!relation_is_member(member) || bytes_max == 0)
        return true;
    result = relation_members(call->site, &group, &scope.pairs, &scope.pair_count);
    for (unsigned i = 0; result == 0 && i < scope.pair_count; i++)
        bytes += (uint64_t)scope.pairs[i].size_bytes;
    if (result == 0)
        bytes += bytes_under_way(call->site, &scope);
    free(scope.pairs);
    if (result < 0)
        call_fail_internal(call, err_name(result));
    else if (bytes > bytes_max)
        call_fail(call, API_GROUP_CAPACITY_LIMIT, "It would be %llu bytes; at most %llu.",
                  (unsigned long long)bytes, (unsigned long long)bytes_max);
    return result == 0 && bytes <= bytes_max;
}

struct sum {
    uint64_t bytes;
};

static bool add_disk(void *arg, uint64_t position, const void *record)
{
    struct sum *sum = arg;
    const struct disk_record *disk = record;

    (void)position;
    sum->bytes += (uint64_t)disk->size_bytes;
    return true;
}

int quota_has_room_for_bytes(struct site *site, const char *disk, int64_t bytes)
{
    struct meta_query disks = {.kind = RECORD_DISK};
    struct scope scope = {.except = disk};
    struct sum sum = {.bytes = (uint64_t)bytes};
    int result = 0;

    if (site->quota.disk_bytes == 0)
        return 1;
    sum.bytes += bytes_under_way(site, &scope);
    result = meta_walk(site->meta, &disks, 0, add_disk, &sum);
    return result < 0 ? result : sum.bytes <= site->quota.disk_bytes;
}

bool quota_allows_growth(struct call *call, const char *disk, int64_t bytes)
{
    int room = quota_has_room_for_bytes(call->site, disk, bytes);

    if (room < 0)
        call_fail_internal(call, err_name(room));
    else if (room == 0)
        call_fail_name(call, API_DISK_CAPACITY_QUOTA, call->site->zone, NULL);
    return room > 0;
}

int quota_has_room_for_disk(struct site *site, int64_t bytes)
{
    unsigned count = 0;
    int result = count_of(site, RECORD_DISK, &count);

    if (result < 0 || count >= site->quota.disks)
        return result;
    return quota_has_room_for_bytes(site, NULL, bytes);
}

bool quota_allows_disk(struct call *call, int64_t size_bytes)
{
    unsigned count = 0;
    int result = count_of(call->site, RECORD_DISK, &count);

    if (result < 0)
        call_fail_internal(call, err_name(result));
    else if (count >= call->site->quota.disks)
        call_fail(call, API_DISK_QUOTA, "At most %u disks at site %s.", call->site->quota.disks,
                  call->site->name);
    else
        return quota_allows_growth(call, NULL, size_bytes);
    return false;
}
