/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: operations make trees and know of no form; the rules that clients stand and fall with
 * are kept here once, for every way by which a reply can come about (reply_format.h lists them).
 */
#include "api/reply_format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/json_text.h"
#include "api/xml_text.h"
#include "base/check.h"
#include "model/api_error.h"

/* --- which form ------------------------------------------------------------------------------ */

static bool wants_xml(const char *accept)
{
    return !strcasestr(accept, "json") && strcasestr(accept, "xml");
}

bool reply_form_choose(enum reply_scheme scheme, const char *format, const char *accept,
                       enum reply_form *ret_form)
{
    *ret_form = REPLY_JSON;
    if (scheme == REPLY_V3) {
        if (accept && wants_xml(accept))
            *ret_form = REPLY_XML;
        return true;
    }
    if (!format || !format[0]) {
        if (scheme == REPLY_V1)
            *ret_form = REPLY_XML;
        return true;
    }
    if (strcasecmp(format, "XML") == 0)
        *ret_form = REPLY_XML;
    return strcasecmp(format, "XML") == 0 || strcasecmp(format, "JSON") == 0;
}

/* --- the tree -------------------------------------------------------------------------------- */

static json_t *copy(const json_t *value, unsigned depth);

static json_t *copy_object(const json_t *value, unsigned depth)
{
    json_t *made = json_object(), *item;
    const char *name;

    check(made);
    json_object_foreach((json_t *)value, name, item)
    {
        check(json_object_set_new(made, name, copy(item, depth + 1)) == 0);
    }
    return made;
}

static json_t *copy_array(const json_t *value, unsigned depth)
{
    json_t *made = json_array(), *item;
    size_t index;

    check(made);
    json_array_foreach(value, index, item)
    {
        check(json_array_append_new(made, copy(item, depth + 1)) == 0);
    }
    return made;
}

/* For XML, as json_text_make() has it by itself: integers cut, no deeper than it may be. */
static json_t *copy(const json_t *value, unsigned depth)
{
    json_t *made;

    if (depth > JSON_TEXT_DEPTH_MAX)
        return json_null();
    if (json_is_object(value))
        return copy_object(value, depth);
    if (json_is_array(value))
        return copy_array(value, depth);
    if (json_is_integer(value))
        made = json_integer(json_text_cut(json_integer_value(value)));
    else
        made = json_deep_copy(value);
    check(made);
    return made;
}

static void set_text(json_t *tree, const char *name, const char *text)
{
    json_t *value = json_string(text);

    if (!value)
        value = json_string("?"); /* no UTF-8 */
    check(value && json_object_set_new(tree, name, value) == 0);
}

/* Members of `tree` behind those that `made` has already. */
static void add_rest(json_t *made, const json_t *tree, enum reply_form form)
{
    const char *name;
    json_t *item;

    json_object_foreach((json_t *)tree, name, item)
    {
        if (!json_object_get(made, name))
            check(json_object_set_new(made, name,
                                      form == REPLY_XML ? copy(item, 1) : json_incref(item)) == 0);
    }
}

static json_t *make_error(const struct reply_head *head, const char *code, const char *message)
{
    json_t *made = json_object();
    char recommend[200];

    check(made);
    snprintf(recommend, sizeof(recommend), "docs/api.md#errors: %.150s", code);
    set_text(made, "RequestId", head->request_id);
    set_text(made, "HostId", head->host_id);
    set_text(made, "Code", code);
    set_text(made, "Message", message);
    set_text(made, "Recommend", recommend);
    return made;
}

static json_t *make_internal_error(const struct reply_head *head)
{
    const struct api_error_entry *entry = api_error_entry(API_INTERNAL_ERROR);

    return make_error(head, entry->code, entry->message);
}

/* NULL: it is not fit to leave. */
static json_t *arrange(const struct reply_head *head, const json_t *tree)
{
    bool is_success = head->http_status == 200;
    const char *code = json_string_value(json_object_get(tree, "Code"));
    const char *message = json_string_value(json_object_get(tree, "Message"));
    json_t *made;

    if (!json_is_object(tree) || (!is_success && head->http_status < 400) ||
        head->http_status > 599)
        return NULL;
    if (is_success) {
        if (json_object_get(tree, "Code"))
            return NULL;
        made = json_object();
        check(made);
        set_text(made, "RequestId", head->request_id);
        add_rest(made, tree, head->form);
        return made;
    }
    if (!code || !code[0] || !message || !message[0])
        return NULL;
    made = make_error(head, code, message);
    add_rest(made, tree, head->form);
    if (!json_is_object(json_object_get(made, "AccessDeniedDetail")))
        json_object_del(made, "AccessDeniedDetail");
    return made;
}

/* --- the bytes ------------------------------------------------------------------------------- */

static void write_xml(const struct reply_head *head, const json_t *tree, bool is_error,
                      struct reply *reply)
{
    char root[160] = "Error";

    if (!is_error)
        snprintf(root, sizeof(root), "%.128sResponse", head->action);
    reply->text = xml_text_make(root, tree, &reply->length);
    /* Exactly so: some clients take no other spelling for XML. */
    reply->content_type = "text/xml;charset=utf-8";
}

static void write_json(const json_t *tree, struct reply *reply)
{
    reply->text = json_text_make(tree, &reply->length);
    reply->content_type = "application/json;charset=utf-8";
}

void reply_make(const struct reply_head *head, const json_t *tree, struct reply *ret_reply)
{
    json_t *made = arrange(head, tree);

    *ret_reply = (struct reply){.http_status = head->http_status};
    if (!made) {
        made = make_internal_error(head);
        ret_reply->http_status = 500;
        ret_reply->is_broken = true;
    }
    if (head->form == REPLY_XML)
        write_xml(head, made, ret_reply->http_status != 200, ret_reply);
    else
        write_json(made, ret_reply);
    check(ret_reply->length > 0);
    json_decref(made);
}
