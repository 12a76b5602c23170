/* SPDX-License-Identifier: Apache-2.0
 *
 * tmpcopyup: what a directory of the image holds is copied into the tmpfs that will cover it. The image is hostile and may be
 * changed by others meanwhile: every file is opened without following links, and what it is, is asked of the descriptor.
 */
#include "init.h"

enum { DEPTH_LIMIT = 64, CHUNK = 1 << 30 };

struct directory_entry {
	uint64_t inode;
	int64_t offset;
	uint16_t size;
	uint8_t type;
	char name[];
};

static int copy_owner_and_mode(int fd, const struct stat *st)
{
	int ret = (int)SYS(__NR_fchown, fd, st->st_uid, st->st_gid);

	/* After the owner, whose change clears the set-user-ID bit. */
	return ret < 0 ? ret : (int)SYS(__NR_fchmod, fd, st->st_mode & 07777);
}

static int copy_file(int from_parent_fd, int to_parent_fd, const char *name)
{
	cleanup_close int from_fd = -1, to_fd = -1;
	struct stat st;
	long copied;
	int ret = (int)sys_openat(from_parent_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);

	if (ret < 0)
		return ret;
	from_fd = ret;
	ret = (int)sys_fstat(from_fd, &st);
	if (ret < 0)
		return ret;
	if (!S_ISREG_(st.st_mode))
		return -ESTALE;
	ret = (int)sys_openat(to_parent_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (ret < 0)
		return ret;
	to_fd = ret;
	do
		copied = SYS(__NR_sendfile, to_fd, from_fd, NULL, CHUNK);
	while (copied > 0);
	return copied < 0 ? (int)copied : copy_owner_and_mode(to_fd, &st);
}

static int copy_link(int from_parent_fd, int to_parent_fd, const char *name, const struct stat *st)
{
	char target[PATH_SIZE];
	long size = SYS(__NR_readlinkat, from_parent_fd, name, target, sizeof target - 1);
	int ret;

	if (size < 0)
		return (int)size;
	target[size] = '\0';
	ret = (int)SYS(__NR_symlinkat, target, to_parent_fd, name);
	if (ret < 0)
		return ret;
	return (int)SYS(__NR_fchownat, to_parent_fd, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW);
}

static int copy_node(int to_parent_fd, const char *name, const struct stat *st)
{
	int ret = (int)SYS(__NR_mknodat, to_parent_fd, name, st->st_mode, st->st_rdev);

	if (ret < 0)
		return ret;
	return (int)SYS(__NR_fchownat, to_parent_fd, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW);
}

static int copy_content(int from_fd, int to_fd, int depth);

static int copy_directory(int from_parent_fd, int to_parent_fd, const char *name, int depth)
{
	cleanup_close int from_fd = -1, to_fd = -1;
	struct stat st;
	int ret = (int)sys_openat(from_parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);

	if (ret < 0)
		return ret;
	from_fd = ret;
	ret = (int)sys_fstat(from_fd, &st);
	if (ret < 0)
		return ret;
	ret = (int)SYS(__NR_mkdirat, to_parent_fd, name, 0700);
	if (ret < 0)
		return ret;
	ret = (int)sys_openat(to_parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (ret < 0)
		return ret;
	to_fd = ret;
	ret = copy_content(from_fd, to_fd, depth + 1);
	return ret < 0 ? ret : copy_owner_and_mode(to_fd, &st);
}

static int copy_entry(int from_fd, int to_fd, const char *name, int depth)
{
	struct stat st;
	int ret = (int)SYS(__NR_newfstatat, from_fd, name, &st, AT_SYMLINK_NOFOLLOW);

	if (ret < 0)
		return ret;
	switch (st.st_mode & S_IFMT) {
	case S_IFDIR:
		return copy_directory(from_fd, to_fd, name, depth);
	case S_IFREG:
		return copy_file(from_fd, to_fd, name);
	case S_IFLNK:
		return copy_link(from_fd, to_fd, name, &st);
	default:
		return copy_node(to_fd, name, &st);
	}
}

static int copy_content(int from_fd, int to_fd, int depth)
{
	_Alignas(struct directory_entry) char buffer[2048];

	if (depth > DEPTH_LIMIT)
		return -ELOOP;
	for (;;) {
		long size = SYS(__NR_getdents64, from_fd, buffer, sizeof buffer);

		if (size <= 0)
			return (int)size;
		for (long position = 0; position < size;) {
			const struct directory_entry *entry = (const void *)(buffer + position);
			int ret = 0;

			if (strcmp(entry->name, ".") && strcmp(entry->name, ".."))
				ret = copy_entry(from_fd, to_fd, entry->name, depth);
			if (ret < 0)
				return ret;
			position += entry->size;
		}
	}
}

int copy_up(int target_fd, int mount_fd)
{
	cleanup_close int from_fd = (int)sys_openat(target_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	cleanup_close int to_fd = (int)sys_openat(mount_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	struct stat st;
	int ret;

	if (from_fd < 0)
		return from_fd;
	if (to_fd < 0)
		return to_fd;
	ret = (int)sys_fstat(from_fd, &st);
	if (ret < 0)
		return ret;
	ret = (int)SYS(__NR_fchown, to_fd, st.st_uid, st.st_gid);
	return ret < 0 ? ret : copy_content(from_fd, to_fd, 0);
}
