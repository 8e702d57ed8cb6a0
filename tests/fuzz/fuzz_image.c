/* SPDX-License-Identifier: Apache-2.0 */
/* See fuzz_image.h. */
#include "fuzz_image.h"

#include <stdio.h>
#include <stdlib.h>

#include "io/file.h"

/* --- from and to a site's disk ---------------------------------------------------------------- */

struct transfer {
    struct fuzz_image *image;
    const struct fuzz_image *source;
    struct sim_site *site;
    const char *folder;
};

static void note_name(void *arg, const char *name)
{
    struct transfer *transfer = arg;
    struct fuzz_image *image = transfer->image;

    check(image->file_count < FUZZ_FILES_MAX);
    snprintf(image->files[image->file_count++].path, sizeof(image->files[0].path), "%s/%s",
             transfer->folder, name);
}

/* Entry i was a folder: what is in it stands at the end now, and it goes. */
static bool take_folder(struct transfer *transfer, unsigned i)
{
    struct fuzz_image *image = transfer->image;
    struct loop *loop = sim_site_loop(transfer->site);
    char path[sizeof(image->files[0].path)];

    memcpy(path, image->files[i].path, sizeof(path));
    transfer->folder = path;
    if (strcmp(strrchr(path, '/'), "/disks") != 0 &&
        io_dir_list(loop, path, note_name, transfer) != 0)
        return false;
    image->file_count--;
    memmove(&image->files[i], &image->files[i + 1],
            (image->file_count - i) * sizeof(image->files[0]));
    return true;
}

static void call_read(void *arg)
{
    struct transfer *transfer = arg;
    struct loop *loop = sim_site_loop(transfer->site);

    check(io_dir_list(loop, transfer->folder, note_name, transfer) == 0);
    for (unsigned i = 0; i < transfer->image->file_count;)
        i += !take_folder(transfer, i);
    for (unsigned i = 0; i < transfer->image->file_count; i++) {
        struct fuzz_file *file = &transfer->image->files[i];
        struct io_file *handle;
        const void *before;
        uint64_t length;

        check(io_file_open(loop, file->path, IO_READ_ONLY, &handle, NULL) == 0);
        check(io_file_size(loop, handle, &length) == 0 && length <= FUZZ_FILE_BYTES_MAX);
        before = sim_outside_begin();
        file->bytes = malloc(length + 1);
        sim_outside_end(before);
        check(file->bytes);
        file->length = (size_t)length;
        check(io_file_read_now(loop, handle, file->bytes, file->length, 0) == 0);
        io_file_close(loop, handle);
    }
}

void fuzz_image_read(struct fuzz_image *image, struct sim_site *site, const char *folder)
{
    struct transfer transfer = {.image = image, .site = site, .folder = folder};

    memset(image, 0, sizeof(*image));
    check(sim_site_call(site, call_read, &transfer));
}

static void make_folders(struct loop *loop, const char *path)
{
    char folder[sizeof(((struct fuzz_file *)NULL)->path)];

    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
        check(io_dir_make(loop, folder) == 0);
    }
}

static void call_write(void *arg)
{
    struct transfer *transfer = arg;
    struct loop *loop = sim_site_loop(transfer->site);

    check(io_dir_make(loop, transfer->folder) == 0);
    for (unsigned i = 0; i < transfer->source->file_count; i++) {
        const struct fuzz_file *file = &transfer->source->files[i];
        struct io_file *handle;

        if (!file->bytes)
            continue;
        make_folders(loop, file->path);
        check(io_file_open(loop, file->path, IO_CREATE, &handle, NULL) == 0);
        check(io_file_resize_now(loop, handle, file->length) == 0);
        check(file->length == 0 ||
              io_file_write_now(loop, handle, file->bytes, file->length, 0) == 0);
        io_file_close(loop, handle);
    }
}

void fuzz_image_write(const struct fuzz_image *image, struct sim_site *site, const char *folder)
{
    struct transfer transfer = {.source = image, .site = site, .folder = folder};

    check(sim_site_call(site, call_write, &transfer));
}

void fuzz_image_copy(struct fuzz_image *image, const struct fuzz_image *from)
{
    *image = *from;
    for (unsigned i = 0; i < from->file_count; i++)
        if (from->files[i].bytes)
            image->files[i].bytes = fuzz_copy(from->files[i].bytes, from->files[i].length);
}

void fuzz_image_free(struct fuzz_image *image)
{
    for (unsigned i = 0; i < image->file_count; i++)
        free(image->files[i].bytes);
    image->file_count = 0;
}

void fuzz_image_mark(struct fuzz_image *image, unsigned file, size_t offset, size_t length)
{
    check(image->mark_count < FUZZ_MARKS_MAX && file < image->file_count);
    image->marks[image->mark_count++] = (struct fuzz_place){file, offset, length};
}

int fuzz_image_find(const struct fuzz_image *image, const char *name)
{
    for (unsigned i = 0; i < image->file_count; i++)
        if (strcmp(strrchr(image->files[i].path, '/') + 1, name) == 0)
            return (int)i;
    return -1;
}

bool fuzz_image_is_damaged(const struct fuzz_image *image, unsigned file, size_t offset,
                           size_t length)
{
    for (unsigned i = 0; i < image->damage_count; i++) {
        const struct fuzz_place *damage = &image->damages[i];

        if (damage->file == file && damage->offset < offset + length &&
            offset < damage->offset + damage->length)
            return true;
    }
    return false;
}

/* --- edits ------------------------------------------------------------------------------------ */

static void note_damage(struct fuzz_image *image, unsigned file, size_t offset, size_t length)
{
    check(image->damage_count < FUZZ_DAMAGES_MAX);
    image->damages[image->damage_count++] = (struct fuzz_place){file, offset, length};
}

/* A place inside a file's bytes; length: what is left behind it in the file. False: none. */
static bool take_place(const struct fuzz_image *image, struct bytes_reader *script,
                       unsigned *ret_mark, struct fuzz_place *ret_place)
{
    unsigned mark = bytes_u8(script) % image->mark_count, offset = bytes_le16(script);
    const struct fuzz_place *at = &image->marks[mark];
    const struct fuzz_file *file = &image->files[at->file];
    size_t where = at->offset + offset % at->length;

    if (!file->bytes || where >= file->length)
        return false;
    *ret_mark = mark;
    *ret_place = (struct fuzz_place){at->file, where, file->length - where};
    return true;
}

static void edit_number(uint8_t *at, size_t width, uint8_t kind)
{
    static const uint64_t extremes[] = {0,          1,          UINT8_MAX,        UINT16_MAX,
                                        INT32_MAX,  UINT32_MAX, INT64_MAX,        UINT64_MAX,
                                        1ull << 31, 1ull << 32, 1ull << 40,       1ull << 48,
                                        1ull << 63, 4096,       UINT64_MAX / 4096};
    uint64_t value = 0;

    memcpy(&value, at, width);
    if (kind & 0x80)
        value += (uint64_t)(int64_t)(int8_t)(kind << 1) / 2;
    else
        value = extremes[kind % ARRAY_COUNT(extremes)];
    memcpy(at, &value, width);
}

static void edit_copy(struct fuzz_image *image, struct bytes_reader *script,
                      const struct fuzz_place *place)
{
    struct fuzz_place from;
    unsigned mark;
    size_t length;

    if (!take_place(image, script, &mark, &from))
        return;
    length = bytes_le16(script) + 1u;
    length = length < place->length ? length : place->length;
    length = length < from.length ? length : from.length;
    memmove(image->files[place->file].bytes + place->offset,
            image->files[from.file].bytes + from.offset, length);
    note_damage(image, place->file, place->offset, length);
}

static void edit_place(struct fuzz_image *image, struct bytes_reader *script, enum fuzz_edit edit,
                       const struct fuzz_place *place)
{
    uint8_t *at = image->files[place->file].bytes + place->offset;
    size_t length = 1;
    const uint8_t *bytes;

    switch (edit) {
    case FUZZ_EDIT_SET:
        length = bytes_u8(script) % 64 + 1u;
        length = length < script->left ? length : script->left;
        length = length < place->length ? length : place->length;
        bytes = bytes_take(script, length);
        if (!bytes)
            return;
        memcpy(at, bytes, length);
        break;
    case FUZZ_EDIT_FLIP:
        *at ^= (uint8_t)(1 << bytes_u8(script) % 8);
        break;
    case FUZZ_EDIT_NUMBER:
        length = (size_t)1 << bytes_u8(script) % 4;
        length = length < place->length ? length : place->length;
        edit_number(at, length, bytes_u8(script));
        break;
    case FUZZ_EDIT_ZERO:
        length = bytes_le16(script) + 1u;
        length = length < place->length ? length : place->length;
        memset(at, 0, length);
        break;
    case FUZZ_EDIT_CUT:
        length = place->length;
        image->files[place->file].length = place->offset;
        break;
    default:
        edit_copy(image, script, place);
        return;
    }
    note_damage(image, place->file, place->offset, length);
}

static void edit_extend(struct fuzz_image *image, struct bytes_reader *script)
{
    unsigned index = bytes_u8(script) % image->file_count;
    struct fuzz_file *file = &image->files[index];
    size_t more = bytes_le16(script);
    uint8_t value = bytes_u8(script);

    if (!file->bytes || file->length + more > FUZZ_FILE_BYTES_MAX)
        return;
    file->bytes = realloc(file->bytes, file->length + more + 1);
    check(file->bytes);
    memset(file->bytes + file->length, value, more);
    note_damage(image, index, file->length, more);
    file->length += more;
}

static void edit_name(struct fuzz_image *image, struct bytes_reader *script, bool is_removal)
{
    unsigned index = bytes_u8(script) % image->file_count;
    struct fuzz_file *file = &image->files[index];
    size_t length = is_removal ? 0 : bytes_u8(script) % 40 + 1u;
    char path[sizeof(file->path)];
    const uint8_t *name;

    length = length < script->left ? length : script->left;
    name = bytes_take(script, length);
    if (!is_removal &&
        (length == 0 || !name || memchr(name, '/', length) || memchr(name, 0, length)))
        return;
    if (is_removal) {
        free(file->bytes);
        file->bytes = NULL;
    } else {
        snprintf(path, sizeof(path), "%.*s/%.*s", (int)(strrchr(file->path, '/') - file->path),
                 file->path, (int)length, (const char *)name);
        memcpy(file->path, path, sizeof(path));
    }
    note_damage(image, index, 0, FUZZ_FILE_BYTES_MAX);
    image->has_removed = true;
}

static void seal(struct fuzz_image *image, unsigned mark)
{
    if (!image->seal_cb || !image->files[image->marks[mark].file].bytes)
        return;
    image->seal_cb(image, &image->marks[mark]);
    image->is_forged = true;
}

void fuzz_image_edit(struct fuzz_image *image, struct bytes_reader *script)
{
    bool seals = false;

    for (unsigned i = 0; i < FUZZ_EDITS_MAX && script->left > 0 && !script->failed; i++) {
        enum fuzz_edit edit = (enum fuzz_edit)(bytes_u8(script) % FUZZ_EDIT_COUNT);
        struct fuzz_place place;
        unsigned mark;

        if (edit == FUZZ_EDIT_EXTEND) {
            edit_extend(image, script);
        } else if (edit == FUZZ_EDIT_REMOVE || edit == FUZZ_EDIT_RENAME) {
            edit_name(image, script, edit == FUZZ_EDIT_REMOVE);
        } else if (edit == FUZZ_EDIT_SEAL_ALL) {
            seals = true;
        } else if (edit == FUZZ_EDIT_SEAL) {
            seal(image, bytes_u8(script) % image->mark_count);
        } else if (take_place(image, script, &mark, &place)) {
            edit_place(image, script, edit, &place);
            if (seals)
                seal(image, mark);
        }
    }
}
