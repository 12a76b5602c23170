/* SPDX-License-Identifier: Apache-2.0
 *
 * Continues in a snapshot, see snapshot_write.c. Without a libc: the one that comes with the snapshot has its own thread
 * pointer, and with it errno and the stack's guard. */
#include "snapshot_continue.h"

#if defined(__x86_64__)
#include "../init/sys.h"

#include <asm/prctl.h>
#include <linux/mman.h>
#include <linux/time_types.h>

#include "snapshot_format.h"

enum { VOID_SECONDS = 60 }; /* after that, another attempt may be made */

/* Maps the areas of *file* to their places. False where something lies there already. */
static bool map_areas(const struct snapshot *snapshot, int file, int fd)
{
	for (uint32_t i = 0; i < snapshot->n_areas; i++) {
		const struct area *area = &snapshot->areas[i];
		long got;

		if (area->file != file)
			continue;
		got = SYS(__NR_mmap, area->start, area->size, area->patched_protection,
			  MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, area->offset);
		if (got != (long)area->start)
			return false;
		if (file == SELF) /* without those around it: most are written to, and mapped anew */
			(void)SYS(__NR_madvise, area->start, area->size, MADV_RANDOM);
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

static bool is_as_described(const struct file *file, const struct stat *st)
{
	return file->device == st->st_dev && file->inode == st->st_ino && file->size == (uint64_t)st->st_size &&
	       file->changed_s == (int64_t)st->st_ctime && file->changed_ns == (int64_t)st->st_ctime_nsec;
}

/* Whether the file is what it was, and if it is to be mapped, has been. */
static bool take_file(const struct snapshot *snapshot, int number)
{
	const struct file *file = &snapshot->files[number];
	const char *path = snapshot->strings + file->path;
	struct stat st;
	bool taken;
	int fd;

	if (!is_mapped(snapshot, number))
		return SYS(__NR_newfstatat, AT_FDCWD, path, &st, 0) == 0 && is_as_described(file, &st);
	fd = (int)sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return false;
	taken = sys_fstat(fd, &st) == 0 && is_as_described(file, &st) && map_areas(snapshot, number, fd);
	(void)sys_close(fd);
	return taken;
}

__attribute__((noreturn)) static void enter(const struct snapshot *snapshot, uint64_t vdso, int argc, char **argv,
					    char **environment)
{
	uint64_t shift = vdso - snapshot->vdso;
	int tid = (int)SYS(__NR_gettid);

	for (uint32_t i = 0; i < snapshot->n_words; i++)
		*(uint64_t *)snapshot->words[i] += shift;
	for (uint32_t i = 0; i < snapshot->n_areas; i++) {
		const struct area *area = &snapshot->areas[i];
		if (area->patched_protection != area->protection)
			(void)SYS(__NR_mprotect, area->start, area->size, area->protection);
	}
	for (uint32_t i = 0; i < snapshot->n_tids; i++)
		*(int *)snapshot->tids[i] = tid;
	(void)SYS(__NR_arch_prctl, ARCH_SET_FS, snapshot->thread_pointer);
	((snapshot_entry *)snapshot->entry)(argc, argv, environment);
	__builtin_trap();
}

static bool is_of_this_boot(const struct snapshot *snapshot)
{
	char boot_id[BOOT_ID_SIZE] = { 0 };
	int fd = (int)sys_openat(AT_FDCWD, BOOT_ID, O_RDONLY | O_CLOEXEC, 0);
	long length = fd < 0 ? 0 : sys_read(fd, boot_id, sizeof(boot_id) - 1);

	if (fd >= 0)
		(void)sys_close(fd);
	return length > 0 && memcmp(snapshot->magic, SNAPSHOT_MAGIC, sizeof(SNAPSHOT_MAGIC) - 1) == 0 &&
	       memcmp(snapshot->boot_id, boot_id, sizeof(boot_id)) == 0;
}

/* Returns where a file is another than it was, or where something lies where an area belongs. What has been mapped by
 * then remains, and is in nobody's way. */
static void take(const struct snapshot *snapshot, int fd, uint64_t vdso, int argc, char **argv, char **environment)
{
	for (uint32_t i = 0; i < snapshot->n_files; i++)
		if (!take_file(snapshot, (int)i))
			return;
	if (!map_areas(snapshot, SELF, fd))
		return;
	(void)sys_close(fd);
	enter(snapshot, vdso, argc, argv, environment);
}

static const struct snapshot *map_snapshot(int fd, struct stat *ret_stat)
{
	long address = -1;

	if (sys_fstat(fd, ret_stat) == 0 && S_ISREG_(ret_stat->st_mode) &&
	    ret_stat->st_uid == (uint32_t)SYS(__NR_geteuid) && (ret_stat->st_mode & 077) == 0 &&
	    (size_t)ret_stat->st_size >= offsetof(struct snapshot, words))
		address = SYS(__NR_mmap, NULL, sizeof(struct snapshot), PROT_READ, MAP_PRIVATE, fd, 0);
	return address < 0 ? NULL : (const struct snapshot *)address;
}

/* Continues in the snapshot at *path*; *vdso* is AT_SYSINFO_EHDR of getauxval(3). Returns when that cannot be: true if the
 * snapshot says itself that none can be made. */
bool snapshot_continue(const char *path, uint64_t vdso, int argc, char **argv, char **environment)
{
	int fd = (int)sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
	const struct snapshot *snapshot;
	struct __kernel_timespec now = { 0 };
	bool is_void = false;
	struct stat st;

	if (fd < 0)
		return false;
	snapshot = map_snapshot(fd, &st);
	if (snapshot != NULL && is_of_this_boot(snapshot)) {
		(void)SYS(__NR_clock_gettime, 0 /* CLOCK_REALTIME */, &now);
		is_void = snapshot->size == 0 && now.tv_sec - (int64_t)st.st_mtime < VOID_SECONDS;
		if (snapshot->size >= sizeof(*snapshot) && snapshot->size == (uint64_t)st.st_size)
			take(snapshot, fd, vdso, argc, argv, environment);
	}
	if (snapshot != NULL)
		(void)SYS(__NR_munmap, snapshot, sizeof(*snapshot));
	(void)sys_close(fd);
	return is_void;
}

#else

bool snapshot_continue(const char *path, uint64_t vdso, int argc, char **argv, char **environment)
{
	(void)path, (void)vdso, (void)argc, (void)argv, (void)environment;
	return true;
}
#endif
