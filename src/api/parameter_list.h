/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters that come as several texts: Name.1, Name.2 ..., and Tag.1.Key, Tag.1.Value ... Pure.
 */
#ifndef API_PARAMETER_LIST_H
#define API_PARAMETER_LIST_H

#include <jansson.h>

#include "control/operation.h"

/* Of kind LIST: an array of texts; of kind TAGS, TAG_FILTER: an array of {"Key":, "Value":} (a
 * filter's value may lack); NULL when nothing of it is among the texts. Else the error, and the
 * name it is about. */
enum api_error parameter_list_parse(const struct operation *operation,
                                    const struct parameter *parameter, const json_t *texts,
                                    json_t **ret_value, const char **ret_name);

#endif
