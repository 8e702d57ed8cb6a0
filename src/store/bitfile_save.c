/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A durable bitmap.
 *
 *  1. `bits` is what the owner set; `durable` is what the newest finished save wrote; while a round
 *     of saves runs, the page images hold what it writes.
 *  2. A round writes, for each page that changed, both copies of the slot that does not hold the
 *     newest durable content, then syncs once. So whatever a crash leaves, one slot of each page is
 *     whole; and once a round has ended, its content is there twice: what a slot without a valid
 *     copy held was never promised, unless two places were damaged.
 *  3. A bit counts as durable only when it is set in `bits`, in `durable`, and in the image under
 *     way if there is one: the round that runs may be about to take it away.
 *  4. The first error of a round fences the file: what its slots hold is unknown from then on.
 *
 * Opening: bitfile_open.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/step.h"
#include "store/bitfile_parts.h"

static uint8_t *page_image(const struct bitfile *file, uint64_t page)
{
    return file->images + page * BITFILE_PAGE_BYTES;
}

void bitfile_close(struct bitfile *file)
{
    if (!file)
        return;
    check_magic(file, BITFILE_MAGIC);
    check(!file->is_round && list_is_empty(&file->waiting) && list_is_empty(&file->running));
    list_remove(&file->task.node);
    if (file->file)
        io_file_close(file->loop, file->file);
    free(file->bits);
    free(file->durable);
    free(file->images);
    free(file->pages);
    file->magic = 0;
    free(file);
}

/* ---- bits in memory ------------------------------------------------------------------------- */

static uint64_t word_index(uint64_t bit)
{
    return bit / 64; /* a page's bits fill whole words, so the pages' words follow each other */
}

static bool words_have(const uint64_t *words, uint64_t bit)
{
    return (le64toh(words[word_index(bit)]) >> bit % 64) & 1;
}

bool bitfile_has(const struct bitfile *file, uint64_t bit)
{
    check_magic(file, BITFILE_MAGIC);
    check(bit < file->bit_count);
    return words_have(file->bits, bit);
}

bool bitfile_has_durable(const struct bitfile *file, uint64_t bit)
{
    uint64_t page = bit / BITFILE_PAGE_BITS, in_page = bit % BITFILE_PAGE_BITS;

    if (!bitfile_has(file, bit) || !words_have(file->durable, bit))
        return false;
    if (!file->pages[page].is_saving)
        return true;
    return page_image(file, page)[BITFILE_SLOT_HEAD + in_page / 8] & (1u << in_page % 8);
}

static void change(struct bitfile *file, uint64_t bit, uint64_t count, bool value)
{
    uint64_t end = bit + count;

    check_magic(file, BITFILE_MAGIC);
    check(bit <= file->bit_count && count <= file->bit_count - bit);
    while (bit < end) {
        uint64_t *word = &file->bits[word_index(bit)];
        uint64_t low = bit % 64, width = end - bit < 64 - low ? end - bit : 64 - low;
        uint64_t mask = (width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1) << low;
        uint64_t old = le64toh(*word), new = value ? old | mask : old & ~mask;
        uint64_t page = bit / BITFILE_PAGE_BITS;

        if (old != new) {
            *word = htole64(new);
            file->pages[page].set_count += (uint32_t)__builtin_popcountll(new);
            file->pages[page].set_count -= (uint32_t)__builtin_popcountll(old);
            bitfile_page_changed(file, page);
        }
        bit += width;
    }
}

void bitfile_set(struct bitfile *file, uint64_t bit, uint64_t count)
{
    change(file, bit, count, true);
}

void bitfile_clear(struct bitfile *file, uint64_t bit, uint64_t count)
{
    change(file, bit, count, false);
}

bool bitfile_next(const struct bitfile *file, uint64_t from, uint64_t *ret_bit)
{
    check_magic(file, BITFILE_MAGIC);
    while (from < file->bit_count) {
        uint64_t page = from / BITFILE_PAGE_BITS;
        uint64_t word;

        if (file->pages[page].set_count == 0) {
            from = (page + 1) * BITFILE_PAGE_BITS;
            continue;
        }
        word = le64toh(file->bits[word_index(from)]) >> from % 64;
        if (word) {
            *ret_bit = from + (uint64_t)__builtin_ctzll(word);
            return true;
        }
        from += 64 - from % 64;
    }
    return false;
}

int bitfile_fence(const struct bitfile *file)
{
    check_magic(file, BITFILE_MAGIC);
    return file->fence;
}

uint64_t bitfile_bit_count(const struct bitfile *file)
{
    check_magic(file, BITFILE_MAGIC);
    return file->bit_count;
}

/* ---- saving --------------------------------------------------------------------------------- */

static void round_begin(struct bitfile *file);

static void end_saves(struct list *saves, int error)
{
    struct list *node;

    while ((node = list_pop(saves)) != NULL) {
        struct bitfile_save *save = list_entry(node, struct bitfile_save, node);

        save->done_cb(save, error);
    }
}

static void move_list(struct list *to, struct list *from)
{
    struct list *node;

    while ((node = list_pop(from)) != NULL)
        list_append(to, node);
}

static void round_end(struct bitfile *file)
{
    int error = file->round_error;
    struct list done;

    check(file->is_round && file->writes_active == 0);
    for (uint64_t i = file->round_from; i < file->round_to; i++) {
        struct bitfile_page *page = &file->pages[i];

        if (!page->is_saving)
            continue;
        if (error < 0)
            continue; /* either content may be the one on disk: promise only what both have */
        page->is_saving = false;
        page->sequence++;
        page->slot = !page->slot;
        memcpy(file->durable + i * BITFILE_PAGE_WORDS, page_image(file, i) + BITFILE_SLOT_HEAD,
               BITFILE_BITS_BYTES);
    }
    if (error < 0)
        file->fence = error;
    list_init(&done);
    move_list(&done, &file->running);
    file->is_round = false;
    if (!list_is_empty(&file->waiting))
        round_begin(file);
    end_saves(&done, error);
}

static void round_synced(struct io_op *op, int64_t result)
{
    step_point("bits-synced");
    struct bitfile *file = container_of(op, struct bitfile, sync);

    check_magic(file, BITFILE_MAGIC);
    if (result < 0)
        file->round_error = (int)result;
    round_end(file);
}

static void round_nothing(struct loop_task *task)
{
    struct bitfile *file = container_of(task, struct bitfile, task);

    check_magic(file, BITFILE_MAGIC);
    round_end(file);
}

static void page_written(struct io_op *op, int64_t result);

/* Starts writes while there are free ones and copies left. */
static void round_write(struct bitfile *file)
{
    while (file->round_next < file->round_to * BITFILE_COPIES && file->round_error == 0) {
        uint64_t index = file->round_next / BITFILE_COPIES;
        unsigned copy = file->round_next % BITFILE_COPIES;
        struct bitfile_write *write = NULL;

        if (!file->pages[index].is_saving) {
            file->round_next++;
            continue;
        }
        for (unsigned i = 0; i < BITFILE_WRITES && !write; i++) {
            if (!file->writes[i].file)
                write = &file->writes[i];
        }
        if (!write)
            return;
        file->round_next++;
        write->file = file;
        write->iov = (struct iovec){page_image(file, index), BITFILE_PAGE_BYTES};
        file->writes_active++;
        io_file_write(file->loop, &write->op, file->file, &write->iov, 1,
                      bitfile_slot_offset(index, !file->pages[index].slot, copy), page_written);
    }
}

static void page_written(struct io_op *op, int64_t result)
{
    struct bitfile_write *write = container_of(op, struct bitfile_write, op);
    struct bitfile *file = write->file;

    check_magic(file, BITFILE_MAGIC);
    check(file->writes_active > 0);
    file->writes_active--;
    write->file = NULL;
    if (result < 0 && file->round_error == 0)
        file->round_error = (int)result;
    round_write(file);
    if (file->writes_active > 0)
        return;
    if (file->round_error < 0)
        round_end(file);
    else {
        step_point("bits-before-sync");
        io_file_sync(file->loop, &file->sync, file->file, round_synced);
    }
}

static void page_freeze(struct bitfile *file, uint64_t index)
{
    struct bitfile_page *page = &file->pages[index];
    uint8_t *image = page_image(file, index);

    page->is_dirty = false;
    page->is_saving = true;
    memcpy(image + BITFILE_SLOT_HEAD, file->bits + index * BITFILE_PAGE_WORDS, BITFILE_BITS_BYTES);
    bitfile_slot_seal(image, file->kind, index, page->sequence + 1);
}

static void round_begin(struct bitfile *file)
{
    bool is_empty = true;

    check(!file->is_round && list_is_empty(&file->running));
    file->is_round = true;
    file->round_error = file->fence;
    move_list(&file->running, &file->waiting);
    file->round_from = file->dirty_from;
    file->round_next = file->round_from * BITFILE_COPIES;
    file->round_to = file->fence < 0 ? file->dirty_from : file->dirty_to;
    for (uint64_t i = file->round_from; i < file->round_to; i++) {
        if (!file->pages[i].is_dirty)
            continue;
        page_freeze(file, i);
        is_empty = false;
    }
    if (file->fence == 0)
        file->dirty_from = file->dirty_to = 0;
    if (is_empty) {
        file->task.run_cb = round_nothing;
        loop_defer(file->loop, &file->task);
        return;
    }
    round_write(file);
}

void bitfile_save(struct bitfile *file, struct bitfile_save *save,
                  void (*done_cb)(struct bitfile_save *save, int error))
{
    check_magic(file, BITFILE_MAGIC);
    check(done_cb != NULL);
    save->done_cb = done_cb;
    list_append(&file->waiting, &save->node);
    if (!file->is_round)
        round_begin(file);
}
