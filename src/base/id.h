/* SPDX-License-Identifier: Apache-2.0 */
/* Identifiers as text: disks d-..., pairs pair-..., groups pg-..., request ids as upper-case UUIDs.
 */
#ifndef BASE_ID_H
#define BASE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ID_SIZE = 40 }; /* room for every id of ours with its NUL; UUIDs take 37 */

/* "PREFIX-" and `letters` random characters of 0-9a-z into `ret_id` (ID_SIZE bytes), drawn from
 * `random` (its callee gives 64 random bits). */
void id_make(const char *prefix, unsigned letters, uint64_t (*random)(void *arg), void *arg,
             char *ret_id);

/* An upper-case version-4 UUID into `ret_uuid` (37 bytes). */
void id_make_uuid(uint64_t (*random)(void *arg), void *arg, char *ret_uuid);

/* Is `text` PREFIX- followed by 1..32 characters of [0-9A-Za-z-]? Ids become file names: nothing
 * else may pass. */
bool id_is_valid(const char *prefix, const char *text);

#endif
