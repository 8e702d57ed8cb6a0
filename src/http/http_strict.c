/* SPDX-License-Identifier: Apache-2.0 */
/* Why: libmicrohttpd 0.9 takes what other servers read otherwise. RFC 9112, sections 2 to 6. */
#include "http/http_strict.h"

#include <string.h>
#include <strings.h>

#include "http/http_request.h"

static bool is_token(const char *name)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    if (*name == '\0')
        return false;
    for (; *name != '\0'; name++) {
        bool is_letter = (*name | 0x20) >= 'a' && (*name | 0x20) <= 'z';

        if (!is_letter && (*name < '0' || *name > '9') && strchr(others, *name) == NULL)
            return false;
    }
    return true;
}

static bool is_printable(const char *value)
{
    for (; *value != '\0'; value++)
        if (((unsigned char)*value < 0x20 && *value != '\t') || *value == 0x7f)
            return false;
    return true;
}

bool http_strict_line(const char *method, const char *target)
{
    if (*target == '\0')
        return false;
    for (; *target != '\0'; target++)
        if ((unsigned char)*target <= 0x20 || *target == 0x7f)
            return false;
    return is_token(method);
}

static bool is_named(const struct http_field *field, const char *name)
{
    return strcasecmp(field->name, name) == 0;
}

static const char *take_length(const char *value, uint64_t *ret_number)
{
    size_t length = strlen(value);
    uint64_t number = 0;

    if (length == 0 || length > 18)
        return "Content-Length is no number that we take";
    for (size_t i = 0; i < length; i++) {
        if (value[i] < '0' || value[i] > '9')
            return "Content-Length is no number that we take";
        number = number * 10 + (uint64_t)(value[i] - '0');
    }
    *ret_number = number;
    return NULL;
}

static bool is_one_host(const char *value)
{
    size_t length = strcspn(value, " \t,/@?#");

    return value[length + strspn(value + length, " \t")] == '\0';
}

static bool is_chunked(const char *value)
{
    return strcasecmp(value, "chunked") == 0;
}

struct counts {
    unsigned hosts, lengths, encodings;
};

static const char *take_field(const struct http_field *field, struct counts *counts,
                              struct http_framing *framing)
{
    if (!is_token(field->name))
        return "the name of a field is no token";
    if (!is_printable(field->value))
        return "a field has control characters";
    if (is_named(field, "host"))
        return ++counts->hosts > 1 || !is_one_host(field->value) ? "Host is there twice" : NULL;
    if (is_named(field, "content-length"))
        return ++counts->lengths > 1 ? "Content-Length is there twice"
                                     : take_length(field->value, &framing->length);
    if (is_named(field, "transfer-encoding")) {
        framing->is_chunked = is_chunked(field->value);
        return ++counts->encodings > 1 || !framing->is_chunked
                   ? "Transfer-Encoding is not just chunked"
                   : NULL;
    }
    return NULL;
}

const char *http_strict_head(const char *version, const struct http_field *fields, unsigned count,
                             struct http_framing *ret_framing)
{
    bool is_old = strcmp(version, "HTTP/1.0") == 0;
    struct http_framing framing = {0};
    struct counts counts = {0};

    for (unsigned i = 0; i < count; i++) {
        const char *why = take_field(&fields[i], &counts, &framing);

        if (why != NULL)
            return why;
    }
    if (counts.hosts == 0 && !is_old)
        return "Host is missing";
    if (counts.encodings > 0 && (counts.lengths > 0 || is_old))
        return "Transfer-Encoding with Content-Length, or in HTTP/1.0";
    *ret_framing = framing;
    return NULL;
}

bool http_strict_in_place(const char *version, const struct http_field *fields, unsigned count,
                          const char *head_end)
{
    const char *end = version + strlen(version);

    for (unsigned i = 0; i < count; i++) {
        const char *name_end = fields[i].name + strlen(fields[i].name);

        if (fields[i].name != end + 2) /* where CR and LF were */
            return false;
        if (fields[i].value <= name_end)
            return false;
        for (const char *at = name_end + 1; at < fields[i].value; at++)
            if (*at != ' ' && *at != '\t')
                return false;
        end = fields[i].value + strlen(fields[i].value);
    }
    return end + 4 == head_end; /* its own end and the empty line */
}
