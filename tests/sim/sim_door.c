/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: hosts reach a disk only while the wing exports it. This stands in for the NBD server behind
 * nbd/server.h: an export lets the simulated hosts in, its removal waits until none of their
 * requests is under way. The protocol itself is tested elsewhere (tests/unit/nbd, tests/fuzz).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "nbd/server.h"
#include "sim_alloc.h"
#include "sim_clerk_disk.h"
#include "sim_kernel.h"
#include "sim_whole.h"

struct nbd_server {
    struct loop *loop;
    struct node *node;
    void (*stopped_cb)(void *arg);
    void *stopped_arg;
    struct loop_message message;
};

struct nbd_export {
    struct nbd_server *server;
    int disk;                /* the judge's number of it, or -1 */
    struct clerk_copy *copy; /* of the clerk's disk, or NULL */
    void (*removed_cb)(void *arg);
    void *removed_arg;
    struct loop_message message;
};

int nbd_server_new(struct loop *loop, const struct nbd_server_options *options,
                   struct nbd_server **ret_server, struct err *err)
{
    struct nbd_server *server = sim_owned_alloc(sizeof(*server));

    check(!options->addresses[0]);
    *server = (struct nbd_server){.loop = loop, .node = sim_site_user(sim_loop_site(loop))};
    *ret_server = server;
    return 0;
}

static void server_stopped(struct loop_message *message)
{
    struct nbd_server *server = container_of(message, struct nbd_server, message);

    server->stopped_cb(server->stopped_arg);
}

void nbd_server_stop(struct nbd_server *server, void (*stopped_cb)(void *arg), void *arg)
{
    server->stopped_cb = stopped_cb;
    server->stopped_arg = arg;
    server->message.run_cb = server_stopped;
    loop_post(server->loop, &server->message);
}

void nbd_server_free(struct nbd_server *server)
{
    free(server);
}

static struct nbd_export *export_new(struct nbd_server *server, int disk)
{
    struct nbd_export *export;

    sim_alloc_spare(true);
    export = calloc(1, sizeof(*export));
    sim_alloc_spare(false);
    check(export);
    export->server = server;
    export->disk = disk;
    return export;
}

int nbd_export_add(struct nbd_server *server, const struct nbd_export_options *options,
                   struct nbd_export **ret_export)
{
    *ret_export = export_new(server, -1); /* snapshots are read through the engine */
    return 0;
}

int nbd_export_add_volume(struct nbd_server *server, const char *name, struct volume *volume,
                          uint64_t size_bytes, struct nbd_export **ret_export)
{
    struct node *node = server->node;

    check(volume && size_bytes <= volume_size_bytes(volume));
    *ret_export = export_new(server, -1);
    for (unsigned i = 0; i < JUDGE_DISKS; i++) {
        if (strcmp(whole_disk_id(node, i), name) != 0)
            continue;
        check(!node->whole->exports[i]);
        node->whole->exports[i] = (struct door_export *)*ret_export;
        (*ret_export)->disk = (int)i;
        node->may_write[i] = true;
        node->must_close[i] = false;
        sim_trace(node->run->world, node->site, "disk %u is exported", i);
    }
    if ((*ret_export)->disk < 0)
        (*ret_export)->copy = clerk_disk_exported(node, name, *ret_export);
    return 0;
}

static void export_removed(struct loop_message *message)
{
    struct nbd_export *export = container_of(message, struct nbd_export, message);
    void (*removed_cb)(void *arg) = export->removed_cb;
    void *arg = export->removed_arg;

    free(export);
    removed_cb(arg);
}

static void remove_now(struct nbd_export *export)
{
    export->message.run_cb = export_removed;
    loop_post(export->server->loop, &export->message);
}

static void close_event(void *arg)
{
    host_close(arg);
}

void nbd_export_remove(struct nbd_export *export, void (*removed_cb)(void *arg), void *arg)
{
    struct node *node = export->server->node;
    struct sim_world *world = node->run->world;

    export->removed_cb = removed_cb;
    export->removed_arg = arg;
    if (export->copy) {
        clerk_disk_close(export->copy);
        return;
    }
    if (export->disk < 0) {
        remove_now(export);
        return;
    }
    sim_trace(world, node->site, "disk %d is exported no more", export->disk);
    node->may_write[export->disk] = false;
    node->must_close[export->disk] = true;
    sim_after(world, sim_random_below(world, 5 * SIM_MS), close_event, node);
}

void whole_disk_closed(struct node *node, unsigned disk)
{
    struct nbd_export *export = (struct nbd_export *)node->whole->exports[disk];

    check(export && export->removed_cb);
    node->whole->exports[disk] = NULL;
    remove_now(export);
}

void whole_export_closed(struct nbd_export *export)
{
    check(export->removed_cb);
    remove_now(export);
}

/* Its hosts know the size of a disk from the script, which resizes none. */
void nbd_export_grow(struct nbd_export *export, uint64_t size_bytes)
{
}

unsigned nbd_export_connections(const struct nbd_export *export)
{
    return 0;
}
