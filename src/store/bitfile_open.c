/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making, opening and growing a bitfile. Format: docs/bitfile.md.
 *
 * The three arrays are large and come from calloc, which for such sizes gives untouched pages; and
 * what lies in a hole of the file was never saved and is not read. So a bitmap of a large disk with
 * few bits set costs little memory and little time: one of 64 TiB has 8 GiB of holes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/log.h"
#include "base/step.h"
#include "store/bitfile_parts.h"

enum {
    LOAD_PAGES = 64,
    PAGE_COPIES = BITFILE_SLOTS * BITFILE_COPIES, /* images of a page in the file, side by side */
};

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
    if (error < 0) {
        io_unlink(loop, new_path);
        return err_set(err, error, "make %s: %s", path, err_name(error));
    }
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
        images->is_valid[i] =
            bitfile_slot_check(image_at(images, i), file->kind, index,
                               bitfile_page_bits(file, index), &images->sequence[i]);
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
    bitfile_page_changed(file, index);
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

/* The next page that was ever saved, from `page` on; page_count: none. Files that are written when
 * they are made have no holes but by damage. */
static uint64_t next_saved(const struct bitfile *file, uint64_t page)
{
    uint64_t from = bitfile_slot_offset(page, 0, 0), to = bitfile_bytes(file->bit_count), at;

    if (page >= file->page_count || is_sealed(file->kind))
        return page;
    at = io_file_data_now(file->loop, file->file, from, to);
    return page + (at - from) / (PAGE_COPIES * (uint64_t)BITFILE_PAGE_BYTES);
}

static int load_pages(struct bitfile *file, struct err *err)
{
    const size_t page_bytes = PAGE_COPIES * (size_t)BITFILE_PAGE_BYTES;
    uint8_t *buffer = malloc(LOAD_PAGES * page_bytes);
    int error = buffer ? 0 : err_set(err, -ENOMEM, "open %s: memory is short", file->path);
    uint64_t from = error == 0 ? next_saved(file, 0) : 0, count;

    for (; error == 0 && from < file->page_count; from = next_saved(file, from + count)) {
        count = file->page_count - from;
        if (count > LOAD_PAGES)
            count = LOAD_PAGES;
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

static int sync_now(struct bitfile *file, struct err *err)
{
    int error = io_file_sync_now(file->loop, file->file);

    return error < 0 ? err_set(err, error, "sync %s: %s", file->path, err_name(error)) : 0;
}

static int open_bitfile(struct loop *loop, const char *path, const char *kind, uint64_t bit_count,
                        bool may_differ, struct bitfile **ret_file, struct err *err)
{
    unsigned flags = IO_LOCK | (is_sealed(kind) ? 0 : IO_SCATTERED);
    struct bitfile *file;
    int error;

    check(bit_count > 0 && bit_count <= BITFILE_BIT_COUNT_MAX && strlen(kind) == 4);
    if (strlen(path) >= sizeof(file->path))
        return err_set(err, -ENAMETOOLONG, "%s: the path is too long", path);
    file = bitfile_allocate(loop, path, kind, bit_count);
    if (!file)
        return err_set(err, -ENOMEM, "open %s: memory is short", path);
    file->may_differ = may_differ;
    error = io_file_open(loop, path, flags, &file->file, err);
    if (error == -ENOENT) {
        error = make_file(loop, path, kind, bit_count, false, err);
        if (error == 0)
            error = io_file_open(loop, path, flags, &file->file, err);
    }
    if (error < 0)
        file->file = NULL;
    if (error == 0)
        error = sync_now(file, err); /* what is not written back may be told as a hole */
    if (error == 0)
        error = load_header(file, err);
    if (error == 0)
        error = load_pages(file, err);
    /* An earlier life may have been killed before its sync, and pages may have been mended: what we
     * read counts as durable from here on, and the other slot will be written next. */
    if (error == 0)
        error = sync_now(file, err);
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

static bool is_damage(int error)
{
    return error == -EUCLEAN || error == -EBADMSG || error == -EINVAL ||
           error == -EPROTONOSUPPORT || error == -EIO;
}

int bitfile_open_blank(struct loop *loop, const char *path, const char *kind, uint64_t bit_count,
                       struct bitfile **ret_file, struct err *err)
{
    int error = bitfile_open_grown(loop, path, kind, bit_count, ret_file, err);

    if (!is_damage(error))
        return error;
    log_warning("bitfile", "%s: it is made anew", err->text);
    *err = (struct err){0};
    error = io_unlink(loop, path);
    if (error != 0)
        return err_set(err, error, "%s: cannot remove it: %s", path, err_name(error));
    return bitfile_open(loop, path, kind, bit_count, ret_file, err);
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
        bitfile_set(file, page * BITFILE_PAGE_BITS, bitfile_page_bits(file, page));
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
