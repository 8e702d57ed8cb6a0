/* SPDX-License-Identifier: Apache-2.0 */
#include "captures.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *cut(char **at, const char *end)
{
    char *text = *at, *found = strstr(text, end);

    assert_non_null(found);
    *found = 0;
    *at = found + strlen(end);
    return text;
}

static void take_fields(struct capture *capture, char **at)
{
    char *names = capture->names;

    for (;;) {
        char *line = cut(at, "\r\n"), *value;
        struct canonical_field *field = &capture->fields[capture->request.field_count];

        if (!line[0])
            break;
        value = strstr(line, ": ");
        assert_non_null(value);
        assert_true(capture->request.field_count < CAPTURE_FIELDS_MAX);
        *value = 0;
        field->name = names;
        field->value = value + 2;
        for (const char *c = line; *c; c++)
            *names++ = (char)tolower(*c);
        names++;
        capture->request.field_count++;
    }
    capture->request.fields = capture->fields;
}

static void take_body(struct capture *capture, char *at)
{
    if (!capture_field(capture, "transfer-encoding")) {
        strcpy(capture->body, at);
        return;
    }
    for (;;) {
        unsigned long length = strtoul(cut(&at, "\r\n"), NULL, 16);

        if (length == 0)
            break;
        strncat(capture->body, at, length);
        at += length + 2;
    }
}

void capture_load(struct capture *capture, const char *name)
{
    char path[512], *at = capture->bytes, *target, *query;
    FILE *file;

    memset(capture, 0, sizeof(*capture));
    snprintf(path, sizeof(path), "%s/%s.http", CAPTURES_FOLDER, name);
    file = fopen(path, "rb");
    assert_non_null(file);
    assert_true(fread(capture->bytes, 1, CAPTURE_BYTES_MAX - 1, file) > 100);
    fclose(file);
    capture->request.method = cut(&at, " ");
    target = cut(&at, " ");
    assert_string_equal(cut(&at, "\r\n"), "HTTP/1.1");
    query = strchr(target, '?');
    query = query ? query + 1 : target + strlen(target);
    capture->request.query = (struct canonical_span){.at = query, .length = strlen(query)};
    take_fields(capture, &at);
    take_body(capture, at);
    capture->request.body =
        (struct canonical_span){.at = capture->body, .length = strlen(capture->body)};
}

const char *capture_field(const struct capture *capture, const char *name)
{
    for (unsigned i = 0; i < capture->request.field_count; i++)
        if (strcmp(capture->fields[i].name, name) == 0)
            return capture->fields[i].value;
    return NULL;
}

static bool find_parameter(const char *form, const char *name, char *ret_value, size_t size)
{
    size_t length = strlen(name), used = 0;
    const char *at = form;

    while (strncmp(at, name, length) != 0 || at[length] != '=') {
        at = strchr(at, '&');
        if (!at++)
            return false;
    }
    for (at += length + 1; *at && *at != '&'; at++) {
        char digits[3] = {at[0], 0, 0};

        assert_true(used + 1 < size);
        if (*at == '%') {
            digits[0] = at[1];
            digits[1] = at[2];
            ret_value[used++] = (char)strtoul(digits, NULL, 16);
            at += 2;
        } else {
            ret_value[used++] = *at == '+' ? ' ' : *at;
        }
    }
    ret_value[used] = 0;
    return true;
}

void capture_parameter(const struct capture *capture, const char *name, char *ret_value,
                       size_t size)
{
    assert_true(find_parameter(capture->request.query.at, name, ret_value, size) ||
                find_parameter(capture->body, name, ret_value, size));
}
