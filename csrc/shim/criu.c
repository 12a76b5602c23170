/* SPDX-License-Identifier: Apache-2.0
 *
 * How criu is started: with the descriptors that it is to have and no others, and for a restore in a mount namespace of its own.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "clone.h"
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIRST_FD = 3, MOST_FDS = 16 };

struct criu {
	const char *path;
	const int *fds;
	uint32_t fd_count;
	const char *rootfs, *mount_point, *keyring;
	int error;
};

/* What is mounted here is seen by criu and by what it restores, and ends with them. */
static int enter_mount_namespace(const struct criu *criu)
{
	if (unshare(CLONE_NEWNS) < 0)
		return -1;
	if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0)
		return -1;
	return mount(criu->rootfs, criu->mount_point, NULL, MS_BIND | MS_REC, NULL);
}

/* To FIRST_FD and the numbers behind it, in two steps, since one may be in the place of another. */
static int arrange_fds(const struct criu *criu)
{
	int copies[MOST_FDS];
	uint32_t i;

	for (i = 0; i < criu->fd_count; i++) {
		copies[i] = fcntl(criu->fds[i], F_DUPFD, FIRST_FD + (int)criu->fd_count);
		if (copies[i] < 0)
			return -1;
	}
	for (i = 0; i < criu->fd_count; i++)
		if (dup2(copies[i], FIRST_FD + (int)i) < 0)
			return -1;
	return (int)syscall(SYS_close_range, FIRST_FD + criu->fd_count, UINT_MAX, 0);
}

/* As spawn_child of spawn.c: nothing but system calls, in the memory of the runtime. */
static int criu_child(void *argument)
{
	struct criu *criu = argument;
	struct sigaction action = { .sa_handler = SIG_DFL };
	char *argv[] = { (char[]){ "criu" }, (char[]){ "swrk" }, (char[]){ "3" }, NULL };
	sigset_t none;

	for (int signal = 1; signal < NSIG; signal++)
		(void)sigaction(signal, &action, NULL);
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			goto failed;
	if (criu->rootfs && enter_mount_namespace(criu) < 0)
		goto failed;
	/* What is restored has the session keyring of criu: it must not be the caller's. */
	if (criu->keyring && syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, criu->keyring) < 0 && errno != ENOSYS)
		goto failed;
	if (arrange_fds(criu) < 0)
		goto failed;
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)execve(criu->path, argv, environ);
failed:
	criu->error = errno;
	_exit(127);
}

int ocirt_spawn_criu(const char *path, const int *fds, uint32_t fd_count, const char *rootfs, const char *mount_point,
		     const char *keyring)
{
	struct criu criu = { path, fds, fd_count, rootfs, mount_point, keyring, 0 };
	void *stack = NULL;
	pid_t pid;

	if (fd_count > MOST_FDS)
		return -E2BIG;
	pid = clone_sharing_memory(criu_child, &criu, CLONE_VFORK | SIGCHLD, NULL, &stack);
	if (pid < 0)
		return pid;
	munmap(stack, CLONE_STACK_SIZE);
	if (criu.error) {
		(void)waitpid(pid, NULL, 0);
		return -criu.error;
	}
	return pid;
}
