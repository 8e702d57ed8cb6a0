/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: stock clients ask what there is before they do anything. The regions and zones are those of
 * this site and of the peers in its configuration. Every region has this site's address: any site's
 * door takes the calls for both.
 */
#include <string.h>

#include "base/check.h"
#include "control/operations.h"
#include "control/tree.h"

struct place {
    const char *region, *zone;
};

/* This site first. */
static unsigned list_places(const struct site *site, struct place places[SITE_PEERS_MAX + 1])
{
    places[0] = (struct place){site->region, site->zone};
    for (unsigned i = 0; i < site->peer_count; i++)
        places[i + 1] = (struct place){site->peers[i].region, site->peers[i].zone};
    return site->peer_count + 1;
}

/* Does an earlier place lie in the same region? */
static bool is_seen(const struct place *places, unsigned at)
{
    for (unsigned i = 0; i < at; i++)
        if (strcmp(places[i].region, places[at].region) == 0)
            return true;
    return false;
}

static json_t *text_list(const char *const *texts, unsigned count)
{
    json_t *list = json_array();

    check(list);
    for (unsigned i = 0; i < count; i++)
        check(json_array_append_new(list, json_string(texts[i])) == 0);
    return list;
}

static json_t *wrap(const char *name, json_t *list)
{
    json_t *tree = json_object();

    check(tree);
    tree_set(tree, name, list);
    return tree;
}

static json_t *region_tree(const struct site *site, const char *region)
{
    json_t *tree = json_object();

    check(tree);
    tree_set_text(tree, "RegionId", region);
    tree_set_text(tree, "LocalName", region);
    tree_set_text(tree, "RegionEndpoint", site->endpoint);
    return tree;
}

static json_t *zone_tree(const char *zone)
{
    json_t *tree = json_object();

    check(tree);
    tree_set_text(tree, "ZoneId", zone);
    tree_set_text(tree, "LocalName", zone);
    return tree;
}

/* --- regions --------------------------------------------------------------------------------- */

static json_t *ebs_zones(const struct place *places, unsigned count, const char *region)
{
    static const char *const types[] = {"ear"};
    json_t *list = json_array();

    check(list);
    for (unsigned i = 0; i < count; i++) {
        json_t *zone;

        if (strcmp(places[i].region, region) != 0)
            continue;
        zone = zone_tree(places[i].zone);
        tree_set(zone, "ResourceTypes", text_list(types, ARRAY_COUNT(types)));
        check(json_array_append_new(list, zone) == 0);
    }
    return list;
}

/* Replication is all that there is: other resource types are nowhere. */
void ops_region_list(struct call *call)
{
    const char *type = call_text(call, "ResourceType");
    bool is_ecs = call->operation->is_ecs;
    struct place places[SITE_PEERS_MAX + 1];
    unsigned count = list_places(call->site, places);
    json_t *regions = json_array(), *reply = json_object();

    check(regions && reply);
    for (unsigned i = 0; i < count; i++) {
        json_t *region;

        if (is_seen(places, i) || (!is_ecs && type[0] && strcmp(type, "ear") != 0))
            continue;
        region = region_tree(call->site, places[i].region);
        if (is_ecs)
            tree_set_text(region, "Status", "available");
        else
            tree_set(region, "Zones", ebs_zones(places, count, places[i].region));
        check(json_array_append_new(regions, region) == 0);
    }
    tree_set(reply, "Regions", is_ecs ? wrap("Region", regions) : regions);
    call_reply(call, reply);
}

/* --- zones, and where from here ------------------------------------------------------------- */

/* False: answered. */
static bool check_region(struct call *call, const struct place *places, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(places[i].region, call_text(call, "RegionId")) == 0)
            return true;
    call_fail(call, API_REGION_NOT_FOUND, NULL);
    return false;
}

void ops_region_zones(struct call *call)
{
    static const char *const categories[] = {"cloud_essd", "cloud_auto"};
    static const char *const creatable[] = {"Disk"};
    struct place places[SITE_PEERS_MAX + 1];
    unsigned count = list_places(call->site, places);
    json_t *zones, *reply;

    if (!check_region(call, places, count))
        return;
    zones = json_array();
    reply = json_object();
    check(zones && reply);
    for (unsigned i = 0; i < count; i++) {
        json_t *zone;

        if (strcmp(places[i].region, call_text(call, "RegionId")) != 0)
            continue;
        zone = zone_tree(places[i].zone);
        tree_set_text(zone, "ZoneType", "AvailabilityZone");
        tree_set(zone, "AvailableDiskCategories",
                 wrap("DiskCategories", text_list(categories, ARRAY_COUNT(categories))));
        tree_set(zone, "AvailableResourceCreation",
                 wrap("ResourceTypes", text_list(creatable, ARRAY_COUNT(creatable))));
        check(json_array_append_new(zones, zone) == 0);
    }
    tree_set(reply, "Zones", wrap("Zone", zones));
    call_reply(call, reply);
}

/* Replication goes between this site and its peers, either way. */
static bool is_edge(const struct place *places, unsigned count, const struct place *from,
                    unsigned to)
{
    bool is_known = false;
    bool is_from_here =
        strcmp(places[0].region, from->region) == 0 && strcmp(places[0].zone, from->zone) == 0;

    for (unsigned i = 0; i < count; i++)
        is_known = is_known || (strcmp(places[i].region, from->region) == 0 &&
                                strcmp(places[i].zone, from->zone) == 0);
    return is_known && (is_from_here ? to > 0 : to == 0);
}

static json_t *edge_zones(const struct place *places, unsigned count, const struct place *from,
                          const char *region)
{
    json_t *list = json_array();

    check(list);
    for (unsigned i = 0; i < count; i++) {
        json_t *zone;

        if (strcmp(places[i].region, region) != 0 || !is_edge(places, count, from, i))
            continue;
        zone = json_object();
        check(zone);
        tree_set_text(zone, "ZoneId", places[i].zone);
        tree_set_bool(zone, "SupportRtc", true);
        check(json_array_append_new(list, zone) == 0);
    }
    return list;
}

void ops_region_edges(struct call *call)
{
    struct place from = {call_text(call, "RegionId"), call_text(call, "Azone")};
    struct place places[SITE_PEERS_MAX + 1];
    unsigned count = list_places(call->site, places);
    json_t *regions, *reply;

    if (!check_region(call, places, count))
        return;
    regions = json_array();
    reply = json_object();
    check(regions && reply);
    for (unsigned i = 0; i < count; i++) {
        json_t *zones, *region;

        if (is_seen(places, i))
            continue;
        zones = edge_zones(places, count, &from, places[i].region);
        if (json_array_size(zones) == 0) {
            json_decref(zones);
            continue;
        }
        region = json_object();
        check(region);
        tree_set_text(region, "RegionId", places[i].region);
        tree_set(region, "Zones", zones);
        check(json_array_append_new(regions, region) == 0);
    }
    tree_set(reply, "SupportedRegions", regions);
    tree_set_text(reply, "NextToken", "");
    tree_set_int(reply, "MaxResults", (int64_t)json_array_size(regions));
    call_reply(call, reply);
}
