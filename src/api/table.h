/* SPDX-License-Identifier: Apache-2.0 */
/* The table of operations: every call that this server understands has one row. */
#ifndef API_TABLE_H
#define API_TABLE_H

#include "control/operation.h"

/* NULL: no such operation. */
const struct operation *table_find(const char *name, const char *version);
/* For tests and documents; NULL past the end. */
const struct operation *table_at(unsigned index);

#endif
