/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a caller signs. Input: a request (fuzz_draft.h).
 *
 * Checked: what is signed is what operations see: each pair that http/form.c decodes stands in the
 * text, once, encoded by a second encoder, and nothing else does; pairs in any other order and
 * encoding make the same text; an Authorization header that is taken is put together again from
 * its parts.
 *
 * Covers: access/canonical.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "access/canonical.h"
#include "fuzz_draft.h"
#include "http/form.h"

enum { ENCODED_MAX = 3 * 4 * DRAFT_TEXT_MAX };

static struct canonical canonical;
static struct fuzz_draft draft;

static int pair_compare(const void *a, const void *b)
{
    const struct form_pair *x = a, *y = b;

    return strcmp(x->name, y->name); /* bytes: what is decoded has no NUL */
}

static char *encode(char *to, const char *text)
{
    for (; *text; text++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~", *text))
            *to++ = *text;
        else
            to += sprintf(to, "%%%02X", (uint8_t)*text);
    *to = 0;
    return to;
}

/* The query that a caller with these pairs would sign. */
static void encode_pairs(const struct form *form, bool is_v1, char *to)
{
    bool is_first = true;

    *to = 0;
    for (unsigned i = 0; i < form->count; i++) {
        if (is_v1 && strcmp(form->pairs[i].name, "Signature") == 0)
            continue;
        if (!is_first)
            *to++ = '&';
        is_first = false;
        to = encode(to, form->pairs[i].name);
        *to++ = '=';
        to = encode(to, form->pairs[i].value);
    }
}

static void check_v1(const struct canonical_request *request)
{
    static char once[ENCODED_MAX], expected[3 * ENCODED_MAX];
    struct form form = {0};
    int parsed = form_parse(&form, request->query.at, request->query.length), result;

    if (parsed == 0)
        parsed = form_parse(&form, request->body.at, request->body.length);
    result = canonical_v1(&canonical, request);
    check(result == 0 || result == -EBADMSG || result == -EEXIST || result == -E2BIG);
    if (result == 0)
        check(strlen(canonical.text) == canonical.length);
    if (parsed == 0 && result == 0) {
        qsort(form.pairs, form.count, sizeof(form.pairs[0]), pair_compare);
        encode_pairs(&form, true, once);
        encode(expected + sprintf(expected, "%s&%%2F&", request->method), once);
        check(strcmp(expected, canonical.text) == 0);
    }
    /* A form that operations may see can be signed, but for a name with two values. */
    check(parsed != 0 || result == 0 || result == -EEXIST || result == -E2BIG);
    form_fini(&form);
}

/* The query of a V3 text: it lists pairs that stand there twice, so it is sorted and encoded. */
static void check_v3(const struct canonical_request *request,
                     const struct canonical_authorization *authorization)
{
    struct canonical_request again = *request;
    int result = canonical_v3(&canonical, request, authorization, "hash");
    char *first, *query;
    size_t length;

    check(result == 0 || result == -EBADMSG || result == -EEXIST || result == -E2BIG ||
          result == -ENOENT);
    if (result != 0)
        return;
    check(strlen(canonical.text) == canonical.length);
    first = strdup(canonical.text);
    check(first);
    query = first + strlen(request->method) + 3;
    length = strcspn(query, "\n");
    again.query = (struct canonical_span){.at = query, .length = length};
    check(canonical_v3(&canonical, &again, authorization, "hash") == 0);
    check(strcmp(first, canonical.text) == 0);
    free(first);
}

static void check_authorization(const char *header, struct canonical_authorization *ret)
{
    char again[DRAFT_TEXT_MAX * 2];
    struct canonical_authorization second;

    if (canonical_parse_authorization(header, ret) < 0) {
        *ret = (struct canonical_authorization){.listed = {.at = "host", .length = 4}};
        ret->names[ret->name_count++] = ret->listed;
        return;
    }
    snprintf(again, sizeof(again), "%.*s Credential=%s,SignedHeaders=%.*s,Signature=%s",
             (int)ret->algorithm.length, ret->algorithm.at, ret->key_id, (int)ret->listed.length,
             ret->listed.at, ret->signature);
    check(canonical_parse_authorization(again, &second) == 0);
    check(strcmp(second.key_id, ret->key_id) == 0 && ret->key_id[0]);
    check(strcmp(second.signature, ret->signature) == 0 && ret->signature[0]);
    check(second.name_count == ret->name_count && ret->name_count <= CANONICAL_NAMES_MAX);
    for (unsigned i = 0; i < ret->name_count; i++) {
        char name[DRAFT_TEXT_MAX];

        check(ret->names[i].length > 0);
        snprintf(name, sizeof(name), "%.*s", (int)ret->names[i].length, ret->names[i].at);
        check(canonical_is_listed(ret, name));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct bytes_reader input = {.at = bytes, .left = length};
    struct canonical_field fields[DRAFT_FIELDS_MAX];
    struct canonical_request request;
    struct canonical_authorization authorization;
    const char *header = "";
    char *query, *body;

    fuzz_draft_parse(&draft, &input);
    fuzz_draft_request(&draft, fields, &request);
    /* Of exactly their length, so that a reader past the end is seen. */
    query = (char *)fuzz_copy((const uint8_t *)request.query.at, request.query.length);
    body = (char *)fuzz_copy((const uint8_t *)request.body.at, request.body.length);
    request.query.at = query;
    request.body.at = body;
    for (unsigned i = 0; i < request.field_count; i++)
        if (strcmp(fields[i].name, "authorization") == 0)
            header = fields[i].value;
    check_authorization(header, &authorization);
    check_v1(&request);
    check_v3(&request, &authorization);
    free(query);
    free(body);
    return 0;
}
