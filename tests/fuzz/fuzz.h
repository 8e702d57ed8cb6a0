/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzz targets share. README.md beside this file says how a target is written. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/check.h"

/* Each target defines this one; libFuzzer's name, libFuzzer's rules: any bytes, always 0. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* Log lines go nowhere: hostile input causes many. VERSO_FUZZ_LOG=1 shows them. */
void fuzz_quiet(void);

/* A copy on the heap of exactly that length, so that ASan sees one byte too much; never NULL. */
uint8_t *fuzz_copy(const uint8_t *bytes, size_t length);

/* A folder of this process for targets that must touch real files ("/dev/shm/..."), made with the
 * first call and removed at exit. */
const char *fuzz_folder(void);
/* Writes `FOLDER/name`, mode 0600, and returns its path (static, until the next call). */
const char *fuzz_file(const char *name, const uint8_t *bytes, size_t length);

#endif
