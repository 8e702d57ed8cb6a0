/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: of the time that a Describe took, a third went into its bytes: the library guards against
 * trees that contain themselves, and so keeps a table of all parents, by their printed addresses.
 * Here the depth is bounded instead. Texts of a tree are UTF-8 (the library lets nothing else in).
 */
#include "api/json_text.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define INTEGER_MAX INT64_C(9007199254740991) /* 2^53 - 1 */

enum { FIRST_ROOM = 1000 };

struct output {
    char *text;
    size_t length, room;
};

static void put(struct output *output, const char *bytes, size_t length)
{
    if (output->room - output->length <= length) {
        output->room = (output->length + length + 1) * 2;
        output->text = realloc(output->text, output->room);
        check(output->text);
    }
    memcpy(output->text + output->length, bytes, length);
    output->length += length;
}

static bool is_plain(unsigned char byte)
{
    return byte >= 0x20 && byte != '"' && byte != '\\';
}

static void put_escaped(struct output *output, unsigned char byte)
{
    static const char names[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* a byte, its letter */
    char text[8];

    for (const char *at = names; *at; at += 2)
        if ((unsigned char)at[0] == byte) {
            put(output, (const char[]){'\\', at[1]}, 2);
            return;
        }
    snprintf(text, sizeof(text), "\\u%04X", byte);
    put(output, text, 6);
}

static void put_text(struct output *output, const char *text, size_t length)
{
    size_t begin = 0;

    put(output, "\"", 1);
    for (size_t i = 0; i < length; i++) {
        if (is_plain((unsigned char)text[i]))
            continue;
        put(output, text + begin, i - begin);
        put_escaped(output, (unsigned char)text[i]);
        begin = i + 1;
    }
    put(output, text + begin, length - begin);
    put(output, "\"", 1);
}

int64_t json_text_cut(int64_t value)
{
    if (value > INTEGER_MAX)
        return INTEGER_MAX;
    return value < -INTEGER_MAX ? -INTEGER_MAX : value;
}

static void put_integer(struct output *output, int64_t value)
{
    char text[24], *end = text + sizeof(text), *at = end;
    uint64_t left;

    value = json_text_cut(value);
    left = value < 0 ? (uint64_t)-value : (uint64_t)value;
    do
        *--at = (char)('0' + left % 10);
    while ((left /= 10) > 0);
    if (value < 0)
        *--at = '-';
    put(output, at, (size_t)(end - at));
}

static void put_real(struct output *output, const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

    check(text);
    put(output, text, strlen(text));
    free(text);
}

static void put_value(struct output *output, const json_t *value, unsigned depth);

static void put_object(struct output *output, const json_t *tree, unsigned depth)
{
    bool is_first = true;
    const char *name;
    json_t *item;

    put(output, "{", 1);
    json_object_foreach((json_t *)tree, name, item)
    {
        if (!is_first)
            put(output, ",", 1);
        is_first = false;
        put_text(output, name, strlen(name));
        put(output, ":", 1);
        put_value(output, item, depth + 1);
    }
    put(output, "}", 1);
}

static void put_array(struct output *output, const json_t *tree, unsigned depth)
{
    json_t *item;
    size_t index;

    put(output, "[", 1);
    json_array_foreach(tree, index, item)
    {
        if (index > 0)
            put(output, ",", 1);
        put_value(output, item, depth + 1);
    }
    put(output, "]", 1);
}

static void put_value(struct output *output, const json_t *value, unsigned depth)
{
    switch (depth > JSON_TEXT_DEPTH_MAX ? JSON_NULL : json_typeof(value)) {
    case JSON_OBJECT:
        put_object(output, value, depth);
        break;
    case JSON_ARRAY:
        put_array(output, value, depth);
        break;
    case JSON_STRING:
        put_text(output, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        put_integer(output, json_integer_value(value));
        break;
    case JSON_REAL:
        put_real(output, value);
        break;
    case JSON_TRUE:
        put(output, "true", 4);
        break;
    case JSON_FALSE:
        put(output, "false", 5);
        break;
    case JSON_NULL:
        put(output, "null", 4);
        break;
    }
}

char *json_text_make(const json_t *tree, size_t *ret_length)
{
    struct output output = {.text = malloc(FIRST_ROOM), .room = FIRST_ROOM};

    check(output.text);
    put_value(&output, tree, 0);
    output.text[output.length] = '\0';
    *ret_length = output.length;
    return output.text;
}
