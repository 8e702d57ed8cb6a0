/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handshake's messages. Everything decoded here comes from somebody who may be hostile:
 *
 *   1. No length is used before it was compared with the bytes that are there (bytes_reader).
 *   2. Nothing is copied or allocated; results point into the option's bytes.
 *   3. An option is valid if and only if its parts fill its data exactly.
 *
 *   option        IHAVEOPT 8 | option 4 | length 4 | data
 *   INFO, GO      name length 4 | name | count 2 | info 2 x count
 *   meta context  name length 4 | name | count 4 | (query length 4 | query) x count
 *   reply         magic 8 | option 4 | type 4 | length 4 | data
 */
#include "wire/nbd_options.h"

#include <errno.h>

#include "base/check.h"

int nbd_option_header_decode(const uint8_t *bytes, struct nbd_option_header *ret_header)
{
    if (get_be64(bytes) != NBD_OPTION_MAGIC)
        return -EPROTO;
    ret_header->option = get_be32(bytes + 8);
    ret_header->length = get_be32(bytes + 12);
    return 0;
}

static struct nbd_text take_text(struct bytes_reader *reader)
{
    struct nbd_text text = {"", 0};
    uint32_t length = bytes_be32(reader);
    const uint8_t *bytes;

    if (length > NBD_NAME_BYTES_MAX) {
        reader->failed = true;
        return text;
    }
    bytes = bytes_take(reader, length);
    if (bytes == NULL)
        return text;
    if (length > 0 && memchr(bytes, '\0', length)) {
        reader->failed = true;
        return text;
    }
    text.bytes = (const char *)bytes;
    text.length = length;
    return text;
}

static bool text_is(struct nbd_text text, const char *wanted)
{
    return text.length == strlen(wanted) && memcmp(text.bytes, wanted, text.length) == 0;
}

static int reader_result(const struct bytes_reader *reader)
{
    return reader->failed || reader->left > 0 ? -EINVAL : 0;
}

int nbd_info_request_decode(const uint8_t *bytes, size_t length,
                            struct nbd_info_request *ret_request)
{
    struct bytes_reader reader = {bytes, length, false};
    struct nbd_info_request request = {.name = take_text(&reader)};
    unsigned count = bytes_be16(&reader);
    int error;

    for (unsigned i = 0; i < count && !reader.failed; i++) {
        switch (bytes_be16(&reader)) {
        case NBD_INFO_NAME:
            request.wants_name = true;
            break;
        case NBD_INFO_DESCRIPTION:
            request.wants_description = true;
            break;
        case NBD_INFO_BLOCK_SIZE:
            request.wants_block_size = true;
            break;
        default:
            break; /* EXPORT is always sent; unknown ones are to be ignored */
        }
    }
    error = reader_result(&reader);
    if (error == 0)
        *ret_request = request;
    return error;
}

int nbd_meta_request_decode(const uint8_t *bytes, size_t length,
                            struct nbd_meta_request *ret_request)
{
    struct bytes_reader reader = {bytes, length, false};
    struct nbd_meta_request request = {.name = take_text(&reader)};
    int error;

    request.query_count = bytes_be32(&reader);
    /* A query takes at least its length field, so this loop ends with the bytes. */
    for (uint32_t i = 0; i < request.query_count && !reader.failed; i++) {
        struct nbd_text query = take_text(&reader);

        request.has_allocation |= text_is(query, NBD_META_ALLOCATION);
        request.has_wildcard |= text_is(query, "base:");
    }
    error = reader_result(&reader);
    if (error == 0)
        *ret_request = request;
    return error;
}

void nbd_encode_greeting(struct bytes_writer *writer, uint16_t handshake_flags)
{
    bytes_put_be64(writer, NBD_MAGIC);
    bytes_put_be64(writer, NBD_OPTION_MAGIC);
    bytes_put_be16(writer, handshake_flags);
}

void nbd_encode_export_name_reply(struct bytes_writer *writer, uint64_t size_bytes,
                                  uint16_t export_flags, bool no_zeroes)
{
    uint8_t *padding;

    bytes_put_be64(writer, size_bytes);
    bytes_put_be16(writer, export_flags);
    if (no_zeroes)
        return;
    padding = bytes_room(writer, NBD_EXPORT_NAME_PADDING_BYTES);
    if (padding)
        memset(padding, 0, NBD_EXPORT_NAME_PADDING_BYTES);
}

static void put_reply_header(struct bytes_writer *writer, uint32_t option, uint32_t type,
                             uint32_t length)
{
    bytes_put_be64(writer, NBD_OPTION_REPLY_MAGIC);
    bytes_put_be32(writer, option);
    bytes_put_be32(writer, type);
    bytes_put_be32(writer, length);
}

void nbd_encode_option_reply(struct bytes_writer *writer, uint32_t option, uint32_t type,
                             const void *bytes, uint32_t length)
{
    check(length <= NBD_NAME_BYTES_MAX);
    check(type != NBD_REP_ACK || length == 0);
    put_reply_header(writer, option, type, length);
    bytes_put(writer, bytes, length);
}

void nbd_encode_server_reply(struct bytes_writer *writer, const char *name, const char *description)
{
    uint32_t name_length = (uint32_t)strlen(name);
    uint32_t description_length = (uint32_t)strlen(description);

    check(name_length <= NBD_NAME_BYTES_MAX && description_length <= NBD_NAME_BYTES_MAX);
    put_reply_header(writer, NBD_OPT_LIST, NBD_REP_SERVER, 4 + name_length + description_length);
    bytes_put_be32(writer, name_length);
    bytes_put(writer, name, name_length);
    bytes_put(writer, description, description_length);
}

void nbd_encode_export_info(struct bytes_writer *writer, uint32_t option, uint64_t size_bytes,
                            uint16_t export_flags)
{
    put_reply_header(writer, option, NBD_REP_INFO, 12);
    bytes_put_be16(writer, NBD_INFO_EXPORT);
    bytes_put_be64(writer, size_bytes);
    bytes_put_be16(writer, export_flags);
}

void nbd_encode_block_size_info(struct bytes_writer *writer, uint32_t option)
{
    put_reply_header(writer, option, NBD_REP_INFO, 14);
    bytes_put_be16(writer, NBD_INFO_BLOCK_SIZE);
    bytes_put_be32(writer, NBD_BLOCK_BYTES_MIN);
    bytes_put_be32(writer, NBD_BLOCK_BYTES_PREFERRED);
    bytes_put_be32(writer, NBD_PAYLOAD_BYTES_MAX);
}

void nbd_encode_text_info(struct bytes_writer *writer, uint32_t option, uint16_t info,
                          const char *text)
{
    uint32_t length = (uint32_t)strlen(text);

    check(info == NBD_INFO_NAME || info == NBD_INFO_DESCRIPTION);
    check(length <= NBD_NAME_BYTES_MAX);
    put_reply_header(writer, option, NBD_REP_INFO, 2 + length);
    bytes_put_be16(writer, info);
    bytes_put(writer, text, length);
}

void nbd_encode_meta_reply(struct bytes_writer *writer, uint32_t option, uint32_t context_id)
{
    uint32_t length = (uint32_t)strlen(NBD_META_ALLOCATION);

    put_reply_header(writer, option, NBD_REP_META_CONTEXT, 4 + length);
    bytes_put_be32(writer, context_id);
    bytes_put(writer, NBD_META_ALLOCATION, length);
}
