/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which exports there are: a disk's while control has attached it and the engine lets hosts write,
 * and a read-only `<disk>@<generation>` for each snapshot. All on the data loop.
 */
#ifndef DAEMON_WING_EXPORTS_H
#define DAEMON_WING_EXPORTS_H

#include "nbd/server.h"
#include "replication/engine.h"

struct wing_exports;

struct wing_exports *wing_exports_new(struct loop *loop, struct nbd_server *server);
void wing_exports_free(struct wing_exports *exports); /* none left: see wing_exports_end() */
/* Once, before anything else is called. */
void wing_exports_set_engine(struct wing_exports *exports, struct engine *engine);

/* Disks that the engine has open. */
int wing_exports_add_disk(struct wing_exports *exports, const char *disk);
void wing_exports_remove_disk(struct wing_exports *exports, const char *disk); /* detached before */

/* The disk has grown. */
void wing_exports_grow(struct wing_exports *exports, const char *disk);

typedef void (*wing_done_fn)(void *arg);

/* 0 (*ret_is_exported, *ret_why: why not yet), -ENOENT, -EALREADY. */
int wing_exports_attach(struct wing_exports *exports, const char *disk, bool *ret_is_exported,
                        const char **ret_why);
/* done_cb when the export is gone; -ENOENT, -EBUSY (a detach is under way) without it. */
int wing_exports_detach(struct wing_exports *exports, const char *disk, wing_done_fn done_cb,
                        void *arg);
/* Do hosts reach it, or might they in a moment? */
bool wing_exports_is_open(const struct wing_exports *exports, const char *disk);
/* engine_callbacks.disk_access_cb: exports come and go; engine_disk_closed() is called when gone.
 */
void wing_exports_access(struct wing_exports *exports, const char *disk, bool may_write,
                         const char *why);
/* engine_callbacks.snapshots_changed_cb. */
void wing_exports_snapshots(struct wing_exports *exports, const char *disk);
/* Takes the export of a snapshot away, then done_cb. -ENOENT: it has none; -EBUSY: a client reads
 * it. */
int wing_exports_drop_snapshot(struct wing_exports *exports, const char *snapshot,
                               wing_done_fn done_cb, void *arg);
/* All exports go; none comes any more; then done_cb. */
void wing_exports_end(struct wing_exports *exports, wing_done_fn done_cb, void *arg);

struct wing_disk_facts {
    const char *id, *why;
    bool is_attached, may_write, is_exported;
    unsigned connections;
};

unsigned wing_exports_disk_count(const struct wing_exports *exports);
void wing_exports_disk_at(const struct wing_exports *exports, unsigned index,
                          struct wing_disk_facts *ret_facts);

#endif
