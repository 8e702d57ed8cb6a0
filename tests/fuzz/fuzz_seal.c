/* SPDX-License-Identifier: Apache-2.0 */
/* See fuzz_seal.h. What stands there is taken as it is, within the file's length. */
#include "fuzz_seal.h"

#include "base/crc32c.h"
#include "journal/journal_record.h"
#include "journal/layer_info.h"
#include "replication/state_codec.h"
#include "store/bitfile_format.h"

void fuzz_seal_journal(struct fuzz_image *image, const struct fuzz_place *mark)
{
    struct fuzz_file *file = &image->files[mark->file];
    uint8_t *at = file->bytes + mark->offset;
    size_t left = mark->offset < file->length ? file->length - mark->offset : 0, head;
    uint64_t count;

    if (mark->offset == 0 && left >= SEGMENT_HEADER_BYTES) {
        put_le32(at + 12, 0);
        put_le32(at + 12, crc32c(0, at, SEGMENT_HEADER_BYTES));
    }
    if (mark->offset == 0 || left < RECORD_ALIGN)
        return;
    count = get_le64(at + 72);
    if (get_le16(at + 4) == RECORD_DATA && count <= RECORD_DATA_BLOCKS_MAX &&
        journal_record_bytes(RECORD_DATA, count) <= left) {
        head = (size_t)journal_record_head_bytes(RECORD_DATA, count);
        for (size_t i = 0; i < count; i++)
            put_le32(at + RECORD_HEADER_BYTES + 4 * i,
                     crc32c(0, at + head + i * BLOCK_SIZE, BLOCK_SIZE));
    }
    head = RECORD_ALIGN;
    if (get_le16(at + 4) > 0 && get_le16(at + 4) < RECORD_TYPE_COUNT &&
        count <= RECORD_TABLE_ENTRIES_MAX)
        head = (size_t)journal_record_head_bytes((enum record_type)get_le16(at + 4), count);
    head = head < left ? head : left;
    put_le32(at + 12, crc32c(0, at + RECORD_HEADER_BYTES, head - RECORD_HEADER_BYTES));
    put_le32(at + 8, 0);
    put_le32(at + 8, crc32c(0, at, RECORD_HEADER_BYTES));
}

void fuzz_seal_bitfile(struct fuzz_image *image, const struct fuzz_place *mark, const char *kind)
{
    struct fuzz_file *file = &image->files[mark->file];
    size_t page = mark->offset / BITFILE_PAGE_BYTES * BITFILE_PAGE_BYTES;
    uint8_t *at = file->bytes + page;

    if (page + BITFILE_PAGE_BYTES > file->length)
        return;
    if (page == 0)
        bitfile_header_encode(at, kind, get_le64(at + 16));
    else if (get_le64(at + 8) > 0)
        bitfile_slot_seal(at, kind, get_le64(at + 16), get_le64(at + 8));
}

void fuzz_seal_layer_info(struct fuzz_image *image, const struct fuzz_place *mark)
{
    struct fuzz_file *file = &image->files[mark->file];

    if (file->length < LAYER_INFO_BYTES)
        return;
    put_le32(file->bytes + 12, 0);
    put_le32(file->bytes + 12, crc32c(0, file->bytes, LAYER_INFO_BYTES));
}

static void seal_state(struct fuzz_file *file, size_t offset)
{
    uint8_t *slot = file->bytes + offset / STATE_SLOT_BYTES * STATE_SLOT_BYTES;

    if (offset / STATE_SLOT_BYTES * STATE_SLOT_BYTES + STATE_SLOT_BYTES > file->length)
        return;
    put_le32(slot + 12, 0);
    put_le32(slot + 12, crc32c(0, slot, STATE_SLOT_BYTES));
}

void fuzz_seal_any(struct fuzz_image *image, const struct fuzz_place *mark)
{
    struct fuzz_file *file = &image->files[mark->file];
    const char *name = strrchr(file->path, '/') + 1;

    if (strstr(name, ".seg"))
        fuzz_seal_journal(image, mark);
    else if (strncmp(name, "intent", 6) == 0)
        fuzz_seal_bitfile(image, mark, "INTN");
    else if (strncmp(name, "superseded-", 11) == 0)
        fuzz_seal_bitfile(image, mark, "SUPR");
    else if (strstr(name, ".map"))
        fuzz_seal_bitfile(image, mark, "LAYR");
    else if (strstr(name, ".info"))
        fuzz_seal_layer_info(image, mark);
    else if (strcmp(name, "state") == 0)
        seal_state(file, mark->offset);
    else if (strcmp(name, "dirty") == 0 && file->length > 4)
        put_le32(file->bytes + file->length - 4, crc32c(0, file->bytes, file->length - 4));
}
