/* SPDX-License-Identifier: Apache-2.0 */
/* Why: see change.h. A failure is logged here, once: it concerns the site, not the caller. */
#include "control/change.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/step.h"

void change_begin(struct change *change, struct site *site)
{
    memset(change, 0, sizeof(*change));
    change->site = site;
    change->result = meta_begin(site->meta, &change->err);
    change->is_open = change->result == 0;
}

void change_put(struct change *change, enum record_kind kind, const void *record)
{
    if (change->result == 0)
        change->result = meta_put(change->site->meta, kind, record, &change->err);
}

void change_remove(struct change *change, enum record_kind kind, const char *key)
{
    int result;

    if (change->result < 0)
        return;
    result = meta_remove(change->site->meta, kind, key, &change->err);
    if (result < 0 && result != -ENOENT)
        change->result = result;
}

void change_fail(struct change *change, int error, const char *what)
{
    if (change->result == 0)
        change->result =
            err_set(&change->err, error, "%s cannot be read: %s", what, err_name(error));
}

int change_commit(struct change *change)
{
    if (change->is_open && change->result < 0)
        meta_rollback(change->site->meta);
    else if (change->is_open) {
        step_point("change-before-commit");
        change->result = meta_commit(change->site->meta, &change->err);
        step_point("change-committed");
    }
    change->is_open = false;
    check(change->result <= 0);
    if (change->result < 0)
        log_error("control", "metadata: %s", change->err.text);
    return change->result;
}
