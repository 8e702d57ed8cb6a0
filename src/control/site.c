/* SPDX-License-Identifier: Apache-2.0 */
/* Why: what every part of the control wing stands on, without knowing any of them. */
#include "control/site.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/signature.h"
#include "base/check.h"

/* What a Describe shows is as old at most, and the time of one round to the data wing. */
#define SNAPSHOT_NS_MAX UINT64_C(100000000)

static int word_copy(char *to, size_t size, const char *from, const char *what, struct err *err)
{
    if (!from || !from[0] || strlen(from) >= size)
        return err_set(err, -EINVAL, "%s is missing or too long", what);
    memcpy(to, from, strlen(from) + 1);
    return 0;
}

static int peers_init(struct site *site, const struct site_options *options, struct err *err)
{
    int result = 0;

    check(options->peer_count <= SITE_PEERS_MAX);
    for (unsigned i = 0; result == 0 && i < options->peer_count; i++) {
        struct site_peer *peer = &site->peers[i];
        result =
            word_copy(peer->name, sizeof(peer->name), options->peers[i].name, "peer name", err);
        if (result == 0)
            result = word_copy(peer->region, sizeof(peer->region), options->peers[i].region,
                               "peer region", err);
        if (result == 0)
            result =
                word_copy(peer->zone, sizeof(peer->zone), options->peers[i].zone, "peer zone", err);
        strcpy(peer->why, "not connected yet");
    }
    site->peer_count = options->peer_count;
    return result;
}

static void quota_init(struct site_quota *quota, const struct site_quota *options)
{
    *quota = *options;
    if (quota->pairs == 0)
        quota->pairs = 10000;
    if (quota->groups == 0)
        quota->groups = 10000;
    if (quota->empty_groups == 0)
        quota->empty_groups = 1000;
    if (quota->disks == 0)
        quota->disks = 20000;
    if (quota->group_pairs == 0)
        quota->group_pairs = 17;
    if (quota->group_pairs > DATA_DISKS_MAX)
        quota->group_pairs = DATA_DISKS_MAX;
}

int site_init(struct site *site, struct loop *loop, struct meta *meta,
              const struct site_options *options, struct err *err)
{
    int result;

    memset(site, 0, sizeof(*site));
    site->magic = SITE_MAGIC;
    list_init(&site->calls);
    list_init(&site->consents);
    list_init(&site->held);
    list_init(&site->troubles);
    site->is_snapshot_stale = true;
    list_init(&site->openings);
    list_init(&site->growths);
    site->loop = loop;
    site->malformed_limit = (struct log_limit){.count_max = 20, .span_ns = UINT64_C(10000000000)};
    complaint_init(&site->complaint);
    site->meta = meta;
    site->secret_box = options->secret_box;
    quota_init(&site->quota, &options->quota);
    site->is_strict = options->is_strict;
    site->tokens_max = options->tokens_max;
    site->retry_min_ns = options->retry_min_ns ? options->retry_min_ns : 25000000;
    site->retry_max_ns = options->retry_max_ns ? options->retry_max_ns : 5000000000;
    site->call_timeout_ns = options->call_timeout_ns ? options->call_timeout_ns : 2500000000;
    site->disks_folder = options->disks_folder ? options->disks_folder : "";
    result = word_copy(site->name, sizeof(site->name), options->name, "site name", err);
    if (result == 0)
        result = word_copy(site->region, sizeof(site->region), options->region, "region", err);
    if (result == 0)
        result = word_copy(site->zone, sizeof(site->zone), options->zone, "zone", err);
    if (result == 0)
        result = word_copy(site->account_id, sizeof(site->account_id),
                           options->account_id ? options->account_id : "1000000000000001",
                           "account id", err);
    if (result == 0 && options->nbd_socket)
        result = word_copy(site->nbd_socket, sizeof(site->nbd_socket), options->nbd_socket,
                           "NBD socket", err);
    if (result == 0 && options->nbd_listen)
        result = word_copy(site->nbd_listen, sizeof(site->nbd_listen), options->nbd_listen,
                           "NBD address", err);
    if (result == 0 && options->endpoint)
        result =
            word_copy(site->endpoint, sizeof(site->endpoint), options->endpoint, "endpoint", err);
    if (result == 0)
        result = peers_init(site, options, err);
    return result == 0 ? signature_new(&site->signature, err) : result;
}

void site_fini(struct site *site)
{
    struct list *node;

    check_magic(site, SITE_MAGIC);
    check(site->pending_count == 0 && list_is_empty(&site->calls) &&
          list_is_empty(&site->consents));
    while ((node = list_pop(&site->troubles)) != NULL)
        free(list_entry(node, struct site_trouble, node));
    json_decref(site->grown);
    signature_free(site->signature);
    free(site->snapshot);
    site->snapshot = NULL;
    site->magic = 0;
}

void site_submit(struct site *site, struct data_request *request,
                 void (*done_cb)(struct data_request *request))
{
    check_magic(site, SITE_MAGIC);
    check((unsigned)request->op < DATA_OP_COUNT);
    check(!site->is_sharing ||
          !site->meta->is_in_transaction); /* nothing leaves before the commit */
    request->done_cb = done_cb;
    request->error = 0;
    request->why[0] = 0;
    site->pending_count++;
    site->data_ops->submit(site->data_wing, request);
}

void site_carried(struct site *site)
{
    check_magic(site, SITE_MAGIC);
    check(site->pending_count > 0);
    site->pending_count--;
}

void site_done(struct site *site)
{
    site_carried(site);
    site->is_snapshot_stale = true;
}

void site_take_snapshot(struct site *site, struct data_request *request)
{
    check(request->op == DATA_STATUS);
    if (request->error < 0 || !request->snapshot)
        return;
    free(site->snapshot);
    site->snapshot = request->snapshot;
    request->snapshot = NULL;
    site->is_snapshot_stale = false;
    site->snapshot_ns = loop_now_ns(site->loop);
}

bool site_snapshot_is_fresh(const struct site *site)
{
    return site->snapshot && !site->is_snapshot_stale &&
           loop_now_ns(site->loop) - site->snapshot_ns < SNAPSHOT_NS_MAX;
}

const struct data_stream_status *site_stream(const struct site *site, const char *id)
{
    for (unsigned i = 0; site->snapshot && i < site->snapshot->stream_count; i++)
        if (strcmp(site->snapshot->streams[i].id, id) == 0)
            return &site->snapshot->streams[i];
    return NULL;
}

const struct data_disk_status *site_disk(const struct site *site, const char *id)
{
    for (unsigned i = 0; site->snapshot && i < site->snapshot->disk_count; i++)
        if (strcmp(site->snapshot->disks[i].id, id) == 0)
            return &site->snapshot->disks[i];
    return NULL;
}

struct site_peer *site_peer_named(struct site *site, const char *name)
{
    for (unsigned i = 0; i < site->peer_count; i++)
        if (strcmp(site->peers[i].name, name) == 0)
            return &site->peers[i];
    return NULL;
}

struct site_peer *site_peer_in(struct site *site, const char *region, const char *zone)
{
    for (unsigned i = 0; i < site->peer_count; i++)
        if (strcmp(site->peers[i].region, region) == 0 &&
            (!zone || strcmp(site->peers[i].zone, zone) == 0))
            return &site->peers[i];
    return NULL;
}

static struct site_trouble *find_trouble(const struct site *site, const char *id)
{
    for (const struct list *node = site->troubles.next; node != &site->troubles;
         node = node->next) {
        struct site_trouble *trouble = list_entry(node, struct site_trouble, node);

        if (strcmp(trouble->id, id) == 0)
            return trouble;
    }
    return NULL;
}

void site_note_trouble(struct site *site, const char *id, const char *text)
{
    struct site_trouble *trouble = find_trouble(site, id);

    if (!text[0]) {
        if (trouble)
            list_remove(&trouble->node);
        free(trouble);
        return;
    }
    if (!trouble) {
        trouble = calloc(1, sizeof(*trouble));
        check(trouble && strlen(id) < sizeof(trouble->id));
        strcpy(trouble->id, id);
        list_append(&site->troubles, &trouble->node);
    }
    snprintf(trouble->text, sizeof(trouble->text), "%s", text);
}

const char *site_trouble(const struct site *site, const char *id)
{
    const struct site_trouble *trouble = find_trouble(site, id);

    return trouble ? trouble->text : "";
}

int64_t site_now_s(struct site *site)
{
    return (int64_t)(loop_wall_ns(site->loop) / 1000000000);
}

uint64_t site_random(void *arg)
{
    struct site *site = arg;

    check_magic(site, SITE_MAGIC);
    return loop_random(site->loop);
}
