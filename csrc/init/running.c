/* SPDX-License-Identifier: Apache-2.0
 *
 * A container that runs already: its root, and what is taken out of it. Its programs may change any path at any time, so what is
 * taken out is named without links: one could lead to a mask over a part of /proc.
 */
#include "init.h"

int op_open_root(struct init *init, const struct ocirt_op *op)
{
	int ret = (int)sys_openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);

	(void)op;
	if (ret < 0)
		return ret;
	init->root_fd = ret;
	init->is_joined = 1;
	return 0;
}

/* Opens the directory of path's last component, which must be there, and makes it the working directory; gives the name in it. */
static int enter_parent(const struct init *init, const char *path, int *ret_parent_fd, const char **ret_name)
{
	char directory[PATH_SIZE];
	size_t size = strlen(path);
	int ret;

	while (size && path[size - 1] != '/')
		size--;
	*ret_name = path + size;
	if (!**ret_name || !strcmp(*ret_name, ".") || !strcmp(*ret_name, ".."))
		return -EBUSY;
	if (size >= sizeof directory)
		return -ENAMETOOLONG;
	memcpy(directory, path, size);
	directory[size] = '\0';
	ret = rootfs_open(init, directory, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS, ret_parent_fd);
	if (ret < 0)
		return ret;
	return (int)SYS(__NR_fchdir, *ret_parent_fd);
}

int op_unmount(struct init *init, const struct ocirt_op *op)
{
	cleanup_close int parent_fd = -1;
	const char *name;
	int ret = enter_parent(init, op_path(init, op), &parent_fd, &name);

	/* A mount point cannot be renamed, so nothing takes its place. EINVAL: nothing is mounted there. */
	return ret < 0 ? ret : (int)SYS(__NR_umount2, name, 2 /* MNT_DETACH */ | 8 /* UMOUNT_NOFOLLOW */);
}

int op_remove_node(struct init *init, const struct ocirt_op *op)
{
	cleanup_close int parent_fd = -1, fd = -1;
	const char *name;
	struct stat st;
	int ret = enter_parent(init, op_path(init, op), &parent_fd, &name);

	if (ret < 0)
		return ret;
	fd = (int)sys_openat(parent_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	ret = (int)sys_fstat(fd, &st);
	if (ret < 0)
		return ret;
	if ((st.st_mode & S_IFMT) != (op->mode & S_IFMT) || (!S_ISREG_(st.st_mode) && st.st_rdev != op->a))
		return -EEXIST;
	/* The file below a node that was bound: one that was made for it is empty. */
	if (S_ISREG_(st.st_mode) && st.st_size)
		return 0;
	return (int)SYS(__NR_unlinkat, parent_fd, name, 0);
}

__attribute__((noreturn)) int op_exit(struct init *init, const struct ocirt_op *op)
{
	(void)init;
	(void)op;
	sys_exit(0);
}
