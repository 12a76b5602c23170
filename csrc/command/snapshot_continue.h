/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OCIRT_SNAPSHOT_CONTINUE_H
#define OCIRT_SNAPSHOT_CONTINUE_H

#include <stdbool.h>
#include <stdint.h>

bool snapshot_continue(const char *path, uint64_t vdso, int argc, char **argv, char **environment);

#endif
