/* SPDX-License-Identifier: Apache-2.0 */
/* Beginning and end of a stream at one site. */
#ifndef REPLICATION_STREAM_LIFE_H
#define REPLICATION_STREAM_LIFE_H

#include "replication/stream.h"

struct stream_open_options {
    const char *id, *peer;
    const char *folder; /* DATA/streams/<id> */
    enum stream_role role;
    bool create;
    struct link *link;
    unsigned disk_count;
    const char *disks[STREAM_DISKS_MAX];
    bool is_seeded[STREAM_DISKS_MAX];
    struct volume *volumes[STREAM_DISKS_MAX];
    stream_step_fn opened_cb; /* its parts are there, or trouble says why not */
};

/* Reads or makes the state; the parts follow behind, hosts held meanwhile: then is_open, or trouble
 * is set. -EEXIST, -ENOENT, -EINVAL (other disks than before). Blocks. */
int stream_open(struct loop *loop, const struct stream_open_options *options,
                const struct stream_settings *settings, const struct stream_callbacks *callbacks,
                struct stream **ret_stream, struct err *err);
/* Takes the parts away. `save_dirty`: a clean stop, exact sets are saved; else they are forgotten.
 * `bring_home`: the journal goes into the base first. done_cb; then stream_free(). Once. */
void stream_end(struct stream *stream, bool save_dirty, bool bring_home, stream_done_fn done_cb,
                void *arg);
/* An end that is under way does not wait for the journal to be in the base (any longer). 0: the
 * journal is given up; else the end has that error, and saves what a restart needs. */
void stream_end_hurry(struct stream *stream, int error);
/* What it shows is not all in its disks: without its journal they hold something else. */
bool stream_needs_journal(const struct stream *stream);
void stream_free(struct stream *stream);
/* Removes `folder` and what is in it; a missing one is fine. Blocks. */
int stream_remove_files(struct loop *loop, const char *folder);

#endif
