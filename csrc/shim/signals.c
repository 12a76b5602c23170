/* SPDX-License-Identifier: Apache-2.0
 *
 * Signals that a process takes for another one: they are blocked here and come out of a signalfd(2), so that none interrupts
 * anything and none is lost. Raw system calls, because glibc hides the signals that it needs for itself.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SIGNALS = 64, GLIBC_FIRST = 32, GLIBC_LAST = 33 };

/* These are about this process: faults, the end of its readers, and the job control of the caller's shell, which has to see
 * this process stop. */
static const int OWN[] = { SIGKILL, SIGSTOP, SIGURG, SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU,
			   SIGSEGV, SIGBUS,  SIGFPE, SIGILL,  SIGTRAP, SIGSYS,  SIGXFSZ };

static uint64_t bit(int signal)
{
	return 1ULL << (signal - 1);
}

static int is_ignored(int signal)
{
	struct sigaction action;

	return sigaction(signal, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

int ocirt_take_signals(uint64_t *ret_mask_before)
{
	uint64_t taken = ~0ULL;
	int fd;

	for (size_t i = 0; i < sizeof OWN / sizeof OWN[0]; i++)
		taken &= ~bit(OWN[i]);
	for (int signal = 1; signal <= SIGNALS; signal++)
		if ((signal >= GLIBC_FIRST && signal <= GLIBC_LAST) || is_ignored(signal))
			taken &= ~bit(signal);
	fd = (int)syscall(SYS_signalfd4, -1, &taken, sizeof taken, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (syscall(SYS_rt_sigprocmask, SIG_BLOCK, &taken, ret_mask_before, sizeof taken) < 0) {
		int error = errno;
		close(fd);
		return -error;
	}
	return fd;
}

int ocirt_next_signal(int signal_fd)
{
	struct signalfd_siginfo info;
	ssize_t size = read(signal_fd, &info, sizeof info);

	if (size < 0)
		return errno == EAGAIN ? 0 : -errno;
	return (int)info.ssi_signo;
}

int ocirt_release_signals(int signal_fd, uint64_t mask_before)
{
	while (ocirt_next_signal(signal_fd) > 0)
		; /* those that came too late for the other process are not for this one */
	close(signal_fd);
	return syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask_before, NULL, sizeof mask_before) < 0 ? -errno : 0;
}
