/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: the form that old clients get when they ask for none. Written for trees of ours, whose depth
 * and size are bounded where they come from; no XML parser may stumble over what is in them, since
 * names and descriptions are anybody's.
 */
#include "api/xml_text.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

struct output {
    char *text;
    size_t length, room;
};

static void put(struct output *output, const char *bytes, size_t length)
{
    if (output->room - output->length <= length) {
        output->room = (output->length + length + 1) * 2 + 512;
        output->text = realloc(output->text, output->room);
        check(output->text);
    }
    memcpy(output->text + output->length, bytes, length);
    output->length += length;
    output->text[output->length] = '\0';
}

static void put_text(struct output *output, const char *text)
{
    put(output, text, strlen(text));
}

static bool is_name_byte(unsigned char byte, bool is_first)
{
    bool is_letter = (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || byte == '_';

    return is_letter || (!is_first && ((byte >= '0' && byte <= '9') || byte == '-' || byte == '.'));
}

static void put_name(struct output *output, const char *name)
{
    if (!name[0])
        put(output, "_", 1);
    for (const char *at = name; *at; at++)
        put(output, is_name_byte((unsigned char)*at, at == name) ? at : "_", 1);
}

static void put_tag(struct output *output, const char *open, const char *name)
{
    put_text(output, open);
    put_name(output, name);
    put(output, ">", 1);
}

/* What stands for the byte in a text; NULL: itself. */
static const char *escape_of(unsigned char byte)
{
    switch (byte) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&apos;";
    case '\r':
        return "&#13;"; /* a reader would make a line feed of it */
    case '\t':
    case '\n':
        return NULL;
    default:
        return byte < 0x20 ? "\xef\xbf\xbd" : NULL;
    }
}

/* U+FFFE and U+FFFF: UTF-8, but no characters of XML. (Surrogates are no UTF-8 to begin with.) */
static bool is_forbidden(const char *text, size_t left)
{
    return left >= 3 && memcmp(text, "\xef\xbf", 2) == 0 && (unsigned char)text[2] >= 0xbe;
}

static void put_escaped(struct output *output, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        const char *escape = escape_of((unsigned char)text[i]);

        if (is_forbidden(text + i, length - i)) {
            put_text(output, "\xef\xbf\xbd");
            i += 2;
        } else if (escape) {
            put_text(output, escape);
        } else {
            put(output, text + i, 1);
        }
    }
}

static void put_member(struct output *output, const char *name, const json_t *value);

static void put_members(struct output *output, const json_t *tree)
{
    const char *name;
    json_t *item;

    json_object_foreach((json_t *)tree, name, item)
    {
        put_member(output, name, item);
    }
}

static void put_scalar(struct output *output, const json_t *value)
{
    char number[40];

    if (json_is_string(value)) {
        put_escaped(output, json_string_value(value), json_string_length(value));
    } else if (json_is_boolean(value)) {
        put_text(output, json_is_true(value) ? "true" : "false");
    } else if (json_is_integer(value)) {
        snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        put_text(output, number);
    } else if (json_is_real(value)) {
        snprintf(number, sizeof(number), "%.17g", json_real_value(value));
        put_text(output, number);
    }
}

static void put_member(struct output *output, const char *name, const json_t *value)
{
    size_t index;
    json_t *item;

    if (json_is_null(value))
        return;
    if (json_is_array(value)) {
        json_array_foreach(value, index, item)
        {
            put_member(output, name, item);
        }
        return;
    }
    put_tag(output, "<", name);
    if (json_is_object(value))
        put_members(output, value);
    else
        put_scalar(output, value);
    put_tag(output, "</", name);
}

char *xml_text_make(const char *root, const json_t *tree, size_t *ret_length)
{
    struct output output = {0};

    put_text(&output, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    put_member(&output, root, tree);
    *ret_length = output.length;
    return output.text;
}
