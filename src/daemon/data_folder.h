/* SPDX-License-Identifier: Apache-2.0 */
/* What a data folder must look like before anything in it is opened or made. */
#ifndef DAEMON_DATA_FOLDER_H
#define DAEMON_DATA_FOLDER_H

struct err;

/* Makes the folder if it is missing. -ENOENT: it has been used, and its site.db is gone: an empty
 * one in its place would forget what the disks are, and tell the peer so. */
int data_folder_open(const char *folder, struct err *err);

#endif
