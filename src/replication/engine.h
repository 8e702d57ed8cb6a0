/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data wing of one site behind one door: disks, streams, snapshots, the link, calls to the
 * peer. The daemon builds it; the control wing reaches it through messages. All calls and callbacks
 * on the engine's loop. Nothing here decides alone: promotion and reprotect are acts of an
 * operator.
 */
#ifndef REPLICATION_ENGINE_H
#define REPLICATION_ENGINE_H

#include "replication/generation.h"
#include "replication/pieces.h"
#include "volume/volume.h"

struct engine;

enum { ENGINE_DISKS_MAX = 128, ENGINE_PEERS_MAX = 8 };

struct engine_peer_options {
    const char *name;    /* "lyon" */
    const char *address; /* to dial; NULL or "": wait to be dialled */
};

struct engine_settings {
    uint64_t interval_ns;        /* between cuts */
    uint64_t stash_memory_bytes; /* a stream */
    uint64_t stash_disk_bytes;
    uint64_t journal_bytes_max;
    uint64_t failover_reserve_bytes;  /* of a target's stream at most; 0: none is kept */
    uint64_t retain_ns, retain_bytes; /* recovery points kept unapplied */
    uint64_t bandwidth_bytes;         /* a second, a stream; 0: no limit */
    bool open_when_peer_silent;       /* on-peer-silent=open */
    uint64_t peer_wait_ns;
    uint64_t snapshot_expiry_ns; /* of R15 layers; 0: never */
    uint64_t snapshot_bytes_max; /* 0: none */
};

/* Reports upward, on the loop; all required. */
struct engine_callbacks {
    /* The disk may be written by hosts here from now on, or not any more, with the reason (told
     * again when the reason changes). The owner adds or removes the export; after each "not any
     * more" it calls engine_disk_closed(), also when there was no export (perhaps from inside). */
    void (*disk_access_cb)(void *arg, const char *disk, bool may_write, const char *why);
    /* The disk is larger, durably: asked for, or as its source is, or the owner did not know. */
    void (*disk_grown_cb)(void *arg, const char *disk, uint64_t size_bytes);
    /* Something in engine_stream_status() changed. */
    void (*stream_changed_cb)(void *arg, const char *stream);
    void (*snapshots_changed_cb)(void *arg, const char *disk);
    void (*peer_cb)(void *arg, const char *peer, bool is_up, const char *why);
    /* A call of the peer's control wing; answer with engine_call_reply(), once. */
    void (*call_cb)(void *arg, const char *peer, uint64_t call, const void *bytes, uint32_t length);
    void *arg;
    /* Within engine_start(), of what engine_new() found; may be NULL. `is_lost`: a snapshot of that
     * disk (or of that id, when its disk is not known) is damaged and was set aside. Else: the
     * files of that stream are there, and nobody opened it. */
    void (*found_cb)(void *arg, const char *id, bool is_lost, const char *why);
};

struct engine_options {
    const char *data_folder;
    const char *site_name;
    const char *link_listen; /* NULL: does not listen */
    const uint8_t *psk;      /* NULL: no TLS (tests and simulation only) */
    size_t psk_length;
    uint64_t heartbeat_ns, silence_ns; /* of links; 0: 5 s, 15 s */
    struct engine_peer_options peers[ENGINE_PEERS_MAX];
    unsigned peer_count;
    struct engine_settings settings;
    struct pieces pieces; /* 0s: the usual ones */
};

/* Makes the folders, reads or makes DATA/site-id. Blocks. Streams and disks are opened by the owner
 * before engine_start(), which starts links. */
int engine_new(struct loop *loop, const struct engine_options *options,
               const struct engine_callbacks *callbacks, struct engine **ret_engine,
               struct err *err);
/* An error: nobody can reach us, but we dial all the same. */
int engine_start(struct engine *engine, struct err *err);
uint16_t engine_link_port(const struct engine *engine); /* listened on; 0: none */
/* Clean stop: exports must be gone; saves exact dirty sets, syncs, ends links; then stopped_cb. */
void engine_stop(struct engine *engine, void (*stopped_cb)(void *arg), void *arg);
void engine_free(struct engine *engine);

/* --- disks ----------------------------------------------------------------------------------- */

struct engine_disk_options {
    const char *id;     /* d-... */
    const char *driver; /* "file", "block" */
    const char *path;   /* NULL: DATA/disks/<id>.raw */
    uint64_t size_bytes;
    bool create;
};

int engine_disk_open(struct engine *engine, const struct engine_disk_options *options,
                     uint64_t *ret_size_bytes, struct err *err);
/* -EBUSY: in a stream. `remove`: the default store's file is deleted (an imported one never). When
 * it is gone, but perhaps not durably, that is an error, and the disk is not open any more; asked
 * again, it goes on there (-ENOENT: it is gone for good). */
int engine_disk_close(struct engine *engine, const char *id, bool remove, struct err *err);
struct volume *engine_disk_volume(struct engine *engine, const char *id); /* NULL: unknown */
/* Its durable size: the volume's may be larger while it grows, and for good when that failed. */
uint64_t engine_disk_bytes(const struct engine *engine, const char *id);
/* May hosts write it here now? If not, `ret_why` says why. */
bool engine_disk_may_write(struct engine *engine, const char *id, const char **ret_why);
/* The owner removed the export that disk_access_cb took away; nothing of hosts is under way. */
void engine_disk_closed(struct engine *engine, const char *id);

/* --- snapshots (layers) ---------------------------------------------------------------------- */

struct engine_snapshot {
    char id[40], disk[40], label[64], reason[64];
    uint64_t created_wall_ns, expires_wall_ns, kept_bytes, size_bytes;
};

unsigned engine_snapshot_count(struct engine *engine, const char *disk);
bool engine_snapshot_at(struct engine *engine, const char *disk, unsigned index,
                        struct engine_snapshot *ret_snapshot);
int engine_snapshot_remove(struct engine *engine, const char *id, struct err *err);
/* Reads (VOLUME_READ, FLUSH) of a snapshot by its id; other requests end with -EPERM. */
void engine_snapshot_submit(struct engine *engine, const char *id, struct volume_request *request);

/* --- streams --------------------------------------------------------------------------------- */

struct engine_stream_disk {
    const char *disk; /* our disk's id */
    /* Of a new stream: the disk held a copy in another stream before, so its blocks are compared by
     * hash, not copied blindly. */
    bool is_seeded;
};

struct engine_stream_options {
    const char *id;        /* pair-... or pg-...; the same at both sites */
    const char *peer;      /* peer's name */
    enum stream_role role; /* SOURCE or TARGET; of a new stream only */
    bool create;           /* new, else its state is read from DATA/streams/<id> */
    struct engine_stream_disk disks[ENGINE_DISKS_MAX]; /* order is the same at both sites */
    unsigned disk_count;
};

/* Once; from inside the call only when memory is too short to remember it. */
typedef void (*engine_done_fn)(void *arg, int error, const char *why);

int engine_stream_open(struct engine *engine, const struct engine_stream_options *options,
                       struct err *err);
/* Ends the stream for good: a target's or promoted one's journal is brought into the base first,
 * then its files go; the disks are ordinary disks. -EUCLEAN: the journal cannot be read, and the
 * disks without it hold other content than was shown: only when it is given up. -ECANCELED: the
 * daemon stops. */
void engine_stream_remove(struct engine *engine, const char *stream, bool give_up_journal,
                          engine_done_fn done_cb, void *arg);
/* At the source: replicate from now on (one_shot: until the first complete epoch, then stop).
 * Durable when done. Peer silence is no error: it goes on when the peer is there. */
void engine_stream_start(struct engine *engine, const char *stream, bool one_shot,
                         engine_done_fn done_cb, void *arg);
/* At the source: no more shipping; the target keeps its last point. */
void engine_stream_stop(struct engine *engine, const char *stream, engine_done_fn done_cb,
                        void *arg);
/* At the target, needs nothing of the peer (R13): point 0 is the newest. -ENODATA: no recovery
 * point. */
void engine_stream_failover(struct engine *engine, const char *stream, uint64_t point,
                            engine_done_fn done_cb, void *arg);
/* At the promoted site (R14, R15). -EHOSTUNREACH: the peer is not there; -EBUSY: exports of the
 * losing side are open. Afterwards nothing is copied until engine_stream_start() at the new source.
 */
void engine_stream_reprotect(struct engine *engine, const char *stream, bool reverse,
                             engine_done_fn done_cb, void *arg);
/* The peer has given this relation up for good. A source ships no more, and waits no more for its
 * peer; `is_fenced`: hosts write at the peer, so it is fenced. Durable when done; nothing to do in
 * other roles. */
void engine_stream_part(struct engine *engine, const char *stream, bool is_fenced,
                        engine_done_fn done_cb, void *arg);
/* An operator's word that this source may open although the peer is silent. */
void engine_stream_force_open(struct engine *engine, const char *stream, const char *reason);

/* Durable when done; disk_grown_cb tells. In a stream: at the target; or at the source, when the
 * target's disk is as large (-EAGAIN, -EHOSTUNREACH); -EBUSY in other roles and in passing states.
 * A size that it has already is no error. Else as store_grow(). */
void engine_disk_grow(struct engine *engine, const char *disk, uint64_t size_bytes,
                      engine_done_fn done_cb, void *arg);

/* `next`: behind what was wiped; is_whole: that was the end of the disk, and all is durable. */
typedef void (*engine_wiped_fn)(void *arg, int error, const char *why, uint64_t next,
                                bool is_whole);
/* A bounded piece of the disk from `offset` (inside it, a multiple of 4096) on becomes zeros;
 * layers keep what they show. Hosts must be kept off. -EBUSY: in a stream, -ENOENT: both from
 * inside. */
void engine_disk_wipe(struct engine *engine, const char *disk, uint64_t offset,
                      engine_wiped_fn done_cb, void *arg);
/* What the disk holds now, durably, becomes a snapshot with that label (export <disk>@<label>); one
 * that was made for the same reason goes first. Hosts must be kept off. -EBUSY: in a stream,
 * -ENOENT: both from inside. */
void engine_disk_keep(struct engine *engine, const char *disk, const char *label,
                      const char *reason, engine_done_fn done_cb, void *arg);

struct engine_stream_status {
    char id[40], peer[64];
    enum stream_role role;
    bool is_started, is_one_shot;
    bool is_connected;    /* handshake of this stream done, data may flow */
    bool has_point;       /* some recovery point exists (target), or was acknowledged (source) */
    bool is_initial;      /* the first complete copy is not done */
    bool is_draining;     /* promoted: journal not yet all in the base */
    bool is_open;         /* false: it failed, or has not ended yet; nothing works until then */
    bool is_waiting_peer; /* source after a restart: exports held until the peer confirms */
    struct generation generation;
    uint64_t epoch_acked;     /* source: newest acknowledged; target: newest committed */
    uint64_t epoch_applied;   /* target */
    uint64_t point_wall_ns;   /* cut time of that epoch; 0: none */
    uint64_t current_wall_ns; /* nothing newer than this is missing from the point, as last heard */
    uint64_t point_age_ns;    /* since then; no jump of a clock makes it less than it is */
    uint64_t backlog_bytes;   /* source: blocks in all sets, in bytes */
    uint64_t total_bytes;     /* sum of the disks */
    uint64_t shipped_bytes;   /* payload sent since the daemon's start */
    uint64_t journal_bytes;   /* target */
    uint64_t journal_needed_bytes; /* target is blocked: needs so much; 0: no */
    char full_disk[40]; /* target is blocked: the store of this disk has no room; "": no */
    char trouble[400];  /* degraded: name, cause, next step; "" when well */
};

bool engine_stream_status(struct engine *engine, const char *stream,
                          struct engine_stream_status *ret_status);
/* Dirty bytes of one disk of the stream at its source, and those of them not yet shipped. */
uint64_t engine_stream_disk_backlog(struct engine *engine, const char *stream, unsigned index,
                                    uint64_t *ret_unshipped);

/* --- calls of the control wing --------------------------------------------------------------- */

typedef void (*engine_reply_fn)(void *arg, int error, const void *bytes, uint32_t length);

/* At most 1 MiB. -EHOSTUNREACH at once when the link is down, -ETIMEDOUT; reply_cb once, never from
 * inside the call. */
void engine_call(struct engine *engine, const char *peer, const void *bytes, uint32_t length,
                 uint64_t timeout_ns, engine_reply_fn reply_cb, void *arg);
void engine_call_reply(struct engine *engine, uint64_t call, const void *bytes, uint32_t length);
bool engine_peer_is_up(struct engine *engine, const char *peer);

struct engine_peer_status {
    char name[64];
    bool is_up;
    char why[320]; /* why it is down */
    uint64_t round_trip_ns, bytes_out, bytes_in;
};

bool engine_peer_status(struct engine *engine, const char *peer,
                        struct engine_peer_status *ret_status);

#endif
