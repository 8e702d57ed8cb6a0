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
 * The three arrays are large and come from calloc, which for such sizes gives untouched pages: a
 * bitmap of a large disk with few bits set costs little memory.
 */
#include "store/bitfile.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/step.h"
#include "store/bitfile_format.h"

enum {
    BITFILE_MAGIC = 0x76626974,
    WRITE_COUNT = 8,
    LOAD_PAGES = 64,
    PAGE_COPIES = BITFILE_SLOTS * BITFILE_COPIES, /* images of a page in the file, side by side */
};

struct bitfile_page {
    uint64_t sequence; /* of the newest durable slot; 0: never saved */
    uint32_t set_count;
    uint8_t slot; /* which one that is */
    bool is_dirty;
    bool is_saving;   /* in the round that runs */
    bool is_doubtful; /* when it was read, a slot had no valid copy: torn, or rotten in both */
};

struct page_write {
    struct io_op op;
    struct iovec iov;
    struct bitfile *file;
};

struct bitfile {
    uint32_t magic;
    struct loop *loop;
    struct io_file *file;
    char path[PATH_MAX];
    char kind[5];
    uint64_t bit_count, page_count;
    uint64_t *bits, *durable; /* BITFILE_PAGE_WORDS a page, little-endian */
    uint8_t *images;          /* BITFILE_PAGE_BYTES a page */
    struct bitfile_page *pages;
    uint64_t dirty_from, dirty_to; /* all dirty pages lie in [from, to) */
    struct list waiting, running;
    struct page_write writes[WRITE_COUNT];
    unsigned writes_active;
    uint64_t round_from, round_to; /* pages of the round: [from, to) */
    uint64_t round_next;           /* copies of them that are begun, from the first page's */
    int round_error;
    bool is_round;
    bool may_differ; /* in its number of bits from what was asked for, when it is opened */
    int fence;       /* the error that fenced the file, 0: none */
    struct loop_task task;
    struct io_op sync;
};

static uint8_t *page_image(const struct bitfile *file, uint64_t page)
{
    return file->images + page * BITFILE_PAGE_BYTES;
}

static uint64_t page_bit_max(const struct bitfile *file, uint64_t page)
{
    uint64_t left = file->bit_count - page * BITFILE_PAGE_BITS;

    return left < BITFILE_PAGE_BITS ? left : BITFILE_PAGE_BITS;
}

static void page_changed(struct bitfile *file, uint64_t page)
{
    file->pages[page].is_dirty = true;
    if (file->dirty_from == file->dirty_to) {
        file->dirty_from = page;
        file->dirty_to = page + 1;
    }
    if (page < file->dirty_from)
        file->dirty_from = page;
    if (page >= file->dirty_to)
        file->dirty_to = page + 1;
}

/* ---- opening -------------------------------------------------------------------------------- */

/* Files of intent bits are never empty: a copy of zeros is a damaged one. The other kinds are
 * large, and stay sparse. */
static bool is_sealed(const char *kind)
{
    return strcmp(kind, "INTN") == 0;
}

/* Both slots of every page from one on, in both copies, with all its bits set, or none. */
static int fill_file(struct loop *loop, struct io_file *file, const char *kind, uint64_t page,
                     uint64_t bit_count, bool is_full)
{
    int error = 0;

    for (; page < bitfile_page_count(bit_count) && error >= 0; page++) {
        uint8_t slot[BITFILE_PAGE_BYTES] = {0};
        uint64_t left = bit_count - page * BITFILE_PAGE_BITS;
        uint64_t bits = left < BITFILE_PAGE_BITS ? left : BITFILE_PAGE_BITS;

        memset(slot + BITFILE_SLOT_HEAD, is_full ? 0xff : 0, bits / 8);
        if (is_full && bits % 8 != 0)
            slot[BITFILE_SLOT_HEAD + bits / 8] = (uint8_t)((1u << bits % 8) - 1);
        for (unsigned i = 0; i < PAGE_COPIES && error >= 0; i++) {
            unsigned which = i % BITFILE_SLOTS;

            bitfile_slot_seal(slot, kind, page, which + 1);
            error = io_file_write_now(loop, file, slot, sizeof(slot),
                                      bitfile_slot_offset(page, which, i / BITFILE_SLOTS));
        }
    }
    return error;
}

static int make_file(struct loop *loop, const char *path, const char *kind, uint64_t bit_count,
                     bool is_full, struct err *err)
{
    char new_path[PATH_MAX], folder[PATH_MAX];
    uint8_t header[BITFILE_PAGE_BYTES];
    struct io_file *file;
    char *slash;
    int error;

    if (snprintf(new_path, sizeof(new_path), "%s.new", path) >= (int)sizeof(new_path))
        return err_set(err, -ENAMETOOLONG, "%s: the path is too long", path);
    snprintf(folder, sizeof(folder), "%s", path);
    slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder ? 1 : 0] = '\0';
    bitfile_header_encode(header, kind, bit_count);
    error = io_file_open(loop, new_path, IO_CREATE, &file, err);
    if (error < 0)
        return error;
    error = io_file_resize_now(loop, file, 0);
    if (error == 0)
        error = io_file_resize_now(loop, file, bitfile_bytes(bit_count));
    if (error == 0)
        error = io_file_write_now(loop, file, header, sizeof(header), 0);
    if (error >= 0 && (is_full || is_sealed(kind)))
        error = fill_file(loop, file, kind, 0, bit_count, is_full);
    if (error >= 0)
        error = io_file_sync_now(loop, file);
    io_file_close(loop, file);
    if (error >= 0) {
        step_point("bitfile-before-rename");
        error = io_rename(loop, new_path, path);
    }
    if (error >= 0)
        error = io_dir_sync(loop, slash ? folder : ".");
    if (error < 0)
        return err_set(err, error, "make %s: %s", path, err_name(error));
    return 0;
}

/* What was read of a page: its images as they lie in the file, slot after slot, copy after copy. */
struct page_images {
    const uint8_t *bytes;
    uint64_t sequence[PAGE_COPIES];
    bool is_valid[PAGE_COPIES];
    int best; /* the valid one with the highest sequence; -1: there is none */
};

static const uint8_t *image_at(const struct page_images *images, unsigned i)
{
    return images->bytes + i * (size_t)BITFILE_PAGE_BYTES;
}

/* false: no image is valid, or two that carry the highest sequence differ. */
static bool judge_images(const struct bitfile *file, uint64_t index, struct page_images *images)
{
    images->best = -1;
    for (unsigned i = 0; i < PAGE_COPIES; i++) {
        images->is_valid[i] = bitfile_slot_check(image_at(images, i), file->kind, index,
                                                 page_bit_max(file, index), &images->sequence[i]);
        if (images->is_valid[i] &&
            (images->best < 0 || images->sequence[i] > images->sequence[images->best]))
            images->best = (int)i;
    }
    for (unsigned i = 0; i < PAGE_COPIES && images->best >= 0; i++) {
        if (images->is_valid[i] && images->sequence[i] == images->sequence[images->best] &&
            memcmp(image_at(images, i), image_at(images, (unsigned)images->best),
                   BITFILE_PAGE_BYTES) != 0)
            return false;
    }
    return images->best >= 0;
}

/* Has neither copy of that slot anything to say? */
static bool is_slot_lost(const struct bitfile *file, const struct page_images *images,
                         unsigned slot)
{
    for (unsigned i = slot; i < PAGE_COPIES; i += BITFILE_SLOTS) {
        if (images->is_valid[i] && (images->sequence[i] > 0 || !is_sealed(file->kind)))
            return false;
    }
    return true;
}

/* What counts from here on stands in both copies of its slot: a kill may have come between the two,
 * or one is damaged. Where there is no room for it the next save sees to it. */
static int mend_page(struct bitfile *file, uint64_t index, const struct page_images *images)
{
    unsigned best = (unsigned)images->best, slot = best % BITFILE_SLOTS;
    int error = 0;

    for (unsigned i = slot; i < PAGE_COPIES && error >= 0; i += BITFILE_SLOTS) {
        if (images->is_valid[i] && images->sequence[i] == images->sequence[best])
            continue;
        error =
            io_file_write_now(file->loop, file->file, image_at(images, best), BITFILE_PAGE_BYTES,
                              bitfile_slot_offset(index, slot, i / BITFILE_SLOTS));
    }
    if (error != -ENOSPC)
        return error;
    page_changed(file, index);
    return 0;
}

/* Takes the newest valid image of a page. `bytes`: all of them. */
static int load_page(struct bitfile *file, uint64_t index, const uint8_t *bytes, struct err *err)
{
    struct bitfile_page *page = &file->pages[index];
    uint64_t *bits = file->bits + index * BITFILE_PAGE_WORDS;
    struct page_images images = {.bytes = bytes};
    int error;

    if (!judge_images(file, index, &images))
        return err_set(err, -EBADMSG, "%s: all copies at offset %llu are damaged", file->path,
                       (unsigned long long)bitfile_slot_offset(index, 0, 0));
    page->is_doubtful = is_slot_lost(file, &images, 0) || is_slot_lost(file, &images, 1);
    page->slot = (unsigned)images.best % BITFILE_SLOTS;
    page->sequence = images.sequence[images.best];
    if (page->sequence == 0)
        return 0;
    memcpy(bits, image_at(&images, (unsigned)images.best) + BITFILE_SLOT_HEAD, BITFILE_BITS_BYTES);
    memcpy(file->durable + index * BITFILE_PAGE_WORDS, bits, BITFILE_BITS_BYTES);
    for (unsigned i = 0; i < BITFILE_PAGE_WORDS; i++)
        page->set_count += (uint32_t)__builtin_popcountll(bits[i]);
    error = mend_page(file, index, &images);
    return error < 0 ? err_set(err, error, "write %s: %s", file->path, err_name(error)) : 0;
}

static int load_pages(struct bitfile *file, struct err *err)
{
    const size_t page_bytes = PAGE_COPIES * (size_t)BITFILE_PAGE_BYTES;
    uint8_t *buffer = malloc(LOAD_PAGES * page_bytes);
    int error = buffer ? 0 : err_set(err, -ENOMEM, "open %s: memory is short", file->path);

    for (uint64_t from = 0; error == 0 && from < file->page_count; from += LOAD_PAGES) {
        uint64_t left = file->page_count - from, count = left < LOAD_PAGES ? left : LOAD_PAGES;

        error = io_file_read_now(file->loop, file->file, buffer, count * page_bytes,
                                 bitfile_slot_offset(from, 0, 0));
        if (error < 0)
            err_set(err, error, "read %s: %s", file->path, err_name(error));
        else
            error = 0;
        for (uint64_t i = 0; error == 0 && i < count; i++)
            error = load_page(file, from + i, buffer + i * page_bytes, err);
    }
    free(buffer);
    return error;
}

/* More room, zeroed behind what is there; -ENOMEM: perhaps in some arrays only, which is no harm.
 */
static int make_room(struct bitfile *file, uint64_t pages)
{
    const struct {
        void **at;
        size_t size;
    } arrays[] = {{(void **)&file->bits, BITFILE_BITS_BYTES},
                  {(void **)&file->durable, BITFILE_BITS_BYTES},
                  {(void **)&file->images, BITFILE_PAGE_BYTES},
                  {(void **)&file->pages, sizeof(*file->pages)}};

    for (unsigned i = 0; i < ARRAY_COUNT(arrays) && pages > file->page_count; i++) {
        void *to = calloc(pages, arrays[i].size);

        if (!to)
            return -ENOMEM;
        memcpy(to, *arrays[i].at, file->page_count * arrays[i].size);
        free(*arrays[i].at);
        *arrays[i].at = to;
    }
    return 0;
}

/* Of a header that cannot be used. */
static int header_error(const uint8_t *header)
{
    if (!bitfile_header_is_whole(header))
        return -EUCLEAN;
    return bitfile_header_is_known(header) ? -EINVAL : -EPROTONOSUPPORT;
}

static int load_header(struct bitfile *file, struct err *err)
{
    uint8_t header[BITFILE_PAGE_BYTES];
    uint64_t bit_count = 0, has_bytes = 0;
    const char *wrong;
    int error = io_file_size(file->loop, file->file, &has_bytes);

    if (error >= 0 && has_bytes >= sizeof(header))
        error = io_file_read_now(file->loop, file->file, header, sizeof(header), 0);
    if (error < 0)
        return err_set(err, error, "read %s: %s", file->path, err_name(error));
    if (has_bytes < sizeof(header))
        return err_set(err, -EUCLEAN, "%s: it is too short for a bitfile", file->path);
    wrong = bitfile_header_decode(header, file->kind, &bit_count);
    if (wrong)
        return err_set(err, header_error(header), "%s: %s", file->path, wrong);
    if (bit_count != file->bit_count && !file->may_differ)
        return err_set(err, -EINVAL, "%s: it has %llu bits, %llu are expected", file->path,
                       (unsigned long long)bit_count, (unsigned long long)file->bit_count);
    /* A growth that was cut off may have left it longer. */
    if (has_bytes < bitfile_bytes(bit_count) ||
        (has_bytes > bitfile_bytes(bit_count) && !file->may_differ))
        return err_set(err, -EUCLEAN, "%s: it has %llu bytes, %llu are expected", file->path,
                       (unsigned long long)has_bytes, (unsigned long long)bitfile_bytes(bit_count));
    if (make_room(file, bitfile_page_count(bit_count)) < 0) /* no more than the file has */
        return err_set(err, -ENOMEM, "open %s: memory is short", file->path);
    file->bit_count = bit_count;
    file->page_count = bitfile_page_count(bit_count);
    return 0;
}

static struct bitfile *bitfile_allocate(struct loop *loop, const char *path, const char *kind,
                                        uint64_t bit_count)
{
    struct bitfile *file = calloc(1, sizeof(*file));

    if (!file)
        return NULL;
    file->magic = BITFILE_MAGIC;
    file->loop = loop;
    file->bit_count = bit_count;
    file->page_count = bitfile_page_count(bit_count);
    snprintf(file->path, sizeof(file->path), "%s", path);
    snprintf(file->kind, sizeof(file->kind), "%s", kind);
    list_init(&file->waiting);
    list_init(&file->running);
    list_init(&file->task.node);
    file->bits = calloc(file->page_count, BITFILE_BITS_BYTES);
    file->durable = calloc(file->page_count, BITFILE_BITS_BYTES);
    file->images = calloc(file->page_count, BITFILE_PAGE_BYTES);
    file->pages = calloc(file->page_count, sizeof(*file->pages));
    if (file->bits && file->durable && file->images && file->pages)
        return file;
    bitfile_close(file);
    return NULL;
}

static int open_bitfile(struct loop *loop, const char *path, const char *kind, uint64_t bit_count,
                        bool may_differ, struct bitfile **ret_file, struct err *err)
{
    struct bitfile *file;
    int error;

    check(bit_count > 0 && bit_count <= BITFILE_BIT_COUNT_MAX && strlen(kind) == 4);
    if (strlen(path) >= sizeof(file->path))
        return err_set(err, -ENAMETOOLONG, "%s: the path is too long", path);
    file = bitfile_allocate(loop, path, kind, bit_count);
    if (!file)
        return err_set(err, -ENOMEM, "open %s: memory is short", path);
    file->may_differ = may_differ;
    error = io_file_open(loop, path, IO_LOCK, &file->file, err);
    if (error == -ENOENT) {
        error = make_file(loop, path, kind, bit_count, false, err);
        if (error == 0)
            error = io_file_open(loop, path, IO_LOCK, &file->file, err);
    }
    if (error < 0)
        file->file = NULL;
    if (error == 0)
        error = load_header(file, err);
    if (error == 0)
        error = load_pages(file, err);
    if (error == 0) {
        /* An earlier life may have been killed before its sync: what we read counts as durable from
         * here on, and the other slot will be written next. */
        error = io_file_sync_now(loop, file->file);
        if (error < 0)
            err_set(err, error, "sync %s: %s", path, err_name(error));
    }
    if (error < 0)
        bitfile_close(file);
    else
        *ret_file = file;
    return error;
}

int bitfile_open(struct loop *loop, const char *path, const char *kind, uint64_t bit_count,
                 struct bitfile **ret_file, struct err *err)
{
    return open_bitfile(loop, path, kind, bit_count, false, ret_file, err);
}

/* The header comes last: it lies in one sector, so a crash leaves the old or the new one. What lies
 * beyond the pages that it counts may be anything. */
int bitfile_grow(struct bitfile *file, uint64_t bit_count, struct err *err)
{
    uint64_t pages = bitfile_page_count(bit_count);
    uint8_t header[BITFILE_PAGE_BYTES];
    int error = 0;

    check_magic(file, BITFILE_MAGIC);
    check(is_sealed(file->kind) && bit_count >= file->bit_count);
    check(bit_count <= BITFILE_BIT_COUNT_MAX && !file->is_round);
    check(list_is_empty(&file->waiting) && list_is_empty(&file->running));
    if (file->fence != 0)
        return err_set(err, -EIO, "%s could not be stored before", file->path);
    if (make_room(file, pages) < 0)
        return err_set(err, -ENOMEM, "grow %s: memory is short", file->path);
    if (pages > file->page_count)
        error = io_file_resize_now(file->loop, file->file, bitfile_bytes(bit_count));
    if (error >= 0)
        error = fill_file(file->loop, file->file, file->kind, file->page_count, bit_count, false);
    if (error >= 0)
        error = io_file_sync_now(file->loop, file->file);
    if (error < 0)
        return err_set(err, error, "grow %s: %s", file->path, err_name(error));
    step_point("bitfile-before-header");
    bitfile_header_encode(header, file->kind, bit_count);
    error = io_file_write_now(file->loop, file->file, header, sizeof(header), 0);
    if (error >= 0)
        error = io_file_sync_now(file->loop, file->file);
    if (error < 0) {
        file->fence = error;
        return err_set(err, error, "grow %s: %s", file->path, err_name(error));
    }
    for (uint64_t page = file->page_count; page < pages; page++)
        file->pages[page] = (struct bitfile_page){.sequence = 2, .slot = 1};
    file->page_count = pages;
    file->bit_count = bit_count;
    return 0;
}

int bitfile_open_grown(struct loop *loop, const char *path, const char *kind, uint64_t bit_count,
                       struct bitfile **ret_file, struct err *err)
{
    struct bitfile *file;
    uint64_t has;
    int error = open_bitfile(loop, path, kind, bit_count, true, &file, err);

    if (error < 0)
        return error;
    has = bitfile_bit_count(file);
    if (has < bit_count)
        error = bitfile_grow(file, bit_count, err);
    if (error < 0) {
        bitfile_close(file);
        return error;
    }
    if (has < bit_count)
        bitfile_set(file, has, bit_count - has);
    *ret_file = file;
    return 0;
}

int bitfile_make_full(struct loop *loop, const char *path, const char *kind, uint64_t bit_count,
                      struct err *err)
{
    check(bit_count > 0 && bit_count <= BITFILE_BIT_COUNT_MAX && strlen(kind) == 4);
    return make_file(loop, path, kind, bit_count, true, err);
}

bool bitfile_fill_doubtful(struct bitfile *file)
{
    bool is_any = false;

    check_magic(file, BITFILE_MAGIC);
    for (uint64_t page = 0; page < file->page_count; page++) {
        if (!file->pages[page].is_doubtful)
            continue;
        file->pages[page].is_doubtful = false;
        is_any = true;
        bitfile_set(file, page * BITFILE_PAGE_BITS, page_bit_max(file, page));
    }
    return is_any;
}

bool bitfile_is_there(struct loop *loop, const char *path)
{
    struct io_file *file;
    int error = io_file_open(loop, path, IO_READ_ONLY, &file, NULL);

    if (error == 0)
        io_file_close(loop, file);
    return error != -ENOENT;
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
            page_changed(file, page);
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
        struct page_write *write = NULL;

        if (!file->pages[index].is_saving) {
            file->round_next++;
            continue;
        }
        for (unsigned i = 0; i < WRITE_COUNT && !write; i++) {
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
    struct page_write *write = container_of(op, struct page_write, op);
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
