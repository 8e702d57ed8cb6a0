/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: every parameter of the API comes through here, from anybody. Decoded text is UTF-8 without
 * NUL, or the request is refused: nothing behind this unit has to ask again.
 */
#include "http/form.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* How many bytes the character at `at` has; 0: not UTF-8 (overlong forms and surrogates too). */
static unsigned utf8_length(const uint8_t *at, size_t left)
{
    unsigned length = at[0] < 0x80 ? 1 : at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    uint32_t point;

    if (length == 1)
        return 1;
    if (at[0] < 0xc2 || at[0] > 0xf4 || length > left)
        return 0;
    point = at[0] & (0xffu >> (length + 1));
    for (unsigned i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (at[i] & 0x3f);
    }
    if ((length == 3 && point < 0x800) || (length == 4 && point < 0x10000) || point > 0x10ffff ||
        (point >= 0xd800 && point <= 0xdfff))
        return 0;
    return length;
}

static bool is_text(const char *bytes, size_t length)
{
    for (size_t i = 0; i < length;) {
        unsigned step = utf8_length((const uint8_t *)bytes + i, length - i);
        if (step == 0 || bytes[i] == 0)
            return false;
        i += step;
    }
    return true;
}

static int decode(const char *from, size_t length, char **ret_text)
{
    char *text = malloc(length + 1);
    size_t used = 0;

    if (!text)
        return -ENOMEM;
    for (size_t i = 0; i < length; i++) {
        if (from[i] != '%') {
            text[used++] = from[i] == '+' ? ' ' : from[i];
            continue;
        }
        if (length - i < 3 || hex_digit(from[i + 1]) < 0 || hex_digit(from[i + 2]) < 0) {
            free(text);
            return -EBADMSG;
        }
        text[used++] = (char)(hex_digit(from[i + 1]) << 4 | hex_digit(from[i + 2]));
        i += 2;
    }
    if (!is_text(text, used)) {
        free(text);
        return -EBADMSG;
    }
    text[used] = 0;
    *ret_text = text;
    return 0;
}

static int add_pair(struct form *form, const char *at, size_t length)
{
    const char *equals = memchr(at, '=', length);
    size_t name_length = equals ? (size_t)(equals - at) : length;
    struct form_pair pair = {0};
    int result;

    if (length == 0)
        return 0;
    if (form->count == FORM_PAIRS_MAX)
        return -E2BIG;
    result = decode(at, name_length, &pair.name);
    if (result == 0)
        result = equals ? decode(equals + 1, length - name_length - 1, &pair.value)
                        : decode("", 0, &pair.value);
    if (result < 0 || form_get(form, pair.name)) {
        free(pair.name);
        free(pair.value);
        return result;
    }
    form->pairs[form->count++] = pair;
    return 0;
}

int form_parse(struct form *form, const char *text, size_t length)
{
    check(form->count <= FORM_PAIRS_MAX);
    for (;;) {
        const char *end = length ? memchr(text, '&', length) : NULL;
        size_t part = end ? (size_t)(end - text) : length;
        int result = add_pair(form, text, part);

        if (result < 0)
            return result;
        if (!end)
            return 0;
        text = end + 1;
        length -= part + 1;
    }
}

const char *form_get(const struct form *form, const char *name)
{
    for (unsigned i = 0; i < form->count; i++)
        if (form->pairs[i].name[0] == name[0] && strcmp(form->pairs[i].name, name) == 0)
            return form->pairs[i].value;
    return NULL;
}

void form_fini(struct form *form)
{
    for (unsigned i = 0; i < form->count; i++) {
        free(form->pairs[i].name);
        free(form->pairs[i].value);
    }
    form->count = 0;
}
