/* SPDX-License-Identifier: Apache-2.0 */
/* Errors that the HTTP library makes by itself become JSON: see the .c, which has no call of ours.
 */
#ifndef HTTP_HTTP_ERRORS_H
#define HTTP_HTTP_ERRORS_H

#define HTTP_OUR_HEADER "x-acs-request-id" /* each answer of the router has it */

#endif
