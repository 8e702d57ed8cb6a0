/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generations carry the site's id, so two sites with the same id could make the same generation;
 * the file is written under another name and renamed, so it is whole or absent.
 */
#include "replication/site_id.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_LENGTH = 17 }; /* with the line's end */

static int read_id(struct loop *loop, struct io_file *file, const char *path, uint64_t *ret_id,
                   struct err *err)
{
    char text[TEXT_LENGTH + 1] = "", *end = text;
    int error = io_file_read_now(loop, file, text, TEXT_LENGTH, 0);
    uint64_t id = error == 0 ? strtoull(text, &end, 16) : 0;

    if (error != 0 || end != text + TEXT_LENGTH - 1 || *end != '\n' || id == 0)
        return err_set(err, -EBADMSG, "%s: not a site id; restore it from a copy", path);
    *ret_id = id;
    return 0;
}

int site_id_open(struct loop *loop, const char *folder, uint64_t *ret_id, struct err *err)
{
    char path[PATH_MAX - 8];
    struct io_file *file;
    struct err missing = {0};
    char text[TEXT_LENGTH + 1];
    uint64_t id;

    snprintf(path, sizeof(path), "%s/site-id", folder);
    int error = io_file_open(loop, path, IO_READ_ONLY, &file, &missing);

    if (error == 0) {
        error = read_id(loop, file, path, ret_id, err);
        io_file_close(loop, file);
        return error;
    }
    if (error != -ENOENT) {
        *err = missing;
        return error;
    }
    do
        id = loop_random(loop);
    while (id == 0);
    snprintf(text, sizeof(text), "%016llx\n", (unsigned long long)id);
    error = io_file_replace(loop, folder, "site-id", text, TEXT_LENGTH, err);
    if (error == 0)
        *ret_id = id;
    return error;
}
