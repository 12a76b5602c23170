/* SPDX-License-Identifier: Apache-2.0
 *
 * Device programs of a v2 cgroup (bpf(2), BPF_PROG_TYPE_CGROUP_DEVICE, Linux 4.15). All return 0 or a descriptor, and a
 * negative errno on failure. Nothing is pinned: a program lives as long as it is attached or a descriptor of it is open.
 * cffi reads this file: the body holds declarations only.
 */
#ifndef OCIRT_BPF_H
#define OCIRT_BPF_H

#include <stdint.h>

/* Loads count instructions of 8 bytes each under a name of at most 15 characters. With a log, of log_size bytes, the verifier
 * writes there, as a string, what it thinks of them. */
int ocirt_bpf_load(const char *instructions, uint32_t count, const char *name, char *ret_log, uint32_t log_size);

/* The ids of the programs that are attached to the directory cgroup_fd, at most *count of them; *count is set to how many
 * there are. -ENOSPC when they do not fit. */
int ocirt_bpf_query(int cgroup_fd, uint32_t *ret_ids, uint32_t *count);

/* A descriptor of the program with an id; -ENOENT when it is gone. */
int ocirt_bpf_open(uint32_t id);

/* The name under which a program was loaded. */
int ocirt_bpf_name(int program_fd, char ret_name[16]);

/* Attaches a program beside those that are (BPF_F_ALLOW_MULTI), or, unless replaced_fd is -1, in place of that one in one step
 * (BPF_F_REPLACE, Linux 5.6). All attached programs must allow an access. */
int ocirt_bpf_attach(int cgroup_fd, int program_fd, int replaced_fd);

/* Detaches a program. */
int ocirt_bpf_detach(int cgroup_fd, int program_fd);

#endif
