/* SPDX-License-Identifier: Apache-2.0 */
/* What the units behind engine.h share: engine_site.c (links, disks, calls), engine_streams.c and
 * removal.c. */
#ifndef REPLICATION_ENGINE_PARTS_H
#define REPLICATION_ENGINE_PARTS_H

#include <limits.h>

#include "replication/engine.h"
#include "replication/link_call.h"
#include "replication/link_listener.h"
#include "replication/site_disk.h"
#include "replication/stream.h"

enum { ENGINE_MAGIC = 0x656e676e };

struct peer {
    struct engine *engine;
    unsigned index;
    char name[64], address[128];
    struct link *link;
    struct link_call_desk *calls;
    bool is_up;
};

struct engine {
    uint32_t magic;
    struct loop *loop;
    char folder[PATH_MAX - 256];
    char site_name[64], listen[128];
    uint64_t site_id;
    struct engine_settings settings;
    struct pieces pieces;
    struct engine_callbacks callbacks;
    struct peer peers[ENGINE_PEERS_MAX];
    unsigned peer_count;
    struct link_listener *listener;
    char listen_why[120]; /* why there is none */
    struct snapshots *snapshots;
    struct list disks, streams, claims;
    struct loop_task tell;
    struct loop_timer expiry;
    bool is_stopping;
    bool is_ending_streams; /* stop_count counts each of them */
    unsigned stop_count;    /* streams, then links, that are still ending */
    void (*stopped_cb)(void *arg);
    void *stopped_arg;
};

struct site_disk *engine_find_disk(const struct engine *engine, const char *id);
struct stream *engine_find_stream(const struct engine *engine, const char *id);
struct peer *engine_find_peer(struct engine *engine, const char *name);
void engine_judge_disk(struct engine *engine, struct site_disk *disk);
/* One of those that the stop waits for has ended. */
void engine_stop_goes_on(struct engine *engine);
/* The owner hears of it in this turn of the loop. */
void engine_tell_soon(struct engine *engine);

/* What the disk holds becomes a snapshot, once for each `reason`: one that is there stays, or
 * (`replaces`) goes first. keeping.c */
int keeping_make(struct engine *engine, const char *disk, const char *label, const char *reason,
                 bool replaces, struct err *err);

#endif
