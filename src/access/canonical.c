/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: of a signature only yes or no can be said, so each byte of the text below must come about as
 * the caller's did. tests/unit/access/test_canonical.c holds it against every published text and
 * against what real clients sent.
 *
 * Cost: each byte of query and form is looked at a fixed number of times, names are sorted; memory
 * is asked for before the work, and kept for the next request.
 */
#include "access/canonical.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* A name and a value, both encoded, in canonical->encoded. */
struct canonical_pair {
    struct canonical_span name, value;
};

/* What is kept between two requests; more goes back. */
enum { KEPT_BYTES_MAX = 256 << 10 };

static const char hex[] = "0123456789ABCDEF";

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

/* RFC 3986, 2.3 */
static bool is_unreserved(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

static char *put(char *to, const char *from, size_t length)
{
    memcpy(to, from, length);
    return to + length;
}

static char *put_encoded(char *to, uint8_t c)
{
    if (is_unreserved(c)) {
        *to++ = (char)c;
        return to;
    }
    *to++ = '%';
    *to++ = hex[c >> 4];
    *to++ = hex[c & 15];
    return to;
}

/* Decodes a part of a form and encodes it: at most three times as long. NULL: a broken %XX. */
static char *recode(char *to, const char *from, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (from[i] == '+') {
            to = put_encoded(to, ' ');
        } else if (from[i] != '%') {
            to = put_encoded(to, (uint8_t)from[i]);
        } else {
            if (length - i < 3 || hex_digit(from[i + 1]) < 0 || hex_digit(from[i + 2]) < 0)
                return NULL;
            to = put_encoded(to, (uint8_t)(hex_digit(from[i + 1]) << 4 | hex_digit(from[i + 2])));
            i += 2;
        }
    }
    return to;
}

/* The next byte of an encoded text, decoded. */
static uint8_t next_byte(const char **at)
{
    const char *from = *at;

    if (*from != '%') {
        *at += 1;
        return (uint8_t)*from;
    }
    *at += 3;
    return (uint8_t)((unsigned)hex_digit(from[1]) << 4 | (unsigned)hex_digit(from[2]));
}

/* By the bytes that are meant, not by their encoding. */
static int span_compare(const struct canonical_span *a, const struct canonical_span *b)
{
    const char *x = a->at, *y = b->at, *x_end = x + a->length, *y_end = y + b->length;

    while (x < x_end && y < y_end) {
        int difference = (int)next_byte(&x) - (int)next_byte(&y);

        if (difference != 0)
            return difference;
    }
    return (x < x_end) - (y < y_end);
}

static int pair_compare(const void *a, const void *b)
{
    const struct canonical_pair *x = a, *y = b;
    int difference = span_compare(&x->name, &y->name);

    return difference != 0 ? difference : span_compare(&x->value, &y->value);
}

/* --- memory ---------------------------------------------------------------------------------- */

static int reserve(char **bytes, size_t *size, size_t needed)
{
    char *larger;

    if (needed <= *size && *size <= KEPT_BYTES_MAX)
        return 0;
    if (needed < 4096)
        needed = 4096;
    larger = malloc(needed);
    if (!larger)
        return -ENOMEM;
    free(*bytes);
    *bytes = larger;
    *size = needed;
    return 0;
}

/* Room for the pairs of `raw` bytes of forms, and for a text of `text` bytes. */
static int prepare(struct canonical *canonical, size_t raw, size_t text)
{
    if (!canonical->pairs)
        canonical->pairs = calloc(CANONICAL_PAIRS_MAX, sizeof(canonical->pairs[0]));
    canonical->pair_count = 0;
    canonical->length = 0;
    if (!canonical->pairs || reserve(&canonical->encoded, &canonical->encoded_size, 3 * raw) < 0 ||
        reserve(&canonical->text, &canonical->size, text) < 0)
        return -ENOMEM;
    canonical->text[0] = 0;
    return 0;
}

void canonical_fini(struct canonical *canonical)
{
    free(canonical->text);
    free(canonical->encoded);
    free(canonical->pairs);
    *canonical = (struct canonical){0};
}

/* --- pairs ----------------------------------------------------------------------------------- */

/* `to`: where encoded bytes go; moved on. */
static int add_pair(struct canonical *canonical, const char *at, size_t length, char **to)
{
    const char *equals = memchr(at, '=', length);
    size_t name_length = equals ? (size_t)(equals - at) : length;
    struct canonical_pair pair;
    char *value, *end;

    if (canonical->pair_count == CANONICAL_PAIRS_MAX)
        return -E2BIG;
    value = recode(*to, at, name_length);
    if (!value)
        return -EBADMSG;
    end = equals ? recode(value, equals + 1, length - name_length - 1) : value;
    if (!end)
        return -EBADMSG;
    pair.name = (struct canonical_span){.at = *to, .length = (size_t)(value - *to)};
    pair.value = (struct canonical_span){.at = value, .length = (size_t)(end - value)};
    canonical->pairs[canonical->pair_count++] = pair;
    *to = end;
    return 0;
}

static int add_pairs(struct canonical *canonical, struct canonical_span form, char **to)
{
    const char *at = form.at;
    size_t left = form.length;

    while (left > 0) {
        const char *end = memchr(at, '&', left);
        size_t part = end ? (size_t)(end - at) : left;
        int result = part > 0 ? add_pair(canonical, at, part, to) : 0;

        if (result < 0)
            return result;
        at += part;
        left -= part;
        if (end) {
            at++;
            left--;
        }
    }
    return 0;
}

/* Sorts; refuses a name with two values. */
static int sort_pairs(struct canonical *canonical)
{
    struct canonical_pair *pairs = canonical->pairs;

    if (canonical->pair_count > 1)
        qsort(pairs, canonical->pair_count, sizeof(pairs[0]), pair_compare);
    for (unsigned i = 1; i < canonical->pair_count; i++)
        if (span_compare(&pairs[i - 1].name, &pairs[i].name) == 0 &&
            span_compare(&pairs[i - 1].value, &pairs[i].value) != 0)
            return -EEXIST;
    return 0;
}

/* --- V1 -------------------------------------------------------------------------------------- */

/* What is encoded already, encoded once more. */
static char *put_twice(char *to, struct canonical_span span)
{
    for (size_t i = 0; i < span.length; i++) {
        if (span.at[i] == '%')
            to = put(to, "%25", 3);
        else
            *to++ = span.at[i];
    }
    return to;
}

static bool is_left_out(const struct canonical_pair *pair)
{
    return pair->name.length == 9 && memcmp(pair->name.at, "Signature", 9) == 0;
}

static bool is_repeated(const struct canonical *canonical, unsigned i)
{
    return i > 0 && pair_compare(&canonical->pairs[i - 1], &canonical->pairs[i]) == 0;
}

int canonical_v1(struct canonical *canonical, const struct canonical_request *request)
{
    size_t raw = request->query.length + request->body.length;
    size_t method_length = strlen(request->method);
    bool is_first = true;
    char *to;
    int result;

    /* A byte becomes five at most (%25XY), '=' and '&' three. */
    result = prepare(canonical, raw, method_length + 8 + 5 * raw + (size_t)CANONICAL_PAIRS_MAX * 6);
    if (result < 0)
        return result;
    to = canonical->encoded;
    result = add_pairs(canonical, request->query, &to);
    if (result == 0)
        result = add_pairs(canonical, request->body, &to);
    if (result == 0)
        result = sort_pairs(canonical);
    if (result < 0)
        return result;
    to = put(canonical->text, request->method, method_length);
    to = put(to, "&%2F&", 5);
    for (unsigned i = 0; i < canonical->pair_count; i++) {
        if (is_left_out(&canonical->pairs[i]) || is_repeated(canonical, i))
            continue;
        if (!is_first)
            to = put(to, "%26", 3);
        is_first = false;
        to = put_twice(to, canonical->pairs[i].name);
        to = put(to, "%3D", 3);
        to = put_twice(to, canonical->pairs[i].value);
    }
    *to = 0;
    canonical->length = (size_t)(to - canonical->text);
    check(canonical->length < canonical->size);
    return 0;
}

/* --- V3 -------------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct canonical_span trim(const char *value)
{
    struct canonical_span span = {.at = value, .length = strlen(value)};

    while (span.length > 0 && is_blank(span.at[0])) {
        span.at++;
        span.length--;
    }
    while (span.length > 0 && is_blank(span.at[span.length - 1]))
        span.length--;
    return span;
}

static int bytes_compare(const void *a, const void *b)
{
    const struct canonical_span *x = a, *y = b;
    size_t shorter = x->length < y->length ? x->length : y->length;
    int difference = memcmp(x->at, y->at, shorter);

    return difference != 0 ? difference : (x->length > y->length) - (x->length < y->length);
}

/* "name:value\n"; several values sorted, with commas between. NULL: there is none. */
static char *put_header(char *to, const struct canonical_request *request,
                        struct canonical_span name)
{
    struct canonical_span values[CANONICAL_NAMES_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < request->field_count && count < CANONICAL_NAMES_MAX; i++)
        if (strlen(request->fields[i].name) == name.length &&
            memcmp(request->fields[i].name, name.at, name.length) == 0)
            values[count++] = trim(request->fields[i].value);
    if (count == 0)
        return NULL;
    if (count > 1)
        qsort(values, count, sizeof(values[0]), bytes_compare);
    to = put(to, name.at, name.length);
    for (unsigned i = 0; i < count; i++) {
        *to++ = i == 0 ? ':' : ',';
        to = put(to, values[i].at, values[i].length);
    }
    *to++ = '\n';
    return to;
}

/* Each header once: the names are ascending. */
static size_t fields_bytes(const struct canonical_request *request)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < request->field_count; i++)
        bytes += strlen(request->fields[i].name) + strlen(request->fields[i].value) + 2;
    return bytes;
}

static char *put_query(char *to, const struct canonical *canonical)
{
    for (unsigned i = 0; i < canonical->pair_count; i++) {
        const struct canonical_pair *pair = &canonical->pairs[i];

        if (i > 0)
            *to++ = '&';
        to = put(to, pair->name.at, pair->name.length);
        *to++ = '=';
        to = put(to, pair->value.at, pair->value.length);
    }
    return to;
}

int canonical_v3(struct canonical *canonical, const struct canonical_request *request,
                 const struct canonical_authorization *authorization, const char *body_hash)
{
    size_t method_length = strlen(request->method), hash_length = strlen(body_hash);
    char *to;
    int result;

    result = prepare(canonical, request->query.length,
                     method_length + hash_length + 16 + 3 * request->query.length +
                         (size_t)CANONICAL_PAIRS_MAX * 2 + fields_bytes(request) +
                         authorization->listed.length);
    if (result < 0)
        return result;
    to = canonical->encoded;
    result = add_pairs(canonical, request->query, &to);
    if (result == 0)
        result = sort_pairs(canonical);
    if (result < 0)
        return result;
    to = put(canonical->text, request->method, method_length);
    to = put(to, "\n/\n", 3);
    to = put_query(to, canonical);
    *to++ = '\n';
    for (unsigned i = 0; i < authorization->name_count; i++) {
        to = put_header(to, request, authorization->names[i]);
        if (!to)
            return -ENOENT;
    }
    *to++ = '\n';
    to = put(to, authorization->listed.at, authorization->listed.length);
    *to++ = '\n';
    to = put(to, body_hash, hash_length);
    *to = 0;
    canonical->length = (size_t)(to - canonical->text);
    check(canonical->length < canonical->size);
    return 0;
}

/* --- Authorization --------------------------------------------------------------------------- */

static bool is_word(char c)
{
    static const bool others[128] = {
        ['-'] = true, ['_'] = true, ['.'] = true, ['~'] = true, ['+'] = true,
        ['/'] = true, ['='] = true, ['@'] = true, [':'] = true};

    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           ((c & 0x80) == 0 && others[(unsigned char)c]);
}

/* `label` and the words behind it, up to a comma or the end; moved on behind them. */
static bool take_value(const char **at, const char *label, const char *also,
                       struct canonical_span *ret_value)
{
    size_t length = strlen(label);
    const char *end;

    if (strncmp(*at, label, length) != 0)
        return false;
    *at += length;
    for (end = *at; is_word(*end) || (also[0] && *end != 0 && strchr(also, *end) != NULL);)
        end++;
    *ret_value = (struct canonical_span){.at = *at, .length = (size_t)(end - *at)};
    *at = end;
    return ret_value->length > 0;
}

static bool take_comma(const char **at)
{
    if (**at != ',')
        return false;
    (*at)++;
    while (**at == ' ')
        (*at)++;
    return true;
}

static bool copy_span(struct canonical_span span, char *to, size_t size)
{
    if (span.length >= size)
        return false;
    memcpy(to, span.at, span.length);
    to[span.length] = 0;
    return true;
}

static bool is_field_name(struct canonical_span name)
{
    for (size_t i = 0; i < name.length; i++)
        if (!is_word(name.at[i]) || (name.at[i] >= 'A' && name.at[i] <= 'Z'))
            return false;
    return name.length > 0;
}

static bool take_names(struct canonical_authorization *authorization)
{
    const char *at = authorization->listed.at, *end = at + authorization->listed.length;

    while (at <= end) {
        const char *semicolon = memchr(at, ';', (size_t)(end - at));
        struct canonical_span name = {.at = at,
                                      .length = (size_t)((semicolon ? semicolon : end) - at)};
        unsigned count = authorization->name_count;

        if (!is_field_name(name) || count == CANONICAL_NAMES_MAX ||
            (count > 0 && bytes_compare(&authorization->names[count - 1], &name) >= 0))
            return false;
        authorization->names[authorization->name_count++] = name;
        at = name.at + name.length + 1;
    }
    return true;
}

int canonical_parse_authorization(const char *header, struct canonical_authorization *ret)
{
    struct canonical_span key, signature;
    const char *at = header;

    ret->name_count = 0;
    if (!take_value(&at, "", "", &ret->algorithm) || *at != ' ')
        return -EBADMSG;
    while (*at == ' ')
        at++;
    if (!take_value(&at, "Credential=", "", &key) || !take_comma(&at) ||
        !take_value(&at, "SignedHeaders=", ";", &ret->listed) || !take_comma(&at) ||
        !take_value(&at, "Signature=", "", &signature) || *at != 0)
        return -EBADMSG;
    if (!copy_span(key, ret->key_id, sizeof(ret->key_id)) ||
        !copy_span(signature, ret->signature, sizeof(ret->signature)) || !take_names(ret))
        return -EBADMSG;
    return 0;
}

bool canonical_is_listed(const struct canonical_authorization *authorization, const char *name)
{
    size_t length = strlen(name);

    for (unsigned i = 0; i < authorization->name_count; i++)
        if (authorization->names[i].length == length &&
            memcmp(authorization->names[i].at, name, length) == 0)
            return true;
    return false;
}
