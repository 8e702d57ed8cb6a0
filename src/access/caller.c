/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: the site that runs a call decides again whether it may, so it must know who asked, exactly
 * as the site that proved it. What makes no sense is refused rather than mended: an identity that
 * is half understood would be somebody else's.
 */
#include "access/caller.h"

#include <string.h>

#include "base/bytes.h"
#include "base/check.h"

static const char *const kinds[] = {
    [CALLER_LOCAL] = "local",
    [CALLER_ROOT_KEY] = "root-key",
    [CALLER_USER] = "user",
};

struct caller caller_local(int64_t now_s)
{
    return (struct caller){.kind = CALLER_LOCAL, .user = "root", .is_secure = true, .now_s = now_s};
}

bool caller_is_root(const struct caller *caller)
{
    return caller->kind != CALLER_USER;
}

json_t *caller_tree(const struct caller *caller)
{
    check((unsigned)caller->kind < ARRAY_COUNT(kinds));
    return json_pack("{s:s, s:s, s:s, s:s, s:b, s:I, s:s, s:I}", "kind", kinds[caller->kind],
                     "user", caller->user, "key", caller->key_id, "source", caller->source,
                     "secure", (int)caller->is_secure, "now", (json_int_t)caller->now_s, "nonce",
                     caller->nonce, "signed", (json_int_t)caller->signed_s);
}

static bool take_text(const json_t *tree, const char *name, char *ret_text, size_t size)
{
    const json_t *value = json_object_get(tree, name);
    const char *text = json_string_value(value);

    if (!text || json_string_length(value) >= size || strlen(text) != json_string_length(value))
        return false;
    memcpy(ret_text, text, strlen(text) + 1);
    return true;
}

static bool makes_sense(const struct caller *caller)
{
    bool is_root = strcmp(caller->user, "root") == 0;

    if (caller->now_s < 0 || !caller->user[0])
        return false;
    if (caller->kind == CALLER_LOCAL)
        return is_root && !caller->key_id[0] && !caller->source[0] && !caller->nonce[0];
    return caller->key_id[0] && is_root == (caller->kind == CALLER_ROOT_KEY);
}

bool caller_parse(const json_t *tree, struct caller *ret_caller)
{
    const char *kind = json_string_value(json_object_get(tree, "kind"));
    const json_t *secure = json_object_get(tree, "secure"), *now = json_object_get(tree, "now");
    const json_t *at = json_object_get(tree, "signed");
    struct caller caller = {0};
    unsigned i = 0;

    while (kind && i < ARRAY_COUNT(kinds) && strcmp(kinds[i], kind) != 0)
        i++;
    if (!kind || i == ARRAY_COUNT(kinds) || !json_is_boolean(secure) || !json_is_integer(now) ||
        !json_is_integer(at) || !take_text(tree, "user", caller.user, sizeof(caller.user)) ||
        !take_text(tree, "key", caller.key_id, sizeof(caller.key_id)) ||
        !take_text(tree, "source", caller.source, sizeof(caller.source)) ||
        !take_text(tree, "nonce", caller.nonce, sizeof(caller.nonce)))
        return false;
    caller.kind = (enum caller_kind)i;
    caller.is_secure = json_is_true(secure);
    caller.now_s = json_integer_value(now);
    caller.signed_s = json_integer_value(at);
    if (!makes_sense(&caller))
        return false;
    *ret_caller = caller;
    return true;
}
