/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: a handler never sees text that it must check. Required but absent -> Missing{Name}; present
 * but wrong -> the row's error, else InvalidParameter for names and booleans (contract S16), else
 * Invalid{Name}. An empty text of an optional parameter counts as absent, and so does one of a
 * required parameter whose absence has an error of its own.
 */
#include "api/parameters.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/parameter_list.h"
#include "base/check.h"
#include "control/tree.h"

/* Characters of UTF-8 text (which the door has checked). */
static int64_t text_length(const char *text)
{
    int64_t count = 0;

    for (; *text; text++)
        count += (*text & 0xc0) != 0x80;
    return count;
}

static json_t *parse_text(const struct parameter *parameter, const char *text)
{
    int64_t length = parameter->kind == PARAMETER_TEXT ? (int64_t)strlen(text) : text_length(text);

    if (length < parameter->min || (parameter->max > 0 && length > parameter->max))
        return NULL;
    return json_string(text);
}

static bool is_group(const char *text)
{
    for (const char *at = text; *at; at++)
        if (!(*at >= '0' && *at <= '9') && !((*at | 0x20) >= 'a' && (*at | 0x20) <= 'z') &&
            !strchr("-_.", *at))
            return false;
    return true;
}

static bool is_link(const char *text)
{
    return strncasecmp(text, "http://", 7) == 0 || strncasecmp(text, "https://", 8) == 0;
}

/* The first byte's character, 0xfffd when it is none; texts are UTF-8 by then. */
static uint32_t decode(const char *text, unsigned *ret_size)
{
    const unsigned char *at = (const unsigned char *)text;
    unsigned size = at[0] < 0x80 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    uint32_t c = size == 1 ? at[0] : at[0] & (0xffU >> (size + 1));

    for (unsigned i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            *ret_size = i;
            return 0xfffd;
        }
        c = c << 6 | (at[i] & 0x3f);
    }
    *ret_size = size;
    return c;
}

static bool is_chinese(uint32_t c)
{
    return c == 0x3007 || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x4e00 && c <= 0x9fff) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x20000 && c <= 0x323af);
}

/* First a letter; then letters, digits and the marks that the row lists. */
static json_t *parse_name(const struct parameter *parameter, const char *text)
{
    const char *marks = parameter->choices ? parameter->choices : ":_.-";
    unsigned size;

    if (is_link(text))
        return NULL;
    for (const char *at = text; *at; at += size) {
        uint32_t c = decode(at, &size);
        bool is_letter = c < 0x80 ? (c | 0x20) >= 'a' && (c | 0x20) <= 'z'
                                  : parameter->kind == PARAMETER_NAME_ANY || is_chinese(c);

        if (is_letter)
            continue;
        if (at == text || c >= 0x80 || (!(c >= '0' && c <= '9') && !strchr(marks, (int)c)))
            return NULL;
    }
    return parse_text(parameter, text);
}

static json_t *parse_token(const char *text)
{
    for (const char *at = text; *at; at++)
        if (*at < 0x20 || *at > 0x7e)
            return NULL;
    return strlen(text) <= 64 ? json_string(text) : NULL;
}

static json_t *parse_int(const struct parameter *parameter, const char *text)
{
    const char *digits = text[0] == '-' ? text + 1 : text;
    char *end;
    long long value;

    if (!(digits[0] >= '0' && digits[0] <= '9'))
        return NULL;
    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno || *end || value < parameter->min || value > parameter->max)
        return NULL;
    return json_integer(value);
}

static json_t *parse_bool(const char *text)
{
    if (strcasecmp(text, "true") == 0)
        return json_true();
    return strcasecmp(text, "false") == 0 ? json_false() : NULL;
}

static json_t *parse_choice(const struct parameter *parameter, const char *text)
{
    size_t length = strlen(text);

    if (strchr(text, '|'))
        return NULL;
    for (const char *at = parameter->choices; at; at = strchr(at, '|')) {
        at += *at == '|';
        if (strncmp(at, text, length) == 0 && (at[length] == '|' || at[length] == 0))
            return length > 0 ? json_string(text) : NULL;
    }
    return NULL;
}

/* Blanks around an id are none of it. */
static json_t *parse_ids(const struct parameter *parameter, const char *text)
{
    json_t *list = json_array();

    check(list);
    for (;;) {
        const char *begin = text + strspn(text, " ");
        size_t end = strcspn(begin, ","), length = end;
        json_t *item;

        while (length > 0 && begin[length - 1] == ' ')
            length--;
        item = json_stringn(begin, length);
        if (!item || length == 0 || length > 60 ||
            (int64_t)json_array_size(list) >= parameter->max) {
            json_decref(item);
            json_decref(list);
            return NULL;
        }
        check(json_array_append_new(list, item) == 0);
        if (!begin[end])
            return list;
        text = begin + end + 1;
    }
}

/* How many there may be has an error of its own: see parse_single(). */
static json_t *parse_ids_json(const char *text)
{
    json_t *list = tree_parse(text, strlen(text), TREE_TOKENS_MAX), *item;
    size_t index;
    bool is_good = json_is_array(list);

    json_array_foreach(list, index, item)
    {
        is_good = is_good && json_is_string(item) && json_string_length(item) <= 60;
    }
    if (is_good)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *parse_value(const struct parameter *parameter, const char *text)
{
    switch (parameter->kind) {
    case PARAMETER_TEXT:
        return parse_text(parameter, text);
    case PARAMETER_TOKEN:
        return parse_token(text);
    case PARAMETER_NAME:
    case PARAMETER_NAME_ANY:
        return parse_name(parameter, text);
    case PARAMETER_NOTE:
        return is_link(text) ? NULL : parse_text(parameter, text);
    case PARAMETER_GROUP:
        return is_group(text) ? parse_text(parameter, text) : NULL;
    case PARAMETER_INT:
        return parse_int(parameter, text);
    case PARAMETER_BOOL:
        return parse_bool(text);
    case PARAMETER_CHOICE:
        return parse_choice(parameter, text);
    case PARAMETER_IDS:
        return parse_ids(parameter, text);
    case PARAMETER_IDS_JSON:
        return parse_ids_json(text);
    case PARAMETER_LIST:
    case PARAMETER_TAGS:
    case PARAMETER_TAG_FILTER:
        break; /* several texts: parameter_list.c */
    }
    check(!"every kind of one text has a case");
    return NULL;
}

static enum api_error error_of(const struct parameter *parameter)
{
    if (parameter->error != API_OK)
        return parameter->error;
    if (parameter->kind == PARAMETER_NAME || parameter->kind == PARAMETER_NAME_ANY ||
        parameter->kind == PARAMETER_NOTE || parameter->kind == PARAMETER_BOOL)
        return API_INVALID_PARAMETER;
    return API_INVALID_NAME;
}

static enum api_error missing_of(const struct parameter *parameter)
{
    return parameter->missing != API_OK ? parameter->missing : API_MISSING_NAME;
}

static bool is_list(const struct parameter *parameter)
{
    return parameter->kind == PARAMETER_LIST || parameter->kind == PARAMETER_TAGS ||
           parameter->kind == PARAMETER_TAG_FILTER;
}

/* One parameter of one text; NULL: absent, and may be. */
static enum api_error parse_single(const struct parameter *parameter, const json_t *texts,
                                   json_t **ret_value)
{
    const char *text = json_string_value(json_object_get(texts, parameter->name));

    if (!text || (!text[0] && !parameter->is_required))
        text = parameter->absent;
    if (!text)
        return API_OK;
    if (!text[0] && parameter->empty != API_OK)
        return parameter->empty;
    if (!text[0] && parameter->missing != API_OK)
        return parameter->missing;
    *ret_value = parse_value(parameter, text);
    if (!*ret_value)
        return error_of(parameter);
    if (parameter->kind != PARAMETER_IDS_JSON ||
        (int64_t)json_array_size(*ret_value) <= parameter->max)
        return API_OK;
    json_decref(*ret_value);
    *ret_value = NULL;
    return API_DISK_IDS_TOO_MANY;
}

/* One parameter into `typed`; `ret_name`: what an error is about. */
static enum api_error parse_one(const struct operation *operation,
                                const struct parameter *parameter, const json_t *texts,
                                json_t *typed, const char **ret_name)
{
    json_t *value = NULL;
    enum api_error error;

    *ret_name = parameter->name;
    if (is_list(parameter))
        error = parameter_list_parse(operation, parameter, texts, &value, ret_name);
    else
        error = parse_single(parameter, texts, &value);
    if (error != API_OK)
        return error;
    if (!value)
        return parameter->is_required ? missing_of(parameter) : API_OK;
    check(json_object_set_new(typed, parameter->name, value) == 0);
    return API_OK;
}

enum api_error parameters_parse(const struct operation *operation, const json_t *texts,
                                json_t **ret_typed, const char **ret_name)
{
    json_t *typed = json_object();
    const char *name;

    check(typed);
    for (unsigned i = 0; i < OPERATION_PARAMETERS_MAX && operation->parameters[i].name; i++) {
        enum api_error error = parse_one(operation, &operation->parameters[i], texts, typed, &name);

        if (error != API_OK) {
            *ret_name = name;
            json_decref(typed);
            return error;
        }
    }
    *ret_typed = typed;
    return API_OK;
}
