/* SPDX-License-Identifier: Apache-2.0
 *
 * The root filesystem as a whole: how it is attached, and how it becomes the root.
 */
#include "init.h"

int op_host_propagation(struct init *init, const struct ocirt_op *op)
{
	(void)init;
	return (int)sys_mount(NULL, "/", NULL, op->a, NULL);
}

/* The tree is attached where its source lies, so that hooks find the container's mounts below the path they know. In a user
 * namespace that place can be out of reach; the tree goes over "/" then, which pivot_root(2) accepts as well. */
static int open_attach_point(const char *path, int tree_fd, int *ret_fd)
{
	struct stat tree, point;
	long fd = sys_openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	int ret;

	if (fd == -EACCES) {
		fd = sys_openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
		if (fd < 0)
			return (int)fd;
		*ret_fd = (int)fd;
		return 0;
	}
	if (fd < 0)
		return (int)fd;
	*ret_fd = (int)fd;
	ret = (int)sys_fstat(tree_fd, &tree);
	if (ret < 0)
		return ret;
	ret = (int)sys_fstat(*ret_fd, &point);
	if (ret < 0)
		return ret;
	/* Not the directory that the runtime opened: somebody has exchanged it in between. */
	return tree.st_dev == point.st_dev && tree.st_ino == point.st_ino ? 0 : -ESTALE;
}

int op_rootfs(struct init *init, const struct ocirt_op *op)
{
	cleanup_close int tree_fd = -1, point_fd = -1;
	struct mount_attr of_tree = { .propagation = op->a }, of_root = { .propagation = op->b };
	int ret;

	if (op->slot != OCIRT_NO_SLOT) {
		ret = channel_slot(init, op->slot, &tree_fd);
	} else {
		ret = (int)sys_open_tree(AT_FDCWD, op_path(init, op),
					 OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
		tree_fd = ret;
	}
	if (ret < 0)
		return ret;
	ret = (int)sys_mount_setattr(tree_fd, AT_RECURSIVE, &of_tree);
	if (ret < 0)
		return ret;
	ret = (int)sys_mount_setattr(tree_fd, 0, &of_root);
	if (ret < 0)
		return ret;
	ret = open_attach_point(op_path(init, op), tree_fd, &point_fd);
	if (ret < 0)
		return ret;
	ret = (int)sys_move_mount(tree_fd, point_fd);
	if (ret < 0)
		return ret;
	init->root_fd = take_fd(&tree_fd);
	return 0;
}

int op_root_readonly(struct init *init, const struct ocirt_op *op)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

	(void)op;
	return (int)sys_mount_setattr(init->root_fd, 0, &attr);
}

int op_pivot_root(struct init *init, const struct ocirt_op *op)
{
	cleanup_close int old_root_fd = (int)sys_openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	int ret;

	(void)op;
	if (old_root_fd < 0)
		return old_root_fd;
	ret = (int)SYS(__NR_fchdir, init->root_fd);
	if (ret < 0)
		return ret;
	/* The old root comes to lie on top of the new one, at ".": pivot_root(2) describes it under pivot_root(".", "."). */
	ret = (int)SYS(__NR_pivot_root, ".", ".");
	if (ret < 0)
		return ret;
	/* mount(2) takes "." for the new root, below the old one, and would part its mounts from their peers. */
	ret = (int)SYS(__NR_fchdir, old_root_fd);
	if (ret < 0)
		return ret;
	/* Unmounting must not travel to the host. */
	ret = (int)sys_mount(NULL, ".", NULL, MS_SLAVE | MS_REC, NULL);
	if (ret < 0)
		return ret;
	ret = (int)SYS(__NR_umount2, ".", 2 /* MNT_DETACH */);
	if (ret < 0)
		return ret;
	return (int)SYS(__NR_chdir, "/");
}

int enter_root(int root_fd)
{
	int ret = (int)SYS(__NR_fchdir, root_fd);

	if (ret < 0)
		return ret;
	ret = (int)SYS(__NR_chroot, ".");
	if (ret < 0)
		return ret;
	return (int)SYS(__NR_chdir, "/");
}

int op_move_root(struct init *init, const struct ocirt_op *op)
{
	int ret = (int)SYS(__NR_fchdir, init->root_fd);

	(void)op;
	if (ret < 0)
		return ret;
	ret = (int)sys_mount(".", "/", NULL, MS_MOVE, NULL);
	if (ret < 0)
		return ret;
	ret = detach_host_mounts(init);
	if (ret < 0)
		return ret;
	return enter_root(init->root_fd);
}

int op_chroot(struct init *init, const struct ocirt_op *op)
{
	(void)op;
	return enter_root(init->root_fd);
}

int op_root_propagation(struct init *init, const struct ocirt_op *op)
{
	(void)init;
	return (int)sys_mount(NULL, "/", NULL, op->a, NULL);
}
