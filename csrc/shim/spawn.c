/* SPDX-License-Identifier: Apache-2.0
 *
 * How ocirt-init is started out of a runtime that may have threads and much memory: no page table is copied.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "clone.h"
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

pid_t clone_sharing_memory(int (*child)(void *), void *argument, int flags, int *ret_pidfd, void **ret_stack)
{
	sigset_t all, before;
	pid_t pid;
	int error;
	void *stack =
		mmap(NULL, CLONE_STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

	if (stack == MAP_FAILED)
		return -errno;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	pid = clone(child, (char *)stack + CLONE_STACK_SIZE, CLONE_VM | flags, argument, ret_pidfd);
	error = errno;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (pid < 0) {
		munmap(stack, CLONE_STACK_SIZE);
		return -error;
	}
	*ret_stack = stack;
	return pid;
}

struct spawn {
	int exe_fd;
	int channel_fd;
	uint32_t preserve_fds;
	int error;
};

/*
 * Runs in the memory of the runtime, which waits (CLONE_VFORK), with an own stack, descriptor table and signal dispositions.
 * Nothing but system calls: other threads of the runtime go on and may hold any lock. All signals are blocked.
 */
static int spawn_child(void *argument)
{
	struct spawn *spawn = argument;
	struct sigaction action = { .sa_handler = SIG_DFL };
	char number[16], *digit = number + sizeof number - 1;
	char *argv[] = { (char[]){ "ocirt-init" }, NULL, NULL }, *envp[] = { NULL };
	sigset_t none;
	int fd;

	for (int signal = 1; signal < NSIG; signal++)
		(void)sigaction(signal, &action, NULL);
	/* A program may be started with stdio closed; a descriptor of ours must not take such a number. */
	for (fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			goto failed;
	fd = fcntl(spawn->channel_fd, F_DUPFD, 3 + (int)spawn->preserve_fds);
	if (fd < 0)
		goto failed;
	*digit = '\0';
	do
		*--digit = (char)('0' + fd % 10);
	while (fd /= 10);
	argv[1] = digit;
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)execveat(spawn->exe_fd, "", argv, envp, AT_EMPTY_PATH);
failed:
	spawn->error = errno;
	_exit(127);
}

int ocirt_spawn(int exe_fd, int channel_fd, uint32_t preserve_fds, int *ret_pidfd)
{
	struct spawn spawn = { exe_fd, channel_fd, preserve_fds, 0 };
	void *stack = NULL;
	pid_t pid = clone_sharing_memory(spawn_child, &spawn, CLONE_VFORK | CLONE_PIDFD | SIGCHLD, ret_pidfd, &stack);

	if (pid < 0)
		return pid;
	munmap(stack, CLONE_STACK_SIZE);
	if (spawn.error) {
		(void)waitpid(pid, NULL, 0);
		close(*ret_pidfd);
		return -spawn.error;
	}
	return pid;
}
