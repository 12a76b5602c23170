/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes the memory of this process to a file, and lets a later process continue in it.
 *
 * A snapshot holds what a process of one thread has written to its memory, and the names of the files that it has mapped
 * and not changed. Who continues maps all of that to where it was, privately, and calls the function that the writer has
 * named, on its own stack. Of what the kernel knows of the writer nothing is kept: no descriptor, no signal, no id.
 *
 * A snapshot is for the user, the files and the boot that it was made of, and for nobody else. Its addresses are drawn at
 * random when it is made, in place of once per process, as those of Android's zygote are.
 *
 * What it relies on of the C library: that it asks for the program break again when __curbrk is NULL, keeps the id of the
 * thread near the thread pointer, and does not need the kernel to know its area of restartable sequences (rseq(2)).
 */
#include "snapshot.h"

#include <errno.h>

#if defined(__x86_64__)
#include <asm/prctl.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	PAGE = 4096,
	MAPS_SIZE = 128 * 1024,
	BUFFER_SIZE = 64 * 1024,
	THREAD_SIZE = 1024, /* where in glibc's struct pthread the thread's id can be */
};

struct mapping {
	uint64_t start, end, offset;
	int protection;
	bool private;
	const char *name;
};

/* In shared memory, which the kernel merges with no other: this is what a snapshot does not hold. */
struct writer {
	struct snapshot snapshot;
	char maps[MAPS_SIZE];
	char buffer[BUFFER_SIZE];
	uint64_t vdso_end;
	int fd;
};

/* To be called before all else by who will write a snapshot: malloc(3) takes memory by mmap(2) from now on, since who
 * continues has its program break elsewhere. */
void snapshot_prepare(void)
{
	uintptr_t end = ((uintptr_t)sbrk(0) + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
	void *chunks[3]; /* more than is left below the break, and too small to be mapped one by one */

	mmap((void *)end, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	for (size_t i = 0; i < 3; i++)
		chunks[i] = malloc(100 * 1024);
	for (size_t i = 0; i < 3; i++)
		free(chunks[i]);
}

static struct file described(const struct stat *st)
{
	return (struct file){ .device = st->st_dev,
			      .inode = st->st_ino,
			      .size = (uint64_t)st->st_size,
			      .changed_s = st->st_ctim.tv_sec,
			      .changed_ns = st->st_ctim.tv_nsec };
}

static bool read_boot_id(char ret_id[BOOT_ID_SIZE])
{
	int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	memset(ret_id, 0, BOOT_ID_SIZE);
	if (fd < 0)
		return false;
	length = read(fd, ret_id, BOOT_ID_SIZE - 1);
	close(fd);
	return length > 0;
}

/* The number of the file, or a negative errno. */
static int add_file(struct snapshot *snapshot, const char *path)
{
	size_t size = strlen(path) + 1;
	struct stat st;

	for (uint32_t i = 0; i < snapshot->n_files; i++)
		if (strcmp(snapshot->strings + snapshot->files[i].path, path) == 0)
			return (int)i;
	if (snapshot->n_files == MAX_FILES || snapshot->strings_size + size > STRINGS_SIZE)
		return -E2BIG;
	if (stat(path, &st) < 0)
		return -errno;
	snapshot->files[snapshot->n_files] = described(&st);
	snapshot->files[snapshot->n_files].path = snapshot->strings_size;
	memcpy(snapshot->strings + snapshot->strings_size, path, size);
	snapshot->strings_size += size;
	return (int)snapshot->n_files++;
}

static int add_area(struct snapshot *snapshot, const struct area *area)
{
	struct area *last = snapshot->n_areas > 0 ? &snapshot->areas[snapshot->n_areas - 1] : NULL;

	if (last != NULL && last->file == area->file && last->protection == area->protection &&
	    last->patched_protection == area->patched_protection && last->start + last->size == area->start &&
	    last->offset + last->size == area->offset) {
		last->size += area->size;
		return 0;
	}
	if (snapshot->n_areas == MAX_AREAS)
		return -E2BIG;
	snapshot->areas[snapshot->n_areas++] = *area;
	return 0;
}

static int add_words(struct writer *writer, const struct mapping *mapping)
{
	struct snapshot *snapshot = &writer->snapshot;

	for (uint64_t at = mapping->start; at < mapping->end; at += sizeof(uint64_t)) {
		uint64_t word = *(uint64_t *)at;

		if (word < snapshot->vdso || word >= writer->vdso_end)
			continue;
		if (snapshot->n_words == MAX_WORDS)
			return -E2BIG;
		snapshot->words[snapshot->n_words++] = at;
	}
	return 0;
}

/* Appends the pages of *mapping*, those of zeros as holes. */
static int save(struct writer *writer, const struct mapping *mapping)
{
	static const char zeros[PAGE];
	struct area area = { .start = mapping->start,
			     .size = mapping->end - mapping->start,
			     .offset = writer->snapshot.size,
			     .file = SELF,
			     .protection = mapping->protection,
			     .patched_protection = mapping->protection };
	uint32_t n_words = writer->snapshot.n_words;
	int result = add_words(writer, mapping);

	if (result < 0)
		return result;
	if (writer->snapshot.n_words > n_words)
		area.patched_protection |= PROT_WRITE;
	for (uint64_t page = mapping->start; page < mapping->end; page += PAGE) {
		if (memcmp((void *)page, zeros, PAGE) != 0 &&
		    pwrite(writer->fd, (void *)page, PAGE, (off_t)writer->snapshot.size) != PAGE)
			return -ENOSPC;
		writer->snapshot.size += PAGE;
	}
	return add_area(&writer->snapshot, &area);
}

static bool is_as_in_its_file(struct writer *writer, const struct mapping *mapping)
{
	uint64_t size, at = mapping->start;
	int fd = open(mapping->name, O_RDONLY | O_CLOEXEC);
	bool same = fd >= 0;

	for (; same && at < mapping->end; at += size) {
		size = mapping->end - at < BUFFER_SIZE ? mapping->end - at : BUFFER_SIZE;
		memset(writer->buffer, 0, size); /* behind the end of the file */
		same = pread(fd, writer->buffer, size, (off_t)(mapping->offset + at - mapping->start)) >= 0 &&
		       memcmp(writer->buffer, (void *)at, size) == 0;
	}
	if (fd >= 0)
		close(fd);
	return same;
}

static int add_mapping(struct writer *writer, struct mapping *mapping)
{
	uint64_t stack = (uint64_t)__builtin_frame_address(0);
	int file;

	if (mapping->protection == PROT_NONE || mapping->start == (uint64_t)writer ||
	    strncmp(mapping->name, "[v", 2) == 0)
		return 0; /* [vdso], [vvar], [vsyscall] */
	if (!mapping->private)
		return -ENOTSUP;
	if (stack >= mapping->start && stack < mapping->end)
		mapping->start =
			stack & ~(uint64_t)(PAGE - 1); /* what came with execve(2) lies above, such as the auxv */
	if (mapping->name[0] != '/')
		return save(writer, mapping);
	file = add_file(&writer->snapshot, mapping->name);
	if (file < 0)
		return file;
	if ((mapping->protection & PROT_WRITE) || !is_as_in_its_file(writer, mapping))
		return save(writer, mapping);
	return add_area(&writer->snapshot, &(struct area){ .start = mapping->start,
							   .size = mapping->end - mapping->start,
							   .offset = mapping->offset,
							   .file = file,
							   .protection = mapping->protection,
							   .patched_protection = mapping->protection });
}

/* A line of /proc/PID/maps, see proc_pid_maps(5). */
static bool parse_mapping(const char *line, struct mapping *ret_mapping)
{
	char flags[5];
	int name = 0;

	if (sscanf(line, "%lx-%lx %4s %lx %*s %*s %n", &ret_mapping->start, &ret_mapping->end, flags,
		   &ret_mapping->offset, &name) != 4)
		return false;
	ret_mapping->protection = (flags[0] == 'r' ? PROT_READ : 0) | (flags[1] == 'w' ? PROT_WRITE : 0) |
				  (flags[2] == 'x' ? PROT_EXEC : 0);
	ret_mapping->private = flags[3] == 'p';
	ret_mapping->name = line + name;
	return true;
}

static int read_maps(struct writer *writer)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t length;

	if (fd < 0)
		return -errno;
	while ((length = read(fd, writer->maps + used, MAPS_SIZE - 1 - used)) > 0)
		used += (size_t)length;
	close(fd);
	return length < 0 || used == MAPS_SIZE - 1 ? -E2BIG : 0;
}

static int add_mappings(struct writer *writer)
{
	struct mapping mapping;
	char *rest = NULL;
	int result = 0;

	for (char *line = writer->maps; line != NULL; line = *rest == '\0' ? NULL : rest) {
		rest = line + strcspn(line, "\n");
		if (*rest == '\n')
			*rest++ = '\0';
		if (!parse_mapping(line, &mapping))
			return -EINVAL;
		result = add_mapping(writer, &mapping);
		if (result < 0)
			return result;
	}
	return 0;
}

/* Before the lines are cut. */
static uint64_t end_of_vdso(const char *maps)
{
	const char *line = strstr(maps, "[vdso]");
	uint64_t start, end;

	while (line != NULL && line > maps && line[-1] != '\n')
		line--;
	return line != NULL && sscanf(line, "%lx-%lx", &start, &end) == 2 ? end : 0;
}

static int describe_process(struct writer *writer, snapshot_entry *entry, const char *const *files, size_t n_files)
{
	struct snapshot *snapshot = &writer->snapshot;
	int tid = (int)syscall(SYS_gettid);

	memcpy(snapshot->magic, SNAPSHOT_MAGIC, sizeof(SNAPSHOT_MAGIC) - 1);
	snapshot->size = (sizeof(*snapshot) + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	snapshot->entry = (uint64_t)entry;
	snapshot->vdso = getauxval(AT_SYSINFO_EHDR);
	if (!read_boot_id(snapshot->boot_id) || syscall(SYS_arch_prctl, ARCH_GET_FS, &snapshot->thread_pointer) < 0)
		return -errno;
	for (uint64_t at = snapshot->thread_pointer; at < snapshot->thread_pointer + THREAD_SIZE; at += sizeof(int))
		if (*(int *)at == tid && snapshot->n_tids < MAX_TIDS)
			snapshot->tids[snapshot->n_tids++] = at;
	for (size_t i = 0; i < n_files; i++) {
		int file = add_file(snapshot, files[i]);
		if (file < 0)
			return file;
	}
	return 0;
}

/* Writes this process to *fd*, an empty file, for snapshot_continue() to call *entry*. The snapshot is for as long as
 * *files*, and those that are mapped, are what they are now. Returns 0 or a negative errno. */
int snapshot_write(int fd, snapshot_entry *entry, const char *const *files, size_t n_files)
{
	void **program_break = dlsym(RTLD_DEFAULT, "__curbrk"); /* glibc's */
	struct writer *writer;
	int result;

	if (program_break == NULL)
		return -ENOSYS;
	writer = mmap(NULL, sizeof(*writer), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (writer == MAP_FAILED)
		return -errno;
	writer->fd = fd;
	*program_break = NULL;
	result = describe_process(writer, entry, files, n_files);
	if (result == 0)
		result = read_maps(writer);
	writer->vdso_end = end_of_vdso(writer->maps);
	if (result == 0)
		result = add_mappings(writer);
	if (result == 0 && (pwrite(fd, &writer->snapshot, sizeof(struct snapshot), 0) != sizeof(struct snapshot) ||
			    ftruncate(fd, (off_t)writer->snapshot.size) < 0))
		result = -ENOSPC;
	munmap(writer, sizeof(*writer));
	return result;
}

/* Writes to *fd* that no snapshot can be made, so that not every command tries to. Returns 0 or a negative errno. */
int snapshot_write_void(int fd)
{
	struct snapshot snapshot = { .size = 0 };
	size_t size = offsetof(struct snapshot, words);

	memcpy(snapshot.magic, SNAPSHOT_MAGIC, sizeof(SNAPSHOT_MAGIC) - 1);
	if (!read_boot_id(snapshot.boot_id) || ftruncate(fd, 0) < 0 || pwrite(fd, &snapshot, size, 0) != (ssize_t)size)
		return -EIO;
	return 0;
}

#else /* where nobody has tried it */

void snapshot_prepare(void)
{
}

int snapshot_write(int fd, snapshot_entry *entry, const char *const *files, size_t n_files)
{
	(void)fd, (void)entry, (void)files, (void)n_files;
	return -ENOSYS;
}

int snapshot_write_void(int fd)
{
	(void)fd;
	return -ENOSYS;
}
#endif
