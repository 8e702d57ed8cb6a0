/* SPDX-License-Identifier: Apache-2.0 */
/* Reads of hosts: no lock, no copy where there is no overlay. */
#ifndef VOLUME_READ_PATH_H
#define VOLUME_READ_PATH_H

#include "volume/volume_state.h"

void read_path_start(struct volume_request *request);

#endif
