/* SPDX-License-Identifier: Apache-2.0 */
/* Why: what the records say and what the directory holds is made alike in one place, whether the
 * record was read at the start, changed here, or came from the peer. */
#include "control/roster_record.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "control/tree.h"

static bool is_word(const char *text, const char *marks)
{
    for (const char *at = text; *at; at++) {
        bool is_alnum = (*at >= '0' && *at <= '9') || ((*at | 0x20) >= 'a' && (*at | 0x20) <= 'z');

        if (!is_alnum && (at == text || !strchr(marks, *at)))
            return false;
    }
    return text[0] && strlen(text) <= 60;
}

bool roster_record_is_name(const char *text)
{
    return is_word(text, "._-");
}

static bool is_sane_policy(const struct policy_record *record)
{
    struct policy *policy = NULL;
    struct err err = {0};
    int result;

    if (!roster_record_is_name(record->access.id) || !is_word(record->uid, "-"))
        return false;
    if (record->access.is_deleted)
        return true;
    result = policy_parse(record->document, strlen(record->document), &policy, &err);
    check(result != -ENOMEM);
    if (result < 0)
        return false;
    policy_free(policy);
    return true;
}

static bool is_sane_link(const struct policy_link_record *record)
{
    char id[RECORD_ACCESS_ID_SIZE];

    if (!roster_record_is_name(record->user) || !roster_record_is_name(record->policy))
        return false;
    snprintf(id, sizeof(id), "%s/%s", record->user, record->policy);
    return strcmp(id, record->access.id) == 0 && is_word(record->user_uid, "-") &&
           is_word(record->policy_uid, "-");
}

bool roster_record_is_sane(enum record_kind kind, const union roster_record *record)
{
    if (record->access.version < 1 || record->access.version > TREE_INT_MAX ||
        !record->access.site[0])
        return false;
    switch (kind) {
    case RECORD_USER:
        return roster_record_is_name(record->access.id) && is_word(record->user.uid, "-") &&
               strcmp(record->access.id, "root") != 0;
    case RECORD_ACCESS_KEY:
        return is_word(record->access.id, "") && roster_record_is_name(record->key.user) &&
               is_word(record->key.user_uid, "-");
    case RECORD_POLICY:
        return is_sane_policy(&record->policy);
    case RECORD_POLICY_LINK:
        return is_sane_link(&record->link);
    default:
        return false;
    }
}

static bool take_later(void *arg, uint64_t position, const void *record)
{
    const struct access_record *access = record;
    int64_t *last = arg;

    (void)position;
    if (access->version > *last)
        *last = access->version;
    return true;
}

int roster_record_last(struct site *site, enum record_kind kind, int64_t *ret_version)
{
    struct meta_query all = {.kind = kind};

    *ret_version = 0;
    return meta_walk(site->meta, &all, 0, take_later, ret_version);
}

/* --- the end of a record ---------------------------------------------------------------------- */

int roster_record_horizon(struct site *site, enum record_kind kind, int64_t *ret_version)
{
    struct access_horizon_record horizon = {0};
    int result = meta_get(site->meta, RECORD_ACCESS_HORIZON, record_type(kind)->table, &horizon);

    *ret_version = result == 0 ? horizon.version : 0;
    return result == -ENOENT ? 0 : result;
}

void roster_record_forget(struct change *change, enum record_kind kind,
                          const struct access_record *access)
{
    struct access_horizon_record horizon = {.version = access->version};
    int64_t former;
    int result = roster_record_horizon(change->site, kind, &former);

    check(access->is_deleted);
    if (result < 0)
        change_fail(change, result, "up to where deleted ones were forgotten");
    snprintf(horizon.id, sizeof(horizon.id), "%s", record_type(kind)->table);
    if (former < horizon.version)
        change_put(change, RECORD_ACCESS_HORIZON, &horizon);
    change_remove(change, kind, access->id);
}

void roster_record_bury(struct site *site, enum record_kind kind, union roster_record *record)
{
    record->access.is_deleted = true;
    record->access.created_s = site_now_s(site);
    if (kind == RECORD_ACCESS_KEY) {
        record->key.is_enabled = false;
        memset(record->key.sealed, 0, sizeof(record->key.sealed));
    } else if (kind == RECORD_POLICY) {
        memset(record->policy.document, 0, sizeof(record->policy.document));
    }
}

/* --- secrets --------------------------------------------------------------------------------- */

int roster_record_seal(struct site *site, struct access_key_record *key, const char *secret)
{
    uint8_t nonce[SECRET_BOX_NONCE_SIZE];
    uint64_t random[2] = {site_random(site), site_random(site)};

    if (!site->secret_box)
        return -ENOTSUP;
    memcpy(nonce, random, sizeof(nonce));
    return secret_box_seal(site->secret_box, nonce, key->access.id, secret, key->sealed);
}

int roster_record_unseal(struct site *site, const struct access_key_record *key,
                         char ret_secret[SECRET_BOX_SECRET_MAX + 1])
{
    if (!site->secret_box)
        return -ENOTSUP;
    return secret_box_unseal(site->secret_box, key->access.id, key->sealed, ret_secret);
}

int roster_record_check(struct meta *meta, struct secret_box *box, bool *ret_has_secrets,
                        struct err *err)
{
    void *records = NULL;
    unsigned count = 0;
    int result = meta_list(meta, RECORD_ACCESS_KEY, NULL, NULL, &records, &count);

    *ret_has_secrets = false;
    if (result < 0)
        return err_set(err, result, "the access keys cannot be read: %s", err_name(result));
    const struct access_key_record *keys = records;

    for (unsigned i = 0; result == 0 && i < count; i++) {
        char secret[SECRET_BOX_SECRET_MAX + 1];

        if (keys[i].access.is_deleted)
            continue;
        *ret_has_secrets = true;
        if (box && secret_box_unseal(box, keys[i].access.id, keys[i].sealed, secret) < 0)
            result = err_set(err, -EBADMSG,
                             "the secret of access key %s does not open with secret.key: it is the "
                             "key file of another data folder, or the record is damaged; restore "
                             "site.db and secret.key from one backup",
                             keys[i].access.id);
        OPENSSL_cleanse(secret, sizeof(secret));
    }
    free(records);
    return result;
}

/* --- the directory --------------------------------------------------------------------------- */

static int apply_key(struct site *site, const struct access_key_record *key, const char *secret)
{
    char unsealed[SECRET_BOX_SECRET_MAX + 1] = "";
    int result = 0;

    if (!key->access.is_deleted && !secret) {
        result = roster_record_unseal(site, key, unsealed);
        secret = unsealed;
    }
    if (result == 0)
        directory_apply_key(site->directory, key, secret);
    else
        log_error("control", "access key %s cannot be used: its secret does not open: %s",
                  key->access.id, err_name(result));
    OPENSSL_cleanse(unsealed, sizeof(unsealed));
    return result;
}

int roster_record_apply(struct site *site, enum record_kind kind, const union roster_record *record,
                        const char *secret)
{
    switch (kind) {
    case RECORD_USER:
        directory_apply_user(site->directory, &record->user);
        return 0;
    case RECORD_ACCESS_KEY:
        return apply_key(site, &record->key, secret);
    case RECORD_POLICY:
        directory_apply_policy(site->directory, &record->policy);
        return 0;
    case RECORD_POLICY_LINK:
        directory_apply_link(site->directory, &record->link);
        return 0;
    default:
        check(!"a record of who may what");
        return 0;
    }
}

struct loading {
    struct site *site;
    enum record_kind kind;
};

static bool load_one(void *arg, uint64_t position, const void *record)
{
    struct loading *loading = arg;

    (void)position;
    (void)roster_record_apply(loading->site, loading->kind, record, NULL);
    return true;
}

int roster_record_load(struct site *site)
{
    for (unsigned kind = ROSTER_KIND_FIRST; kind <= ROSTER_KIND_LAST; kind++) {
        struct meta_query query = {.kind = (enum record_kind)kind};
        struct loading loading = {.site = site, .kind = query.kind};
        int result = meta_walk(site->meta, &query, 0, load_one, &loading);

        if (result < 0)
            return result;
    }
    return 0;
}
