/* SPDX-License-Identifier: Apache-2.0
 *
 * Standard input, output and error as the runtime's caller has left them.
 */
#include "init.h"

enum { NULL_DEVICE = 1 << 8 | 3 };

static int is_null(int fd)
{
	struct stat st;

	return sys_fstat(fd, &st) == 0 && S_ISCHR_(st.st_mode) && st.st_rdev == NULL_DEVICE;
}

/* The null device through a mount that is read-only: a device can be written there, but its inode cannot be changed. */
static int open_null_readonly(int *ret_fd)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	cleanup_close int tree_fd = -1;
	int ret = (int)sys_open_tree(AT_FDCWD, "/dev", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

	if (ret < 0)
		return ret;
	tree_fd = ret;
	ret = (int)sys_mount_setattr(tree_fd, AT_RECURSIVE, &attr);
	if (ret < 0)
		return ret;
	/* Not with O_NOFOLLOW, which a descriptor keeps: criu opens it again as it was, by a link of procfs. */
	ret = (int)sys_openat2(tree_fd, "null", O_RDWR | O_NOCTTY | O_CLOEXEC, 0, RESOLVE_NO_SYMLINKS);
	if (ret < 0)
		return ret;
	*ret_fd = ret;
	return is_null(*ret_fd) ? 0 : -ENODEV;
}

/* A descriptor leads to the inode: the root of a container that has the host's null device as its standard input could take
 * it away from everybody with fchmod(2). Engines start most containers like that. */
int protect_null(void)
{
	cleanup_close int null_fd = -1;

	for (int fd = 0; fd < 3; fd++) {
		int ret;

		if (!is_null(fd))
			continue;
		if (null_fd < 0) {
			ret = open_null_readonly(&null_fd);
			/* Without the privilege to clone mounts there is none to change the host's device either. */
			if (ret == -EPERM)
				return 0;
			if (ret < 0)
				return ret;
		}
		ret = (int)sys_dup3(null_fd, fd, 0);
		if (ret < 0)
			return ret;
	}
	return 0;
}
