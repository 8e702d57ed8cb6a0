/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of a request -> typed values, by the operation's row. Pure. */
#ifndef API_PARAMETERS_H
#define API_PARAMETERS_H

#include <jansson.h>

#include "control/operation.h"

/* API_OK and `ret_typed` (an object, the caller's), or the error and the parameter it is about. */
enum api_error parameters_parse(const struct operation *operation, const json_t *texts,
                                json_t **ret_typed, const char **ret_name);

#endif
