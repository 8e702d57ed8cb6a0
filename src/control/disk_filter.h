/* SPDX-License-Identifier: Apache-2.0 */
/* Which disks a DescribeDisks asks for (contract 12.3): all of its conditions hold. */
#ifndef CONTROL_DISK_FILTER_H
#define CONTROL_DISK_FILTER_H

#include "control/call.h"

/* Do the conditions make sense? False: the call is answered. */
bool disk_filter_check(struct call *call);

/* Of a call that was checked. `attachment` NULL: the disk has none. */
bool disk_filter_wants(struct call *call, const struct disk_record *disk,
                       const struct attachment_record *attachment);

#endif
