/* SPDX-License-Identifier: Apache-2.0 */
/* The file of a stream's durable truth: DATA/streams/<id>/state, two slots. docs/stream-state.md */
#ifndef REPLICATION_STATE_FILE_H
#define REPLICATION_STATE_FILE_H

#include "io/file.h"
#include "replication/stream_state.h"

struct state_file;

struct state_save {
    void (*done_cb)(struct state_save *save, int error);
    struct list node;
};

/* Opens `folder`/state. `create`: makes it with the content of *state, durably; else fills *state.
 * A missing or damaged file is an error that names it. Blocks. `state` stays the caller's and is
 * what saves write. */
int state_file_open(struct loop *loop, const char *folder, bool create, struct stream_state *state,
                    struct state_file **ret_file, struct err *err);
/* What it says, without taking it over. -ENOENT: there is none; -EBADMSG: it is damaged. Blocks. */
int state_file_peek(struct loop *loop, const char *folder, struct stream_state *ret_state);
/* No save in flight. NULL is fine. */
void state_file_close(struct state_file *file);
struct stream_state *state_file_state(struct state_file *file);

/* Makes the present content of *state durable, then done_cb (never from inside). Saves that wait
 * together share a write. After an error the file is fenced: later saves fail. */
void state_file_save(struct state_file *file, struct state_save *save,
                     void (*done_cb)(struct state_save *save, int error));

#endif
