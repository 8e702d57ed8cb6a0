/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQLite on the simulated disk: a VFS for each site, so that the metadata of a whole site
 * (meta_sqlite_open()) stands on a file that tears, fills up and forgets as every other.
 */
#ifndef SIM_SQLITE_H
#define SIM_SQLITE_H

#include "sim.h"

enum { SIM_SQLITE_PATH_SIZE = 96 };

/* Once a process, before the first VFS: SQLite's memory becomes the site's own, without threads. */
void sim_sqlite_init(void);
/* A VFS named after the site; the path under which meta_sqlite_open() finds `file` there. */
struct sim_sqlite *sim_sqlite_new(struct sim_site *site, const char *file,
                                  char ret_path[SIM_SQLITE_PATH_SIZE]);
void sim_sqlite_free(struct sim_sqlite *sqlite);
/* A planted defect: syncs of the log say that all is well, and do nothing. */
void sim_sqlite_skip_log_syncs(struct sim_sqlite *sqlite);

#endif
