/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HELLO and REFUSE. They are read before the protocol version is agreed, so their first bytes keep
 * their meaning in every version; docs/link.md has the tables.
 */
#include "wire/link_message.h"

#include <string.h>

#include "base/bytes.h"
#include "base/check.h"

static bool is_name_character(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' ||
           c == '_' || c == '-';
}

static bool is_printable(char c)
{
    return c >= ' ' && c <= '~';
}

bool link_name_is_valid(const char *name, size_t size)
{
    size_t length = strnlen(name, size);

    if (length == 0 || length >= size)
        return false;
    for (size_t i = 0; i < length; i++)
        if (!is_name_character(name[i]))
            return false;
    return true;
}

uint32_t link_hello_encode(const struct link_hello *hello, uint8_t *ret_bytes)
{
    struct bytes_writer writer = {.at = ret_bytes, .left = LINK_HELLO_SIZE_MAX};
    size_t site_length = strnlen(hello->site, sizeof(hello->site));
    size_t software_length = strnlen(hello->software, sizeof(hello->software));

    check(site_length > 0 && site_length < LINK_NAME_SIZE && software_length < LINK_NAME_SIZE);
    bytes_put_le16(&writer, hello->protocol_min);
    bytes_put_le16(&writer, hello->protocol_max);
    bytes_put_u8(&writer, hello->role);
    bytes_put_u8(&writer, (uint8_t)site_length);
    bytes_put_u8(&writer, (uint8_t)software_length);
    bytes_put_u8(&writer, 0);
    bytes_put_le64(&writer, hello->site_id);
    bytes_put_le64(&writer, hello->nonce);
    bytes_put_le64(&writer, hello->echo);
    bytes_put_le32(&writer, hello->window);
    bytes_put_le32(&writer, 0);
    bytes_put(&writer, hello->site, site_length);
    bytes_put(&writer, hello->software, software_length);
    check(!writer.failed);
    return (uint32_t)(LINK_HELLO_SIZE_MAX - writer.left);
}

/* Copies `length` characters with a NUL; the NUL-free rest was zeroed by the caller. */
static bool take_text(struct bytes_reader *reader, size_t length, char *ret_text, size_t size)
{
    const uint8_t *at = bytes_take(reader, length);

    if (at == NULL || length >= size)
        return false;
    memcpy(ret_text, at, length);
    for (size_t i = 0; i < length; i++)
        if (!is_printable(ret_text[i]))
            return false;
    return true;
}

bool link_hello_decode(const uint8_t *bytes, size_t length, struct link_hello *ret_hello)
{
    struct bytes_reader reader = {.at = bytes, .left = length};
    struct link_hello hello = {0};
    uint8_t site_length, software_length, zero;

    hello.protocol_min = bytes_le16(&reader);
    hello.protocol_max = bytes_le16(&reader);
    hello.role = bytes_u8(&reader);
    site_length = bytes_u8(&reader);
    software_length = bytes_u8(&reader);
    zero = bytes_u8(&reader);
    hello.site_id = bytes_le64(&reader);
    hello.nonce = bytes_le64(&reader);
    hello.echo = bytes_le64(&reader);
    hello.window = bytes_le32(&reader);
    (void)bytes_le32(&reader);
    if (!take_text(&reader, site_length, hello.site, sizeof(hello.site)) ||
        !take_text(&reader, software_length, hello.software, sizeof(hello.software)))
        return false;
    if (zero != 0 || hello.role > LINK_ACCEPTOR || hello.protocol_min == 0 ||
        hello.protocol_min > hello.protocol_max)
        return false;
    if (hello.window < LINK_WINDOW_MIN || hello.window > LINK_WINDOW_MAX)
        return false;
    if (!link_name_is_valid(hello.site, sizeof(hello.site)))
        return false;
    *ret_hello = hello;
    return true;
}

uint32_t link_refuse_encode(const struct link_refuse *refuse, uint8_t *ret_bytes)
{
    size_t length = strnlen(refuse->text, sizeof(refuse->text) - 1);

    put_le16(ret_bytes, refuse->reason);
    put_le16(ret_bytes + 2, (uint16_t)length);
    for (size_t i = 0; i < length; i++)
        ret_bytes[4 + i] = (uint8_t)(is_printable(refuse->text[i]) ? refuse->text[i] : '?');
    return (uint32_t)(4 + length);
}

bool link_refuse_decode(const uint8_t *bytes, size_t length, struct link_refuse *ret_refuse)
{
    struct bytes_reader reader = {.at = bytes, .left = length};
    struct link_refuse refuse = {0};
    uint16_t text_length;

    refuse.reason = bytes_le16(&reader);
    text_length = bytes_le16(&reader);
    if (!take_text(&reader, text_length, refuse.text, sizeof(refuse.text)))
        return false;
    *ret_refuse = refuse;
    return true;
}
