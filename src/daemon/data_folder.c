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

/* A file system that is mounted there has a folder of its own in it. */
static bool has_entries(const char *folder, const char *name)
{
    char path[PATH_MAX];
    const struct dirent *entry;
    bool is_one = false;
    DIR *stream;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    stream = opendir(path);
    while (stream && !is_one && (entry = readdir(stream)) != NULL)
        is_one = entry->d_name[0] != '.' && strcmp(entry->d_name, "lost+found") != 0;
    if (stream)
        closedir(stream);
    return is_one;
}

int data_folder_open(const char *folder, struct err *err)
{
    char path[PATH_MAX];

    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return err_set(err, -errno, "[site] data %s: %s", folder, err_name(errno));
    snprintf(path, sizeof(path), "%s/site.db", folder);
    if (access(path, F_OK) != 0 && errno == ENOENT &&
        (has_entries(folder, "disks") || has_entries(folder, "streams")))
        return err_set(err, -ENOENT,
                       "%s is missing, and this data folder holds disks or replications: restore "
                       "it from a backup; an empty one would forget them all",
                       path);
    return 0;
}
