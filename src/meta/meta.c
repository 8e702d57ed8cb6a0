/* SPDX-License-Identifier: Apache-2.0 */
/* Why: the one place that holds callers to the rules of transactions, whatever lies behind. */
#include "meta/meta.h"

#include "base/check.h"

void meta_close(struct meta *meta)
{
    if (!meta)
        return;
    check(!meta->is_in_transaction);
    meta->ops->close(meta);
}

int meta_begin(struct meta *meta, struct err *err)
{
    check(!meta->is_in_transaction);
    int result = meta->ops->begin(meta, err);

    meta->is_in_transaction = result == 0;
    return result;
}

int meta_commit(struct meta *meta, struct err *err)
{
    check(meta->is_in_transaction);
    int result = meta->ops->commit(meta, err);

    if (result < 0)
        meta->ops->rollback(meta);
    meta->is_in_transaction = false;
    return result;
}

void meta_rollback(struct meta *meta)
{
    check(meta->is_in_transaction);
    meta->ops->rollback(meta);
    meta->is_in_transaction = false;
}

int meta_get(struct meta *meta, enum record_kind kind, const char *key, void *ret_record)
{
    check(key && ret_record);
    return meta->ops->get(meta, kind, key, ret_record);
}

int meta_put(struct meta *meta, enum record_kind kind, const void *record, struct err *err)
{
    check(meta->is_in_transaction);
    check(((const char *)record)[0] != 0);
    return meta->ops->put(meta, kind, record, err);
}

int meta_remove(struct meta *meta, enum record_kind kind, const char *key, struct err *err)
{
    check(meta->is_in_transaction);
    return meta->ops->remove(meta, kind, key, err);
}

int meta_list(struct meta *meta, enum record_kind kind, const char *field, const char *value,
              void **ret_records, unsigned *ret_count)
{
    check(!field || value);
    return meta->ops->list(meta, kind, field, value, ret_records, ret_count);
}
