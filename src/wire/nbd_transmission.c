/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transmission phase's messages, and which requests are refused with which error.
 *
 *   request       0x25609513 | flags 2 | type 2 | cookie 8 | offset 8 | length 4 [| data]
 *   simple reply  0x67446698 | error 4 | cookie 8 [| data]
 *   chunk         0x668e33ef | flags 2 | type 2 | cookie 8 | length 4 | data
 *
 * A request is refused before anything of it is done; the order of the tests below is the order
 * of the table in docs/nbd.md. Sums are never formed from numbers of the client: an end past
 * 2^64 would wrap.
 */
#include "wire/nbd_transmission.h"

#include <errno.h>

#include "base/check.h"

struct command_rules {
    uint16_t flags; /* that may be set */
    bool is_write;  /* refused on a read-only export */
    bool has_payload_limit;
    uint32_t range_error; /* for a range past the end; 0: it has no range */
};

static const struct command_rules rules[] = {
    [NBD_CMD_READ] = {NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_DF, false, true, NBD_EINVAL},
    [NBD_CMD_WRITE] = {NBD_CMD_FLAG_FUA, true, true, NBD_ENOSPC},
    [NBD_CMD_DISC] = {0, false, false, 0},
    [NBD_CMD_FLUSH] = {NBD_CMD_FLAG_FUA, false, false, 0},
    [NBD_CMD_TRIM] = {NBD_CMD_FLAG_FUA, true, false, NBD_EINVAL},
    [NBD_CMD_CACHE] = {NBD_CMD_FLAG_FUA, false, false, NBD_EINVAL},
    [NBD_CMD_WRITE_ZEROES] = {NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_FAST_ZERO,
                              true, false, NBD_ENOSPC},
    [NBD_CMD_BLOCK_STATUS] = {NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_REQ_ONE, false, false, NBD_EINVAL},
};

int nbd_request_decode(const uint8_t *bytes, struct nbd_request_header *ret_header)
{
    if (get_be32(bytes) != NBD_REQUEST_MAGIC)
        return -EPROTO;
    ret_header->flags = get_be16(bytes + 4);
    ret_header->type = get_be16(bytes + 6);
    ret_header->cookie = get_be64(bytes + 8);
    ret_header->offset = get_be64(bytes + 16);
    ret_header->length = get_be32(bytes + 24);
    return 0;
}

static uint32_t verify_range(const struct nbd_request_header *header,
                             const struct nbd_request_limits *limits,
                             const struct command_rules *rule)
{
    if (header->length == 0)
        return NBD_EINVAL;
    if (rule->has_payload_limit && header->length > NBD_PAYLOAD_BYTES_MAX)
        return header->type == NBD_CMD_READ ? NBD_EOVERFLOW : NBD_EINVAL;
    if (header->offset > limits->size_bytes || header->length > limits->size_bytes - header->offset)
        return rule->range_error;
    if (header->offset % NBD_BLOCK_BYTES_MIN != 0 || header->length % NBD_BLOCK_BYTES_MIN != 0)
        return NBD_EINVAL;
    return 0;
}

uint32_t nbd_request_verify(const struct nbd_request_header *header,
                            const struct nbd_request_limits *limits)
{
    const struct command_rules *rule;

    if (header->type >= ARRAY_COUNT(rules))
        return NBD_EINVAL;
    if (header->type == NBD_CMD_DISC)
        return 0;
    rule = &rules[header->type];
    if (header->flags & ~rule->flags)
        return NBD_EINVAL;
    if ((header->flags & NBD_CMD_FLAG_DF) && !limits->has_structured_replies)
        return NBD_EINVAL;
    if (header->type == NBD_CMD_BLOCK_STATUS && !limits->has_allocation_context)
        return NBD_EINVAL;
    if (rule->is_write && limits->is_read_only)
        return NBD_EPERM;
    if (rule->range_error == 0)
        return header->offset != 0 || header->length != 0 ? NBD_EINVAL : 0;
    return verify_range(header, limits, rule);
}

uint32_t nbd_error_from_errno(int error)
{
    check(error <= 0);
    switch (-error) {
    case 0:
        return 0;
    case EPERM:
    case EACCES:
    case EROFS:
        return NBD_EPERM;
    case ENOMEM:
        return NBD_ENOMEM;
    case EINVAL:
        return NBD_EINVAL;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return NBD_ENOSPC;
    case ENOTSUP:
        return NBD_ENOTSUP;
    case ESHUTDOWN:
        return NBD_ESHUTDOWN;
    default:
        return NBD_EIO;
    }
}

void nbd_simple_reply_encode(uint8_t *bytes, uint32_t error, uint64_t cookie)
{
    put_be32(bytes, NBD_SIMPLE_REPLY_MAGIC);
    put_be32(bytes + 4, error);
    put_be64(bytes + 8, cookie);
}

static void encode_chunk_header(uint8_t *bytes, uint16_t type, uint64_t cookie, uint32_t length)
{
    put_be32(bytes, NBD_CHUNK_MAGIC);
    put_be16(bytes + 4, NBD_CHUNK_DONE);
    put_be16(bytes + 6, type);
    put_be64(bytes + 8, cookie);
    put_be32(bytes + 16, length);
}

void nbd_data_chunk_encode(uint8_t *bytes, uint64_t cookie, uint64_t offset, uint32_t length)
{
    check(length > 0 && length <= NBD_PAYLOAD_BYTES_MAX);
    encode_chunk_header(bytes, NBD_CHUNK_OFFSET_DATA, cookie, 8 + length);
    put_be64(bytes + NBD_CHUNK_HEADER_BYTES, offset);
}

void nbd_error_chunk_encode(uint8_t *bytes, uint64_t cookie, uint32_t error)
{
    check(error != 0);
    encode_chunk_header(bytes, NBD_CHUNK_ERROR, cookie, 6);
    put_be32(bytes + NBD_CHUNK_HEADER_BYTES, error);
    put_be16(bytes + NBD_CHUNK_HEADER_BYTES + 4, 0);
}

void nbd_status_chunk_encode(uint8_t *bytes, uint64_t cookie, uint32_t context_id,
                             uint32_t extent_count)
{
    check(extent_count > 0);
    encode_chunk_header(bytes, NBD_CHUNK_BLOCK_STATUS, cookie, 4 + extent_count * NBD_EXTENT_BYTES);
    put_be32(bytes + NBD_CHUNK_HEADER_BYTES, context_id);
}

/* Where a run that ends at `end` may end in the reply: a hole only before the sector it shares. */
static uint64_t round_end(uint64_t end, bool is_hole)
{
    uint64_t mask = NBD_BLOCK_BYTES_MIN - 1;

    return is_hole ? end & ~mask : (end + mask) & ~mask;
}

bool nbd_extent_append(struct nbd_extent_list *list, uint64_t offset, uint64_t length, bool is_hole)
{
    uint32_t state = is_hole ? NBD_STATE_HOLE | NBD_STATE_ZERO : 0;
    uint64_t end = round_end(offset + length, is_hole);
    uint8_t *last;

    check(list->length_max % NBD_BLOCK_BYTES_MIN == 0 && list->end % NBD_BLOCK_BYTES_MIN == 0);
    if (list->length_max == 0)
        return false;
    if (end <= list->end)
        return true; /* what is left of the run lies in a sector already told as data */
    length = end - list->end;
    if (length > list->length_max)
        length = list->length_max;
    last = list->bytes + (size_t)list->count * NBD_EXTENT_BYTES;
    if (list->count > 0 && get_be32(last - 4) == state) {
        put_be32(last - 8, get_be32(last - 8) + (uint32_t)length);
    } else {
        if (list->count == list->count_max)
            return false;
        put_be32(last, (uint32_t)length);
        put_be32(last + 4, state);
        list->count++;
    }
    list->end += length;
    list->length_max -= length;
    return true;
}
