/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory of a process in a file, and a later process that continues in it (snapshot_write.c, snapshot_continue.c). */
#ifndef OCIRT_SNAPSHOT_H
#define OCIRT_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>

/* Where a process begins that continues in a snapshot. Must not return. */
typedef void snapshot_entry(int argc, char **argv, char **environment);

void snapshot_prepare(void);
int snapshot_write(int fd, snapshot_entry *entry, const char *const *files, size_t n_files);
int snapshot_write_void(int fd);
bool snapshot_continue(const char *path, int argc, char **argv, char **environment);

#endif
