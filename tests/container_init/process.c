/* Commands that do something, wait for something, or end the process. */

#define _GNU_SOURCE
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

extern char **environ;

static int exit_with(int argc, char **argv)
{
	(void)argc;
	return (int)number(argv[1]) & 0xff;
}

static int print(int argc, char **argv)
{
	(void)argc;
	puts(argv[1]);
	return NEXT;
}

/* print-error TEXT */
static int print_error(int argc, char **argv)
{
	(void)argc;
	fprintf(stderr, "%s\n", argv[1]);
	return NEXT;
}

/* kill-self SIGNAL. Pid 1 of a PID namespace is deaf to it. */
static int kill_self(int argc, char **argv)
{
	(void)argc;
	json_result(kill(getpid(), (int)number(argv[1])));
	return NEXT;
}

/* kill PID SIGNAL */
static int try_kill(int argc, char **argv)
{
	(void)argc;
	json_result(kill((pid_t)number(argv[1]), (int)number(argv[2])));
	return NEXT;
}

static void ready(void)
{
	puts("ready");
	fflush(stdout);
}

/* pause: prints "ready" and stays until a signal ends it. */
static int stay(int argc, char **argv)
{
	(void)argc, (void)argv;
	ready();
	while (pause() < 0)
		;
	return NEXT;
}

/* await-signal: prints "ready", then the number of the first signal that arrives, which is its exit status too. */
static int await_signal(int argc, char **argv)
{
	(void)argc, (void)argv;
	sigset_t all;
	int signal_number = 0;
	sigfillset(&all);
	sigdelset(&all, SIGWINCH); /* a terminal may get its first size while the program starts */
	sigprocmask(SIG_BLOCK, &all, NULL);
	ready();
	sigwait(&all, &signal_number);
	json_number(signal_number);
	return signal_number;
}

/* collect-signals: prints "ready", then the number of each signal that arrives; SIGTERM is the last. */
static int collect_signals(int argc, char **argv)
{
	(void)argc, (void)argv;
	sigset_t all;
	int signal_number = 0;
	sigfillset(&all);
	sigdelset(&all, SIGWINCH); /* a terminal may get its first size while the program starts */
	sigprocmask(SIG_BLOCK, &all, NULL);
	ready();
	do {
		sigwait(&all, &signal_number);
		json_number(signal_number);
	} while (signal_number != SIGTERM);
	return 0;
}

/* spawn COUNT: children that stay until they are killed; prints their pids. */
static int spawn(int argc, char **argv)
{
	(void)argc;
	long count = number(argv[1]);
	fflush(stdout);
	json_open('[');
	for (long i = 0; i < count; i++) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);
		pid_t pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
		if (pid == 0) {
			if (null >= 0)
				dup2(null, 1);
			for (;;)
				pause();
		}
		if (null >= 0)
			close(null);
		json_number(pid < 0 ? -errno : pid);
	}
	json_close(']');
	return NEXT;
}

/* wait-children: the wait status of each child, until there is none. */
static int wait_children(int argc, char **argv)
{
	(void)argc, (void)argv;
	int status;
	json_open('[');
	while (wait(&status) > 0)
		json_number(status);
	json_close(']');
	return NEXT;
}

/* fork-bomb LIMIT: how many children could be started before fork failed (4096 at most), and the errno. They are ended again. */
static int fork_bomb(int argc, char **argv)
{
	(void)argc;
	static pid_t children[4096];
	long limit = number(argv[1]), count = 0;
	int error = 0;
	for (; count < limit && count < 4096; count++) {
		pid_t pid = fork();
		if (pid == 0)
			for (;;)
				pause();
		if (pid < 0) {
			error = errno;
			break;
		}
		children[count] = pid;
	}
	for (long i = 0; i < count; i++) {
		kill(children[i], SIGKILL);
		waitpid(children[i], NULL, 0);
	}
	json_open('{');
	json_pair("count", count);
	json_pair("errno", error);
	json_close('}');
	return NEXT;
}

/* orphan: a grandchild whose parent has gone; prints its pid. */
static int orphan(int argc, char **argv)
{
	(void)argc, (void)argv;
	int pipe_fds[2];
	pid_t grandchild = 0;
	if (pipe(pipe_fds) < 0)
		fail("pipe");
	pid_t child = fork();
	if (child == 0) {
		grandchild = fork();
		if (grandchild == 0) {
			close(pipe_fds[1]);
			for (;;)
				pause();
		}
		if (write(pipe_fds[1], &grandchild, sizeof(grandchild)) < 0)
			_exit(1);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	if (read(pipe_fds[0], &grandchild, sizeof(grandchild)) < 0)
		fail("read");
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	json_number(grandchild);
	return NEXT;
}

/* output BYTES: that many bytes, lines of 64 with a running number, so that a hole shows. */
static int output(int argc, char **argv)
{
	(void)argc;
	long total = number(argv[1]);
	for (long line = 0; line * 64 < total; line++)
		printf("%063ld\n", line);
	return NEXT;
}

/* echo: copies standard input to standard output until its end. */
static int echo(int argc, char **argv)
{
	(void)argc, (void)argv;
	char buffer[4096];
	ssize_t size;
	fflush(stdout);
	while ((size = read(0, buffer, sizeof(buffer))) > 0)
		for (ssize_t done = 0, wrote; done < size; done += wrote)
			if ((wrote = write(1, buffer + done, (size_t)(size - done))) < 0)
				fail("write");
	return NEXT;
}

/* watch-size: the terminal's size now and after each change; SIGTERM is the end. */
static int watch_size(int argc, char **argv)
{
	(void)argc, (void)argv;
	sigset_t awaited;
	int signal_number;
	sigemptyset(&awaited);
	sigaddset(&awaited, SIGWINCH);
	sigaddset(&awaited, SIGTERM);
	sigprocmask(SIG_BLOCK, &awaited, NULL);
	do {
		struct winsize size = { 0 };
		ioctl(0, TIOCGWINSZ, &size);
		printf("%dx%d\n", size.ws_row, size.ws_col);
		fflush(stdout);
		sigwait(&awaited, &signal_number);
	} while (signal_number != SIGTERM);
	return 0;
}

static int execute(int argc, char **argv)
{
	(void)argc;
	execv(argv[1], argv + 1);
	json_result(-1);
	return NEXT;
}

/* unshare FLAGS */
static int try_unshare(int argc, char **argv)
{
	(void)argc;
	json_result(unshare((int)number(argv[1])));
	return NEXT;
}

/* setns PATH */
static int try_setns(int argc, char **argv)
{
	(void)argc;
	int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	json_result(fd < 0 ? -1 : setns(fd, 0));
	if (fd >= 0)
		close(fd);
	return NEXT;
}

/* syscall NUMBER [ARGUMENT...] */
static int raw_syscall(int argc, char **argv)
{
	long words[6] = { 0 };
	for (int i = 2; i < argc && i < 8; i++)
		words[i - 2] = number(argv[i]);
	json_result(syscall(number(argv[1]), words[0], words[1], words[2], words[3], words[4], words[5]));
	return NEXT;
}

/* socket DOMAIN TYPE PROTOCOL */
static int try_socket(int argc, char **argv)
{
	(void)argc;
	int fd = socket((int)number(argv[1]), (int)number(argv[2]), (int)number(argv[3]));
	json_result(fd < 0 ? -1 : 0);
	if (fd >= 0)
		close(fd);
	return NEXT;
}

/* set-groups: setgroups(2) with none. */
static int set_groups(int argc, char **argv)
{
	(void)argc, (void)argv;
	json_result(syscall(SYS_setgroups, 0, NULL));
	return NEXT;
}

/* set-uid UID */
static int set_uid(int argc, char **argv)
{
	(void)argc;
	json_result(syscall(SYS_setuid, number(argv[1])));
	return NEXT;
}

/* set-hostname NAME */
static int set_hostname(int argc, char **argv)
{
	(void)argc;
	json_result(sethostname(argv[1], strlen(argv[1])));
	return NEXT;
}

/* touch-memory MIB: as much anonymous memory, every page written. */
static int touch_memory(int argc, char **argv)
{
	(void)argc;
	size_t size = (size_t)number(argv[1]) << 20;
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		json_result(-1);
		return NEXT;
	}
	memset(memory, 1, size);
	json_result(0);
	return NEXT;
}

static void record_fd_targets(void)
{
	json_open('{');
	for (int fd = 0; fd < 4096; fd++) {
		char link[64], target[4096], key[16];
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		snprintf(key, sizeof(key), "%d", fd);
		ssize_t size = fcntl(fd, F_GETFD) < 0 ? -1 : readlink(link, target, sizeof(target));
		if (size >= 0 && fd != 1) {
			json_key(key);
			json_bytes(target, (size_t)size);
		}
	}
	json_close('}');
}

/* record FILE WORD: appends a line to FILE: WORD, arguments, environment, standard input, namespaces, cwd, pid, root. For hooks. */
static int record(int argc, char **argv)
{
	static char input[65536];
	size_t size = 0;
	ssize_t got;
	while (size < sizeof(input) && (got = read(0, input + size, sizeof(input) - size)) > 0)
		size += (size_t)got;
	int file = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (file < 0)
		fail(argv[1]);
	fflush(stdout);
	dup2(file, 1);
	json_open('{');
	json_text("word", argv[2]);
	json_key("args");
	json_open('[');
	for (int i = 3; i < argc; i++)
		json_string(argv[i]);
	json_close(']');
	json_key("env");
	json_open('[');
	for (char **entry = environ; *entry; entry++)
		json_string(*entry);
	json_close(']');
	json_key("stdin");
	json_bytes(input, size);
	json_key("namespaces");
	json_open('{');
	static const char *const kinds[] = { "cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts" };
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		char link[64], target[128];
		snprintf(link, sizeof(link), "/proc/self/ns/%s", kinds[i]);
		ssize_t length = readlink(link, target, sizeof(target));
		if (length < 0)
			continue;
		json_key(kinds[i]);
		json_bytes(target, (size_t)length);
	}
	json_close('}');
	char path[4096];
	json_text("cwd", getcwd(path, sizeof(path)) ? path : strerror(errno));
	json_pair("pid", getpid());
	json_key("fds");
	record_fd_targets();
	sigset_t blocked;
	sigprocmask(SIG_BLOCK, NULL, &blocked);
	json_pair("blockedSignals", !sigisemptyset(&blocked));
	json_close('}');
	return NEXT;
}

/* touch FILE */
static int touch(int argc, char **argv)
{
	(void)argc;
	int fd = open(argv[1], O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	json_result(fd < 0 ? -1 : 0);
	if (fd >= 0)
		close(fd);
	return NEXT;
}

/* close FD */
static int close_fd(int argc, char **argv)
{
	(void)argc;
	json_result(close((int)number(argv[1])));
	return NEXT;
}

/* send FD TEXT: writes to a descriptor that was inherited. */
static int send_text(int argc, char **argv)
{
	(void)argc;
	json_result(write((int)number(argv[1]), argv[2], strlen(argv[2])));
	return NEXT;
}

/* send-to PATH TEXT: a datagram to a UNIX socket. */
static int send_to(int argc, char **argv)
{
	(void)argc;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		fail("socket");
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[1]);
	json_result(sendto(fd, argv[2], strlen(argv[2]), 0, (struct sockaddr *)&address, sizeof(address)));
	close(fd);
	return NEXT;
}

const struct command process_commands[] = {
	{ "exit", 1, exit_with },
	{ "print", 1, print },
	{ "print-error", 1, print_error },
	{ "kill-self", 1, kill_self },
	{ "kill", 2, try_kill },
	{ "pause", 0, stay },
	{ "await-signal", 0, await_signal },
	{ "collect-signals", 0, collect_signals },
	{ "spawn", 1, spawn },
	{ "wait-children", 0, wait_children },
	{ "fork-bomb", 1, fork_bomb },
	{ "orphan", 0, orphan },
	{ "output", 1, output },
	{ "echo", 0, echo },
	{ "watch-size", 0, watch_size },
	{ "exec", 1, execute },
	{ "unshare", 1, try_unshare },
	{ "setns", 1, try_setns },
	{ "syscall", 1, raw_syscall },
	{ "socket", 3, try_socket },
	{ "set-groups", 0, set_groups },
	{ "set-uid", 1, set_uid },
	{ "set-hostname", 1, set_hostname },
	{ "touch-memory", 1, touch_memory },
	{ "record", 2, record },
	{ "touch", 1, touch },
	{ "close", 1, close_fd },
	{ "send", 2, send_text },
	{ "send-to", 2, send_to },
	{ NULL, 0, NULL },
};
