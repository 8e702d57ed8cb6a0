/* SPDX-License-Identifier: Apache-2.0 */
/* The one way into the open set, for writes that settle and for marks of replication. */
#include "volume/tracking_state.h"

int tracking_mark_open(struct tracking *tracking, uint64_t block, uint64_t count)
{
    struct blockset *open = tracking->sets[TRACKING_OPEN];
    bool was_empty = blockset_is_empty(open);
    int error = blockset_mark(open, block, count);

    if (was_empty && !blockset_is_empty(open) && tracking->options.dirtied_cb)
        tracking->options.dirtied_cb(tracking->options.arg);
    return error;
}
