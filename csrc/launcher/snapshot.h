/* SPDX-License-Identifier: Apache-2.0
 *
 * What snapshot_write.c offers: the memory of a process in a file, in which the command can continue (snapshot_continue.c). */
#ifndef OCIRT_SNAPSHOT_H
#define OCIRT_SNAPSHOT_H

#include <stddef.h>

#include "../command/snapshot_format.h"

void snapshot_prepare(void);
int snapshot_write(int fd, snapshot_entry *entry, const char *const *files, size_t n_files);
int snapshot_write_void(int fd);

#endif
