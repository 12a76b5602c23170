/* SPDX-License-Identifier: Apache-2.0
 *
 * Paths of the container. The root filesystem is hostile: every path is resolved by openat2(2) with the container's root as its
 * root, at the moment of use, and every later call works on the descriptor. Missing directories and files are made component
 * by component, never through a path (CVE-2024-45310).
 */
#include "init.h"

enum {
	LINK_LIMIT = 40,   /* as the kernel's MAXSYMLINKS */
	RETRY_LIMIT = 128, /* openat2 says EAGAIN when a rename or a mount races with `..` */
	DIRECTORY_MODE = 0755,
	FILE_MODE = 0644,
	NAME_SIZE = 256, /* NAME_MAX and the NUL byte */
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

/* A path on its way to being made, rewritten where a dangling link is met. */
struct making {
	const struct init *init;
	char path[PATH_SIZE];
	uint32_t mode;
	int is_directory;
	uint64_t resolve;
};

/* Puts the target of the symbolic link that ends the first prefix_size + 1 + strlen(name) bytes in place of these; the kernel
 * resolves the whole anew. */
static int splice_link(struct making *making, int parent_fd, const char *name, size_t prefix_size, const char *rest)
{
	char spliced[PATH_SIZE];
	size_t rest_size = strlen(rest);
	long size = SYS(__NR_readlinkat, parent_fd, name, spliced, sizeof spliced);
	size_t kept = size > 0 && spliced[0] == '/' ? 0 : prefix_size + 1;

	if (size < 0)
		return (int)size;
	if (kept + (size_t)size + rest_size + 1 > PATH_SIZE)
		return -ENAMETOOLONG;
	/* rest, empty or with a slash in front, lies in the buffer that is written to. */
	memcpy(spliced + size, rest, rest_size + 1);
	if (kept)
		making->path[prefix_size] = '/';
	memcpy(making->path + kept, spliced, (size_t)size + rest_size + 1);
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

/* Takes the next component of the path into name, which is empty at the end. Returns where it starts. */
static int next_name(const struct making *making, size_t *position, char name[NAME_SIZE])
{
	const char *path = making->path;
	size_t start, size;

	while (path[*position] == '/')
		(*position)++;
	start = *position;
	while (path[*position] && path[*position] != '/')
		(*position)++;
	size = *position - start;
	if (size >= NAME_SIZE)
		return -ENAMETOOLONG;
	memcpy(name, path + start, size);
	name[size] = '\0';
	return (int)start;
}

/* Opens the path as far as position. That it exists, with `..` and links in it, is the kernel's business. */
static int open_prefix(struct making *making, size_t position, int *ret_fd)
{
	char saved = making->path[position];
	int ret;

	making->path[position] = '\0';
	ret = rootfs_open(making->init, making->path, O_PATH, making->resolve, ret_fd);
	making->path[position] = saved;
	return ret;
}

/* Goes on from parent_fd by one component, made where it is missing. Returns 1 when it was a dangling link: the path is
 * another one now. */
static int step(struct making *making, size_t start, size_t position, const char *name, int parent_fd, int *ret_fd)
{
	const char *rest = making->path + position;
	int last = !*rest;
	int ret = open_prefix(making, position, ret_fd);

	if (ret != -ENOENT)
		return ret;
	if (!strcmp(name, ".."))
		return -ENOENT;
	ret = make_component(parent_fd, name, last ? making->mode : DIRECTORY_MODE, last ? making->is_directory : 1,
			     ret_fd);
	if (ret < 0)
		return ret;
	ret = is_symlink(*ret_fd);
	if (ret <= 0)
		return ret;
	(void)sys_close(take_fd(ret_fd));
	if (making->resolve & RESOLVE_NO_SYMLINKS)
		return -ELOOP;
	ret = splice_link(making, parent_fd, name, start ? start - 1 : 0, rest);
	return ret < 0 ? ret : 1;
}

/* Walks the path once. The deepest prefix that exists is resolved by the kernel, what is missing below it is made. Returns 1
 * when a link has changed the path. */
static int make_missing(struct making *making, int *ret_fd)
{
	cleanup_close int parent_fd = -1;
	size_t position = 0;
	int ret = rootfs_open(making->init, "/", O_PATH | O_DIRECTORY, 0, &parent_fd);

	while (ret == 0 && making->path[position]) {
		char name[NAME_SIZE];
		int start = next_name(making, &position, name), fd = -1;

		if (start < 0)
			return start;
		if (!*name || !strcmp(name, "."))
			continue;
		ret = step(making, (size_t)start, position, name, parent_fd, &fd);
		if (ret != 0)
			return ret;
		(void)sys_close(parent_fd);
		parent_fd = fd;
	}
	if (ret == 0)
		*ret_fd = take_fd(&parent_fd);
	return ret;
}

static int make(const struct init *init, const char *path, uint32_t mode, int is_directory, uint64_t resolve,
		int *ret_fd)
{
	static struct making making; /* one process, one path at a time; too large for the stack */
	size_t size = strlen(path);
	int ret = rootfs_open(init, path, O_PATH, resolve, ret_fd);

	if (ret != -ENOENT)
		return ret;
	if (size >= sizeof making.path)
		return -ENAMETOOLONG;
	making.init = init;
	making.mode = mode;
	making.is_directory = is_directory;
	making.resolve = resolve;
	memcpy(making.path, path, size + 1);
	while (size > 1 && making.path[size - 1] == '/')
		making.path[--size] = '\0';
	for (int links = 0; links <= LINK_LIMIT; links++) {
		ret = make_missing(&making, ret_fd);
		if (ret != 1)
			return ret;
	}
	return -ELOOP;
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
