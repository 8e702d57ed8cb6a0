/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of users, access keys and policies: our own operations, and the caller's identity. */
#ifndef API_TABLE_ACCESS_H
#define API_TABLE_ACCESS_H

#include "control/operation.h"

enum { TABLE_ACCESS_COUNT = 15 };

extern const struct operation table_access_rows[TABLE_ACCESS_COUNT];

#endif
