/* SPDX-License-Identifier: Apache-2.0
 *
 * What a snapshot's file begins with, for who writes it and who continues in it. */
#ifndef OCIRT_SNAPSHOT_FORMAT_H
#define OCIRT_SNAPSHOT_FORMAT_H

#include <stdint.h>

enum {
	MAX_FILES = 256,
	MAX_AREAS = 256,
	MAX_WORDS = 256,
	MAX_TIDS = 4,
	STRINGS_SIZE = 48 * 1024,
	BOOT_ID_SIZE = 40,
};

#define SNAPSHOT_MAGIC "ocirtsn\1"
#define BOOT_ID "/proc/sys/kernel/random/boot_id" /* proc_sys_kernel(5) */

/* A file as it was. No change of one leaves its ctime as it is. */
struct file {
	uint64_t device, inode, size;
	int64_t changed_s, changed_ns;
	uint64_t path; /* in strings */
};

/* A part of the address space: of the file of that number, or of the snapshot itself. */
struct area {
	uint64_t start, size, offset;
	int32_t file;
	int32_t protection, patched_protection; /* the latter while words in it are patched */
	int32_t reserved;
};
enum { SELF = -1 };

/* Where a process begins that continues in a snapshot. Must not return. */
typedef void snapshot_entry(int argc, char **argv, char **environment);

struct snapshot {
	char magic[sizeof(SNAPSHOT_MAGIC) - 1];
	char boot_id[BOOT_ID_SIZE];
	uint64_t size; /* of the whole; 0: void */
	uint64_t entry;
	uint64_t thread_pointer;
	uint64_t vdso;
	uint32_t n_files, n_areas, n_words, n_tids;
	uint64_t tids[MAX_TIDS]; /* where the thread's id stands */
	/* Void snapshots end here. */
	uint64_t words[MAX_WORDS]; /* where addresses in the vDSO stand, which the kernel puts elsewhere each time */
	struct file files[MAX_FILES];
	struct area areas[MAX_AREAS];
	uint64_t strings_size;
	char strings[STRINGS_SIZE];
};

#endif
