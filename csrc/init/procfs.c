/* SPDX-License-Identifier: Apache-2.0
 *
 * A handle on procfs. Labels and sysctl values are written through it and never through a path of the container, whose
 * /proc an image can shape (CVE-2019-16884, CVE-2025-52881).
 */
#include "init.h"

enum { PROC_ROOT_INODE = 1 };

/* The root of the procfs at /proc. */
static int open_mounted(int *ret_fd)
{
	struct stat st;
	int ret = (int)sys_openat(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);

	if (ret < 0)
		return ret;
	*ret_fd = ret;
	ret = is_on_procfs(*ret_fd);
	if (ret < 0)
		return ret;
	if (ret == 0)
		return -ENODEV;
	ret = (int)sys_fstat(*ret_fd, &st);
	if (ret < 0)
		return ret;
	return st.st_ino == PROC_ROOT_INODE ? 0 : -ENODEV;
}

/* A procfs of this process's PID namespace that is mounted nowhere. */
static int open_private(int *ret_fd)
{
	cleanup_close int fs_fd = (int)SYS(__NR_fsopen, "proc", FSOPEN_CLOEXEC);
	int ret;

	if (fs_fd < 0)
		return fs_fd;
	ret = (int)SYS(__NR_fsconfig, fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	if (ret < 0)
		return ret;
	ret = (int)SYS(__NR_fsmount, fs_fd, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (ret < 0)
		return ret;
	*ret_fd = ret;
	return 0;
}

int proc_open(struct init *init)
{
	int ret = open_mounted(&init->proc_fd);

	if (ret == -ENODEV)
		init->detail = OCIRT_DETAIL_NOT_PROCFS;
	return ret;
}

/* In a user namespace the kernel makes no procfs where the mounted one is covered in part (mount_too_revealing in
 * fs/namespace.c); that one is used then, and what is covered of it is not written. */
static int proc_reopen(struct init *init)
{
	if (open_private(&init->proc_fd) == 0)
		return 0;
	return proc_open(init);
}

static int open_below(struct init *init, const char *path, uint64_t flags, uint64_t resolve, int *ret_fd)
{
	long ret;

	if (init->proc_fd < 0) {
		ret = proc_reopen(init);
		if (ret < 0)
			return (int)ret;
	}
	ret = sys_openat2(init->proc_fd, path, flags | O_CLOEXEC, 0, resolve);
	if (ret < 0)
		return (int)ret;
	*ret_fd = (int)ret;
	return 0;
}

/* Nothing mounted over a part of that procfs is crossed, and no magic link is followed. */
int proc_open_file(struct init *init, const char *path, uint64_t flags, int *ret_fd)
{
	return open_below(init, path, flags, RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS, ret_fd);
}

/* Such a link is magic, and leads out of procfs: the caller knows that it is of this process. */
int proc_open_own_namespace(struct init *init, const char *link, int *ret_fd)
{
	return open_below(init, link, O_RDONLY, 0, ret_fd);
}

int proc_write(struct init *init, const char *path, const char *text, size_t size)
{
	cleanup_close int fd = -1;
	long ret = proc_open_file(init, path, O_WRONLY, &fd);

	if (ret < 0)
		return (int)ret;
	ret = sys_write(fd, text, size);
	if (ret < 0)
		return (int)ret;
	return (size_t)ret == size ? 0 : -EIO;
}
