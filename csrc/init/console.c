/* SPDX-License-Identifier: Apache-2.0
 *
 * The terminal: a pty of the container's own devpts. The slave is got from the master (TIOCGPTPEER), never by a path that
 * the container could have prepared (CVE-2025-52565).
 */
#include "init.h"

enum { PTMX = 5 << 8 | 2, PTY_MAJOR_FIRST = 136, PTY_MAJOR_LAST = 143 };

/* What is at /dev/pts is looked at before anything in it is opened: opening what is no terminal can hang, or do something. */
static int open_master(struct init *init, int *ret_fd)
{
	cleanup_close int directory_fd = -1;
	struct statfs filesystem;
	struct stat st;
	int ret = rootfs_open(init, "/dev/pts", O_PATH | O_DIRECTORY, 0, &directory_fd);

	if (ret < 0)
		return ret;
	ret = (int)sys_fstatfs(directory_fd, &filesystem);
	if (ret < 0)
		return ret;
	if (filesystem.f_type != DEVPTS_SUPER_MAGIC)
		return -ENODEV;
	ret = (int)sys_openat2(directory_fd, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC, 0,
			       RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS);
	if (ret < 0)
		return ret;
	*ret_fd = ret;
	ret = (int)sys_fstat(*ret_fd, &st);
	if (ret < 0)
		return ret;
	return S_ISCHR_(st.st_mode) && st.st_rdev == PTMX ? 0 : -ENODEV;
}

static int open_slave(int master_fd, int *ret_fd)
{
	int unlock = 0;
	struct stat st;
	int ret = (int)SYS(__NR_ioctl, master_fd, TIOCSPTLCK, &unlock);

	if (ret < 0)
		return ret;
	ret = (int)SYS(__NR_ioctl, master_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (ret < 0)
		return ret;
	*ret_fd = ret;
	ret = (int)sys_fstat(*ret_fd, &st);
	if (ret < 0)
		return ret;
	ret = (int)(st.st_rdev >> 8 & 0xfff);
	return S_ISCHR_(st.st_mode) && ret >= PTY_MAJOR_FIRST && ret <= PTY_MAJOR_LAST ? 0 : -ENODEV;
}

/* A terminal emulator adds the carriage return itself: the output arrives as the program wrote it, as with runc. */
static int clear_onlcr(int fd)
{
	struct termios settings;
	int ret = (int)SYS(__NR_ioctl, fd, TCGETS, &settings);

	if (ret < 0)
		return ret;
	settings.c_oflag &= ~(tcflag_t)ONLCR;
	return (int)SYS(__NR_ioctl, fd, TCSETS, &settings);
}

static int set_size(int fd, uint64_t rows_and_columns)
{
	struct {
		uint16_t rows, columns, x_pixels, y_pixels;
	} size = { (uint16_t)(rows_and_columns >> 16), (uint16_t)rows_and_columns, 0, 0 };

	return rows_and_columns ? (int)SYS(__NR_ioctl, fd, TIOCSWINSZ, &size) : 0;
}

static int bind_console(struct init *init, int slave_fd)
{
	cleanup_close int target_fd = -1, tree_fd = -1;
	struct stat st;
	/* Links are not followed: /dev/console of an image may point anywhere (CVE-2026-88264). */
	int ret = rootfs_make_target(init, "/dev/console", 0, RESOLVE_NO_SYMLINKS, &target_fd);

	if (ret < 0)
		return ret;
	ret = (int)sys_fstat(target_fd, &st);
	if (ret < 0)
		return ret;
	if (S_ISDIR_(st.st_mode))
		return -EISDIR;
	tree_fd = (int)sys_open_tree(slave_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	return tree_fd < 0 ? tree_fd : mount_attach(init, tree_fd, target_fd, 0);
}

int op_console(struct init *init, const struct ocirt_op *op)
{
	cleanup_close int socket_fd = -1, master_fd = -1, slave_fd = -1;
	int ret = channel_slot(init, op->slot, &socket_fd);

	if (ret < 0)
		return ret;
	if (init->root_fd < 0) {
		/* exec: the root is the container's already. */
		ret = (int)sys_openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
		if (ret < 0)
			return ret;
		init->root_fd = ret;
	}
	ret = open_master(init, &master_fd);
	if (ret < 0)
		return ret;
	ret = open_slave(master_fd, &slave_fd);
	if (ret < 0)
		return ret;
	ret = clear_onlcr(slave_fd);
	if (ret < 0)
		return ret;
	ret = set_size(master_fd, op->a);
	if (ret < 0)
		return ret;
	if (op->flags & OCIRT_BIND_CONSOLE) {
		ret = bind_console(init, slave_fd);
		if (ret < 0)
			return ret;
	}
	ret = channel_send_fd(socket_fd, master_fd);
	if (ret < 0)
		return ret;
	ret = (int)SYS(__NR_ioctl, slave_fd, TIOCSCTTY, 0);
	if (ret < 0)
		return ret;
	for (int fd = 0; fd < 3; fd++) {
		ret = (int)SYS(__NR_dup3, slave_fd, fd, 0);
		if (ret < 0)
			return ret;
	}
	return 0;
}
