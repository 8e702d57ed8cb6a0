/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The snapshot layers of a site's disks: made at a reprotect of the losing side (R15), kept while
 * the base moves on (R11: it is the volumes' preserver), read by read-only exports, removed by
 * people or by age.
 */
#ifndef REPLICATION_SNAPSHOTS_H
#define REPLICATION_SNAPSHOTS_H

#include "journal/layer.h"
#include "volume/base_write.h"

struct snapshots;

/* Opens DATA/layers; layers of disks not yet attached to a volume wait. What is damaged is set
 * aside (<id>.lost), and what has expired and cannot be read; what else cannot be read, which may
 * pass, keeps its disk from being attached, or, when not even its disk is known, fails here.
 * changed_cb: list of a disk. */
int snapshots_open(struct loop *loop, const char *folder,
                   void (*changed_cb)(void *arg, const char *disk), void *arg,
                   struct snapshots **ret_snapshots, struct err *err);
void snapshots_close(struct snapshots *snapshots); /* nothing in flight */
/* Calls back for each that was damaged and set aside, once; its disk, or else its own id. */
void snapshots_tell_lost(struct snapshots *snapshots,
                         void (*lost_cb)(void *arg, const char *disk, const char *why), void *arg);

/* Ties a disk's layers to its volume (sets the volume's preserver) and unties them. */
int snapshots_attach(struct snapshots *snapshots, const char *disk, struct volume *volume,
                     struct err *err);
void snapshots_detach(struct snapshots *snapshots, const char *disk);
/* Is a read of one of its layers under way? Then its volume must stay. */
bool snapshots_is_read(const struct snapshots *snapshots, const char *disk);

/* Makes a layer of what the base holds now, durably. No base write may be under way, and no overlay
 * may hold blocks (drained). */
int snapshots_make(struct snapshots *snapshots, const struct layer_description *description,
                   struct err *err);
int snapshots_remove(struct snapshots *snapshots, const char *id, struct err *err);
/* Removes what has expired; call it now and then. */
void snapshots_expire(struct snapshots *snapshots, uint64_t wall_ns);

unsigned snapshots_count(const struct snapshots *snapshots, const char *disk);
/* NULL past the end. */
const struct layer *snapshots_at(const struct snapshots *snapshots, const char *disk,
                                 unsigned index);

/* VOLUME_READ and VOLUME_FLUSH of a layer by id: kept blocks from the layer, others from the base
 * under the shared range lock. Others end with -EPERM, unknown ids with -ENOENT. */
void snapshots_submit(struct snapshots *snapshots, const char *id, struct volume_request *request);

#endif
