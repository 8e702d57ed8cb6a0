/* SPDX-License-Identifier: Apache-2.0 */
/* See fuzz_draft.h. What libmicrohttpd gives on: no NUL in a head, names in lower case. */
#include "fuzz_draft.h"

#include <ctype.h>

/* Up to `end` (left out), at most size - 1 bytes of it. */
static void take(struct bytes_reader *input, char end, char *text, size_t size)
{
    size_t used = 0;

    while (input->left > 0) {
        char c = (char)bytes_u8(input);

        if (c == end)
            break;
        if (c != 0 && used + 1 < size)
            text[used++] = c;
    }
    text[used] = 0;
}

static char *trim(char *text)
{
    size_t length;

    while (*text == ' ' || *text == '\t')
        text++;
    length = strlen(text);
    while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t'))
        text[--length] = 0;
    return text;
}

void fuzz_draft_field(struct fuzz_draft *draft, const char *name, const char *value)
{
    size_t needed = strlen(name) + strlen(value) + 2;
    char *at = draft->heads + draft->heads_used;

    if (draft->field_count == DRAFT_FIELDS_MAX || needed > sizeof(draft->heads) - draft->heads_used)
        return;
    draft->fields[draft->field_count].name = (uint16_t)draft->heads_used;
    for (size_t i = 0; name[i]; i++)
        at[i] = (char)tolower(name[i]);
    at[strlen(name)] = 0;
    strcpy(at + strlen(name) + 1, value);
    draft->fields[draft->field_count].value = (uint16_t)(draft->heads_used + strlen(name) + 1);
    draft->heads_used += needed;
    draft->field_count++;
}

void fuzz_draft_parse(struct fuzz_draft *draft, struct bytes_reader *input)
{
    char line[DRAFT_TEXT_MAX];

    memset(draft, 0, sizeof(*draft));
    take(input, ' ', draft->method, sizeof(draft->method));
    take(input, '\n', draft->query, DRAFT_TEXT_MAX);
    while (input->left > 0) {
        char *colon;

        take(input, '\n', line, sizeof(line));
        if (!line[0])
            break;
        colon = strchr(line, ':');
        if (!colon || colon == line)
            continue;
        *colon = 0;
        fuzz_draft_field(draft, line, trim(colon + 1));
    }
    draft->body_length = input->left < DRAFT_TEXT_MAX - 1 ? input->left : DRAFT_TEXT_MAX - 1;
    memcpy(draft->body, input->at, draft->body_length);
}

void fuzz_draft_request(const struct fuzz_draft *draft, struct canonical_field *fields,
                        struct canonical_request *ret_request)
{
    for (unsigned i = 0; i < draft->field_count; i++)
        fields[i] = (struct canonical_field){draft->heads + draft->fields[i].name,
                                             draft->heads + draft->fields[i].value};
    *ret_request = (struct canonical_request){
        .method = draft->method,
        .query = {.at = draft->query, .length = strlen(draft->query)},
        .body = {.at = draft->body, .length = draft->body_length},
        .fields = fields,
        .field_count = draft->field_count,
    };
}
