/* SPDX-License-Identifier: Apache-2.0
 *
 * Nodes and links in the container's root filesystem. The image may bring a /dev of its own, links included
 * (CVE-2026-41579): parents are opened below the root, and the last component is never followed.
 */
#include "init.h"

int op_mkdir(struct init *init, const struct ocirt_op *op)
{
	cleanup_close int fd = -1;

	return rootfs_make_directory(init, op_path(init, op), op->mode, &fd);
}

/* The parent of the node or link that op makes. A /dev that is a link could lead into a volume, which is the host's. */
static int open_parent(const struct init *init, const struct ocirt_op *op, int *ret_parent_fd, const char **ret_name)
{
	uint64_t resolve = op->flags & OCIRT_NO_SYMLINKS ? RESOLVE_NO_SYMLINKS : 0;

	return rootfs_open_parent(init, op_path(init, op), resolve, ret_parent_fd, ret_name);
}

static int is_same_node(int parent_fd, const char *name, const struct ocirt_op *op)
{
	cleanup_close int fd = -1;
	struct stat st;
	int ret = (int)sys_openat(parent_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);

	if (ret < 0)
		return ret;
	fd = ret;
	ret = (int)sys_fstat(fd, &st);
	if (ret < 0)
		return ret;
	return (st.st_mode & S_IFMT) == (op->mode & S_IFMT) && (S_ISREG_(st.st_mode) || st.st_rdev == op->a);
}

int op_device(struct init *init, const struct ocirt_op *op)
{
	cleanup_close int parent_fd = -1;
	const char *name;
	int ret = open_parent(init, op, &parent_fd, &name);

	if (ret < 0)
		return ret;
	ret = (int)SYS(__NR_mknodat, parent_fd, name, op->mode, op->a);
	if (ret == -EEXIST) {
		ret = is_same_node(parent_fd, name, op);
		if (ret < 0)
			return ret;
		return ret ? 0 : -EEXIST;
	}
	if (ret < 0)
		return ret;
	/* The node is ours and new, in a directory that we hold; AT_SYMLINK_NOFOLLOW for what may have replaced it. */
	ret = (int)SYS(__NR_fchownat, parent_fd, name, op->b, op->c, AT_SYMLINK_NOFOLLOW);
	return ret;
}

int op_symlink(struct init *init, const struct ocirt_op *op)
{
	cleanup_close int parent_fd = -1;
	const char *name;
	int ret = open_parent(init, op, &parent_fd, &name);

	if (ret < 0)
		return ret;
	if (op->flags & OCIRT_REPLACE) {
		ret = (int)SYS(__NR_unlinkat, parent_fd, name, 0);
		if (ret < 0 && ret != -ENOENT)
			return ret;
	}
	ret = (int)SYS(__NR_symlinkat, op_text(init, op), parent_fd, name);
	return ret == -EEXIST ? 0 : ret;
}
