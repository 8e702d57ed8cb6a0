/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request's query and body, and its parameters by the row of an operation. Input: the number of
 * the operation, where the query ends (1 byte), query and body.
 *
 * Checked: what is parsed is text without NUL, no name comes twice, a typed value exists for each
 * parameter that must be there.
 *
 * Covers: http/form.c api/parameters.c.
 */
#include <errno.h>
#include <stdlib.h>

#include "api/parameters.h"
#include "api/table.h"
#include "fuzz.h"
#include "http/form.h"

static void check_pairs(const struct form *form)
{
    check(form->count <= FORM_PAIRS_MAX);
    for (unsigned i = 0; i < form->count; i++) {
        check(form->pairs[i].name && form->pairs[i].value);
        check(form_get(form, form->pairs[i].name) == form->pairs[i].value);
    }
}

static void check_parameters(const struct form *form, const struct operation *operation)
{
    json_t *texts = json_object(), *typed = NULL;
    const char *name = NULL;
    enum api_error error;

    check(texts);
    for (unsigned i = 0; i < form->count; i++) {
        /* Text that the form takes is text for JSON too. */
        check(json_object_set_new(texts, form->pairs[i].name, json_string(form->pairs[i].value)) ==
              0);
    }
    error = parameters_parse(operation, texts, &typed, &name);
    check((error == API_OK) == (typed != NULL) && (error == API_OK) == (name == NULL));
    for (unsigned i = 0; typed && i < OPERATION_PARAMETERS_MAX && operation->parameters[i].name;
         i++)
        check(!operation->parameters[i].is_required ||
              json_object_get(typed, operation->parameters[i].name));
    json_decref(typed);
    json_decref(texts);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct bytes_reader input = {.at = bytes, .left = length};
    unsigned row = bytes_u8(&input), rows = 0;
    size_t query = bytes_u8(&input);
    struct form form = {0};
    char *text;
    int error;

    while (table_at(rows))
        rows++;
    text = (char *)fuzz_copy(input.at, input.left);
    query = query < input.left ? query : input.left;
    error = form_parse(&form, text, query);
    if (error == 0)
        error = form_parse(&form, text + query, input.left - query);
    check(error == 0 || error == -EBADMSG || error == -E2BIG);
    check_pairs(&form);
    if (error == 0)
        check_parameters(&form, table_at(row % rows));
    form_fini(&form);
    free(text);
    return 0;
}
