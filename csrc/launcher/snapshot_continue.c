/* SPDX-License-Identifier: Apache-2.0
 *
 * Continues in a snapshot, see snapshot_write.c. */
#include "snapshot.h"

#if defined(__x86_64__)
#include <asm/prctl.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "snapshot_format.h"

enum { VOID_SECONDS = 60 }; /* after that, another attempt may be made */

/* Maps the areas of *file* to their places. False where something lies there already. */
static bool map_areas(const struct snapshot *snapshot, int file, int fd)
{
	for (uint32_t i = 0; i < snapshot->n_areas; i++) {
		const struct area *area = &snapshot->areas[i];
		void *start = (void *)area->start;
		void *got;

		if (area->file != file)
			continue;
		got = mmap(start, area->size, area->patched_protection, MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd,
			   (off_t)area->offset);
		if (got != start)
			return false;
	}
	return true;
}

static bool is_mapped(const struct snapshot *snapshot, int file)
{
	for (uint32_t i = 0; i < snapshot->n_areas; i++)
		if (snapshot->areas[i].file == file)
			return true;
	return false;
}

/* Whether the file is what it was, and if it is to be mapped, has been. */
static bool take_file(const struct snapshot *snapshot, int number)
{
	const struct file *file = &snapshot->files[number];
	const char *path = snapshot->strings + file->path;
	struct file found;
	struct stat st;
	int fd = -1;
	bool taken;

	if (is_mapped(snapshot, number)) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st) < 0)
			return false;
	} else if (stat(path, &st) < 0) {
		return false;
	}
	found = described(&st);
	taken = memcmp(file, &found, offsetof(struct file, path)) == 0 && (fd < 0 || map_areas(snapshot, number, fd));
	if (fd >= 0)
		close(fd);
	return taken;
}

/* The rest is done without the C library: the thread pointer is another, and with it errno and the stack's guard. */
__attribute__((noreturn, optimize("no-stack-protector"))) static void enter(const struct snapshot *snapshot, int argc,
									    char **argv, char **environment)
{
	uint64_t shift = getauxval(AT_SYSINFO_EHDR) - snapshot->vdso;
	int tid = (int)syscall(SYS_gettid);
	long result;

	for (uint32_t i = 0; i < snapshot->n_words; i++)
		*(uint64_t *)snapshot->words[i] += shift;
	for (uint32_t i = 0; i < snapshot->n_areas; i++) {
		const struct area *area = &snapshot->areas[i];
		if (area->patched_protection != area->protection)
			mprotect((void *)area->start, area->size, area->protection);
	}
	for (uint32_t i = 0; i < snapshot->n_tids; i++)
		*(int *)snapshot->tids[i] = tid;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "0"((long)SYS_arch_prctl), "D"((long)ARCH_SET_FS), "S"(snapshot->thread_pointer)
			 : "rcx", "r11", "memory");
	((snapshot_entry *)snapshot->entry)(argc, argv, environment);
	__builtin_trap();
}

static bool is_of_this_boot(const struct snapshot *snapshot)
{
	char boot_id[BOOT_ID_SIZE];

	return memcmp(snapshot->magic, SNAPSHOT_MAGIC, sizeof(SNAPSHOT_MAGIC) - 1) == 0 && read_boot_id(boot_id) &&
	       memcmp(snapshot->boot_id, boot_id, sizeof(boot_id)) == 0;
}

/* Returns where a file is another than it was, or where something lies where an area belongs. What has been mapped by
 * then remains, and is in nobody's way. */
static void take(const struct snapshot *snapshot, int fd, int argc, char **argv, char **environment)
{
	for (uint32_t i = 0; i < snapshot->n_files; i++)
		if (!take_file(snapshot, (int)i))
			return;
	if (!map_areas(snapshot, SELF, fd))
		return;
	close(fd);
	enter(snapshot, argc, argv, environment);
}

/* Continues in the snapshot at *path*. Returns when that cannot be: true if it says itself that none can be made. */
bool snapshot_continue(const char *path, int argc, char **argv, char **environment)
{
	const struct snapshot *snapshot = MAP_FAILED;
	bool is_void = false;
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 077) == 0 &&
	    (size_t)st.st_size >= offsetof(struct snapshot, words))
		snapshot = mmap(NULL, sizeof(*snapshot), PROT_READ, MAP_PRIVATE, fd, 0);
	if (snapshot != MAP_FAILED && is_of_this_boot(snapshot)) {
		is_void = snapshot->size == 0 && time(NULL) - st.st_mtime < VOID_SECONDS;
		if (snapshot->size >= sizeof(*snapshot) && snapshot->size == (uint64_t)st.st_size)
			take(snapshot, fd, argc, argv, environment);
	}
	if (snapshot != MAP_FAILED)
		munmap((void *)snapshot, sizeof(*snapshot));
	close(fd);
	return is_void;
}

#else

bool snapshot_continue(const char *path, int argc, char **argv, char **environment)
{
	(void)path, (void)argc, (void)argv, (void)environment;
	return true;
}
#endif
