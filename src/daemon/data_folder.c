/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: all that a site knows by name is in site.db, which is made when it is missing. In a folder
 * that has been used that is wrong, and looks like a site on which nobody has done anything yet.
 * Disks and replications have their files only after site.db has them.
 */
#include "daemon/data_folder.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

/* A file system that is mounted there has a folder of its own in it. What cannot be read is never
 * taken for empty. 1, 0, or an error. */
static int has_entries(const char *path)
{
    const struct dirent *entry;
    bool is_one = false;
    DIR *stream = opendir(path);
    int error;

    if (!stream)
        return errno == ENOENT ? 0 : -errno;
    errno = 0;
    while (!is_one && (entry = readdir(stream)) != NULL)
        is_one = entry->d_name[0] != '.' && strcmp(entry->d_name, "lost+found") != 0;
    error = is_one ? 0 : -errno;
    closedir(stream);
    return error < 0 ? error : is_one;
}

/* No file of a used folder is there. */
static int check_unused(const char *folder, struct err *err)
{
    static const char *const names[] = {"disks", "streams"};
    char path[PATH_MAX];

    for (unsigned i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        int has = has_entries(path);

        if (has < 0)
            return err_set(err, has, "%s/site.db is missing, and %s cannot be read: %s", folder,
                           path, err_name(has));
        if (has > 0)
            return err_set(err, -ENOENT,
                           "%s/site.db is missing, and this data folder holds disks or "
                           "replications: restore it from a backup; an empty one would forget "
                           "them all",
                           folder);
    }
    return 0;
}

int data_folder_open(const char *folder, struct err *err)
{
    char path[PATH_MAX];

    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return err_set(err, -errno, "[site] data %s: %s", folder, err_name(errno));
    snprintf(path, sizeof(path), "%s/site.db", folder);
    return access(path, F_OK) != 0 && errno == ENOENT ? check_unused(folder, err) : 0;
}
