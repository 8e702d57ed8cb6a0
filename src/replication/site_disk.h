/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disks of a site, and what their owner (who exports them) was told about writing. Whether a
 * disk may be written is the engine's to say; this remembers it, and whether an export that must go
 * is gone.
 */
#ifndef REPLICATION_SITE_DISK_H
#define REPLICATION_SITE_DISK_H

#include <limits.h>

#include "replication/snapshots.h"

struct stream;

struct site_disk {
    struct list node;
    char id[40];
    char path[PATH_MAX]; /* of a default store; else "" */
    struct volume *volume;
    struct stream *stream; /* or NULL */
    bool may_write;
    bool told_may_write; /* the last word that the owner heard (at first: he may) */
    bool is_news;        /* he has not heard the present one, or its reason */
    bool has_grown;      /* he has not heard of it */
    bool is_closing;     /* he heard "not any more" and has not answered */
    char why[400];
};

struct site_disk_options {
    const char *folder; /* DATA */
    const char *id, *driver;
    const char *path; /* NULL or "": DATA/disks/<id>.raw */
    uint64_t size_bytes;
    bool create;
};

/* Opens the store, makes the volume, ties its snapshots. Blocks. */
int site_disk_open(struct loop *loop, const struct site_disk_options *options,
                   struct snapshots *snapshots, struct site_disk **ret_disk, struct err *err);
/* -EBUSY: requests are under way. `remove`: a default store's file and its snapshots go. With
 * another error the disk stays open, unless its file has gone, perhaps not durably. */
int site_disk_close(struct loop *loop, struct site_disk *disk, struct snapshots *snapshots,
                    bool remove, struct err *err);
/* Those of a disk that goes, whether it is open or not. */
void site_disk_remove_snapshots(struct snapshots *snapshots, const char *disk);
/* True: the owner must be told (is_news); also when only the reason changed. */
bool site_disk_set(struct site_disk *disk, bool may_write, const char *why);
/* May hosts still reach it, as far as we know? */
bool site_disk_is_exported(const struct site_disk *disk);

#endif
