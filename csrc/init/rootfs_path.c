/* SPDX-License-Identifier: Apache-2.0
 *
 * Paths of the container. The root filesystem is hostile: every path is resolved by openat2(2) with the container's root as its
 * root, at the moment of use, and every later call works on the descriptor. Missing directories and files are made component
 * by component, never through a path (CVE-2024-45310).
 */
#include "init.h"

enum {
	LINK_LIMIT = 40, /* as the kernel's MAXSYMLINKS */
	RETRY_LIMIT = 128, /* openat2 says EAGAIN when a rename or a mount races with `..` */
	DIRECTORY_MODE = 0755,
	FILE_MODE = 0644,
};

static int open_retrying(int dir_fd, const char *path, uint64_t flags, uint64_t resolve, int *ret_fd)
{
	long fd = -EAGAIN;

	for (int i = 0; i < RETRY_LIMIT && fd == -EAGAIN; i++)
		fd = sys_openat2(dir_fd, path, flags | O_CLOEXEC, 0, resolve);
	if (fd < 0)
		return (int)fd;
	*ret_fd = (int)fd;
	return 0;
}

int rootfs_open(const struct init *init, const char *path, uint64_t flags, uint64_t resolve, int *ret_fd)
{
	return open_retrying(init->root_fd, path, flags, resolve | RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS, ret_fd);
}

int is_on_procfs(int fd)
{
	struct statfs st;
	int ret = (int)sys_fstatfs(fd, &st);

	return ret < 0 ? ret : st.f_type == PROC_SUPER_MAGIC;
}

/* Replaces path by the prefix before its symbolic link, the link's target and the rest; the kernel resolves the whole anew. */
static int splice_link(int parent_fd, const char *name, size_t prefix_size, const char *rest, char path[PATH_SIZE])
{
	char spliced[PATH_SIZE];
	size_t rest_size = strlen(rest), used = 0;
	long link_size;

	link_size = SYS(__NR_readlinkat, parent_fd, name, spliced, sizeof spliced);
	if (link_size < 0)
		return (int)link_size;
	if (spliced[0] != '/')
		used = prefix_size + 1;
	if (used + (size_t)link_size + 1 + rest_size + 1 > PATH_SIZE)
		return -ENAMETOOLONG;
	{
		char whole[PATH_SIZE];
		memcpy(whole, path, prefix_size);
		whole[prefix_size] = '/';
		memcpy(whole + used, spliced, (size_t)link_size);
		used += (size_t)link_size;
		whole[used++] = '/';
		memcpy(whole + used, rest, rest_size + 1);
		memcpy(path, whole, used + rest_size + 1);
	}
	return 0;
}

/* Makes one missing component below parent_fd and opens it. -ELOOP: a symbolic link stands there. */
static int make_component(int parent_fd, const char *name, uint32_t mode, int is_directory, int *ret_fd)
{
	int ret;

	if (is_directory)
		ret = (int)SYS(__NR_mkdirat, parent_fd, name, mode);
	else
		/* Not open(O_CREAT): mknod never follows a link and never opens what is there. */
		ret = (int)SYS(__NR_mknodat, parent_fd, name, S_IFREG | mode, 0);
	if (ret < 0 && ret != -EEXIST)
		return ret;
	return open_retrying(parent_fd, name, O_PATH | O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS, ret_fd);
}

static int is_symlink(int fd)
{
	struct stat st;
	int ret = (int)sys_fstat(fd, &st);

	return ret < 0 ? ret : S_ISLNK_(st.st_mode);
}

/*
 * Opens path, whose parents may be missing. path is rewritten where a dangling link is met. The deepest prefix that exists is
 * resolved by the kernel, what is missing below it is made.
 */
static int make_missing(const struct init *init, char path[PATH_SIZE], uint32_t mode, int is_directory, uint64_t resolve,
			int *ret_fd)
{
	for (int links = 0; links <= LINK_LIMIT; links++) {
		cleanup_close int parent_fd = -1;
		size_t size = strlen(path), position = 0;
		int ret;

		while (size > 1 && path[size - 1] == '/')
			path[--size] = '\0';
		ret = rootfs_open(init, size ? path : "/", O_PATH, resolve, ret_fd);
		if (ret != -ENOENT)
			return ret;
		ret = rootfs_open(init, "/", O_PATH | O_DIRECTORY, 0, &parent_fd);
		while (ret >= 0 && position < size) {
			char name[256];
			size_t start, name_size;
			int last, fd = -1;

			while (path[position] == '/')
				position++;
			start = position;
			while (position < size && path[position] != '/')
				position++;
			name_size = position - start;
			last = position >= size;
			if (name_size >= sizeof name)
				return -ENAMETOOLONG;
			memcpy(name, path + start, name_size);
			name[name_size] = '\0';
			if (!name_size || !strcmp(name, "."))
				continue;
			/* The existing prefix, `..` and links in it included, is the kernel's business. */
			{
				char saved = path[position];
				path[position] = '\0';
				ret = rootfs_open(init, path, O_PATH, resolve, &fd);
				path[position] = saved;
			}
			if (ret == -ENOENT) {
				if (!strcmp(name, ".."))
					return -ENOENT;
				ret = make_component(parent_fd, name, last ? mode : DIRECTORY_MODE,
						     last ? is_directory : 1, &fd);
				if (ret >= 0 && is_symlink(fd) > 0) {
					(void)sys_close(fd);
					if (resolve & RESOLVE_NO_SYMLINKS)
						return -ELOOP;
					ret = splice_link(parent_fd, name, start ? start - 1 : 0, path + position, path);
					break;
				}
			}
			if (ret < 0)
				return ret;
			(void)sys_close(parent_fd);
			parent_fd = fd;
			if (last) {
				*ret_fd = take_fd(&parent_fd);
				return 0;
			}
		}
		if (ret < 0)
			return ret;
	}
	return -ELOOP;
}

static int make(const struct init *init, const char *path, uint32_t mode, int is_directory, uint64_t resolve, int *ret_fd)
{
	char buffer[PATH_SIZE];
	size_t size = strlen(path);
	int ret = rootfs_open(init, path, O_PATH, resolve, ret_fd);

	if (ret != -ENOENT)
		return ret;
	if (size >= sizeof buffer)
		return -ENAMETOOLONG;
	memcpy(buffer, path, size + 1);
	return make_missing(init, buffer, mode, is_directory, resolve, ret_fd);
}

int rootfs_make_directory(const struct init *init, const char *path, uint32_t mode, int *ret_fd)
{
	return make(init, path, mode, 1, 0, ret_fd);
}

int rootfs_make_target(const struct init *init, const char *path, int is_directory, uint64_t resolve, int *ret_fd)
{
	return make(init, path, is_directory ? DIRECTORY_MODE : FILE_MODE, is_directory, resolve, ret_fd);
}

/* Opens the directory that holds path's last component, made where it is missing, and gives that component's name. */
int rootfs_open_parent(const struct init *init, const char *path, uint64_t resolve, int *ret_parent_fd,
		       const char **ret_name)
{
	char directory[PATH_SIZE];
	size_t size = strlen(path);

	while (size && path[size - 1] != '/')
		size--;
	*ret_name = path + size;
	if (!**ret_name || !strcmp(*ret_name, ".") || !strcmp(*ret_name, ".."))
		return -EINVAL;
	if (size >= sizeof directory)
		return -ENAMETOOLONG;
	memcpy(directory, path, size);
	directory[size] = '\0';
	return make(init, size ? directory : "/", DIRECTORY_MODE, 1, resolve, ret_parent_fd);
}
