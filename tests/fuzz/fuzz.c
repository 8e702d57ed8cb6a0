/* SPDX-License-Identifier: Apache-2.0 */
/* See fuzz.h. A fuzzer is a program of its own, with one thread: state in file scope is fine. */
#include "fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

void fuzz_quiet(void)
{
    log_set_level(getenv("VERSO_FUZZ_LOG") ? LOG_DEBUG : 0);
}

uint8_t *fuzz_copy(const uint8_t *bytes, size_t length)
{
    uint8_t *copy = malloc(length ? length : 1);

    check(copy);
    if (length > 0)
        memcpy(copy, bytes, length);
    return copy;
}

static char folder[64];

static void remove_folder(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", folder);
    if (system(command) != 0)
        fprintf(stderr, "fuzz: %s stays\n", folder);
}

const char *fuzz_folder(void)
{
    if (folder[0])
        return folder;
    snprintf(folder, sizeof(folder), "/dev/shm/verso-fuzz-XXXXXX");
    check(mkdtemp(folder) != NULL);
    atexit(remove_folder);
    return folder;
}

const char *fuzz_file(const char *name, const uint8_t *bytes, size_t length)
{
    static char path[256];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", fuzz_folder(), name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    check(fd >= 0);
    check(length == 0 || write(fd, bytes, length) == (ssize_t)length);
    close(fd);
    return path;
}
