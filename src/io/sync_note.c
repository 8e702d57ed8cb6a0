/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The note of failed syncs (see the header): one page, in the host's byte order, since it never
 * outlives the running kernel.
 *
 *   0 8 magic "VERSOSYN"   8 4 version, 1   12 48 boot id   60 4 era   64 4 a sync has failed
 *
 * Of another boot, or not whole: made anew, with no era. An era begins before the mark that asks
 * for it goes, so a death in between costs one more era and loses nothing.
 */
#include "io/sync_note.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>

#include "base/check.h"
#include "base/log.h"
#include "io/file.h"

enum { NOTE_MAGIC = 0x6e6f7465, NOTE_BYTES = 4096, NOTE_VERSION = 1, BOOT_ID_SIZE = 48 };

struct page {
    struct head {
        char magic[8];
        uint32_t version;
        char boot_id[BOOT_ID_SIZE];
    } head;
    uint32_t era;
    _Atomic uint32_t has_failed;
};

struct sync_note {
    uint32_t magic;
    struct loop *loop;
    struct page *page;
    bool is_distrusting;
    char boot_id[BOOT_ID_SIZE + 12];
};

_Static_assert(sizeof(struct page) <= NOTE_BYTES, "fits");

static void fill_head(struct loop *loop, struct head *ret_head)
{
    memset(ret_head, 0, sizeof(*ret_head));
    memcpy(ret_head->magic, "VERSOSYN", 8);
    ret_head->version = NOTE_VERSION;
    snprintf(ret_head->boot_id, sizeof(ret_head->boot_id), "%s", loop_boot_id(loop));
}

static void take(struct page *page, const struct head *head)
{
    if (memcmp(&page->head, head, sizeof(*head)) != 0) {
        memset(page, 0, sizeof(*page));
        atomic_signal_fence(memory_order_seq_cst);
        page->head = *head; /* last: without it nothing counts */
    }
    if (atomic_load(&page->has_failed) != 0) {
        page->era++;
        atomic_store(&page->has_failed, 0);
    }
}

int sync_note_open(struct loop *loop, const char *path, struct sync_note **ret_note,
                   struct err *err)
{
    struct sync_note *note = calloc(1, sizeof(*note));
    struct head head;
    void *at;
    int error;

    if (note == NULL)
        return err_set(err, -ENOMEM, "no memory");
    error = io_map_open(loop, path, NOTE_BYTES, &at, err);
    if (error != 0) {
        free(note);
        return error;
    }
    *note = (struct sync_note){.magic = NOTE_MAGIC, .loop = loop, .page = at};
    fill_head(loop, &head);
    take(note->page, &head);
    note->is_distrusting = note->page->era > 0;
    if (note->is_distrusting)
        snprintf(note->boot_id, sizeof(note->boot_id), "%s+%u", head.boot_id, note->page->era);
    else
        snprintf(note->boot_id, sizeof(note->boot_id), "%s", head.boot_id);
    if (note->is_distrusting)
        log_warning("io",
                    "a sync failed since this machine was started (%s): every file is read "
                    "from its device again; unflushed writes of then may be gone",
                    path);
    *ret_note = note;
    return 0;
}

void sync_note_close(struct sync_note *note)
{
    if (note == NULL)
        return;
    check_magic(note, NOTE_MAGIC);
    io_map_close(note->loop, note->page, NOTE_BYTES);
    note->magic = 0;
    free(note);
}

void sync_note_failed(struct sync_note *note)
{
    check_magic(note, NOTE_MAGIC);
    atomic_store(&note->page->has_failed, 1);
}

bool sync_note_is_distrusting(const struct sync_note *note)
{
    check_magic(note, NOTE_MAGIC);
    return note->is_distrusting;
}

const char *sync_note_boot_id(const struct sync_note *note)
{
    check_magic(note, NOTE_MAGIC);
    return note->boot_id;
}
