/* SPDX-License-Identifier: Apache-2.0
 *
 * A handle on the host's procfs that is opened before anything of the container is in reach. Labels and sysctl values are
 * written through it, never through the container's /proc, which an image can shape (CVE-2019-16884, CVE-2025-52881).
 */
#include "init.h"

int proc_open(struct init *init)
{
	long fd = sys_openat(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	int ret;

	if (fd < 0)
		return (int)fd;
	init->proc_fd = (int)fd;
	ret = is_on_procfs(init->proc_fd);
	if (ret == 0) {
		init->detail = OCIRT_DETAIL_NOT_PROCFS;
		return -ENODEV;
	}
	return ret < 0 ? ret : 0;
}

/* Nothing mounted over a part of that procfs is crossed, and no magic link is followed. */
int proc_write(const struct init *init, const char *path, const char *text, size_t size)
{
	cleanup_close int fd = -1;
	long ret = sys_openat2(init->proc_fd, path, O_WRONLY | O_CLOEXEC, 0,
			       RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS);

	if (ret < 0)
		return (int)ret;
	fd = (int)ret;
	ret = sys_write(fd, text, size);
	if (ret < 0)
		return (int)ret;
	return (size_t)ret == size ? 0 : -EIO;
}
