/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes the snapshot of a command: the first that finds none, or one that is outdated, has ocirt-python called as the maker,
 * in an empty environment, tries what that has written, and puts it in its place (place.h). A command that cannot have
 * one, or that may not write there, starts Python, as ever. */
#include "../command/call.h"
#include "../command/place.h"
#include "launcher.h"
#include "snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	MAKER_FD = 3,
	MAKER_SECONDS = 5,      /* an attempt ends by SIGALRM after that */
	ABANDONED_SECONDS = 60, /* a file that is this old is not being written any more */
};

static struct place place;
static char unfinished[sizeof(place.snapshot) + sizeof(UNFINISHED)];

/* Removes those of programs that are no more. */
static void remove_orphans(void)
{
	DIR *stream = opendir(place.directory);
	const struct dirent *entry;

	while (stream != NULL && (entry = readdir(stream)) != NULL) {
		char program[NAME_MAX + 1];
		size_t length = strlen(entry->d_name);

		if (entry->d_name[0] != '!' || (length > 4 && strcmp(entry->d_name + length - 4, ".new") == 0))
			continue;
		memcpy(program, entry->d_name, length + 1);
		for (char *at = program; *at != '\0'; at++)
			if (*at == '!')
				*at = '/';
		if (access(program, F_OK) < 0 && errno == ENOENT)
			unlinkat(dirfd(stream), entry->d_name, 0);
	}
	if (stream != NULL)
		closedir(stream);
}

/* A new file, which no other command has begun, or -1. */
static int create_unfinished(void)
{
	struct stat st;
	int fd;

	if ((mkdir(place.directory, 0700) < 0 && errno != EEXIST) || lstat(place.directory, &st) < 0 ||
	    !S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022) != 0)
		return -1;
	fd = open(unfinished, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST && lstat(unfinished, &st) == 0 && time(NULL) - st.st_mtime > ABANDONED_SECONDS)
		unlink(unfinished);
	return fd;
}

/* What a child does before it becomes the maker, or tries the snapshot: it has nothing of the caller's. */
static void leave_caller(int fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int persona = personality(0xffffffff); /* asks */
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGALRM, SIG_DFL);
	if (persona > 0 && (persona & ADDR_NO_RANDOMIZE) != 0)
		personality((unsigned long)persona & ~(unsigned long)ADDR_NO_RANDOMIZE);
	if (null < 0 || dup2(fd, MAKER_FD) < 0 || fcntl(MAKER_FD, F_SETFD, 0) < 0 || dup2(null, 0) < 0 ||
	    dup2(null, 1) < 0 || dup2(null, 2) < 0 || chdir("/") < 0)
		_exit(EXIT_FAILURE);
	syscall(SYS_close_range, MAKER_FD + 1, ~0U, 0);
	alarm(MAKER_SECONDS);
}

static void become_maker(const char *program)
{
	/* Nothing of the kernel's may point into the memory of a process; see rseq(2). What is not yet bound would be bound
	 * again by each command. */
	char *environment[] = { "GLIBC_TUNABLES=glibc.pthread.rseq=0", "LD_BIND_NOW=1", NULL };
	char *words[] = { "ocirt", CALL_MARK, CALL_MAKE, (char *)program, NULL };

	execve("/proc/self/exe", words, environment);
	_exit(EXIT_FAILURE);
}

static void try_snapshot(const char *program)
{
	char *words[] = { CALL_TRIAL, NULL };
	char *environment[] = { NULL };

	close(MAKER_FD);
	execve(program, words, environment);
	_exit(EXIT_FAILURE);
}

static bool succeeds(void act(const char *program), const char *program, int fd)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		leave_caller(fd);
		act(program);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && status == 0;
}

/* Makes the snapshot in which later calls of *program* continue, where that can be. */
void make_snapshot(const char *program)
{
	void (*handler)(int);
	bool made;
	int fd;

	if (!find_place(program, geteuid(), &place))
		return;
	print_path(unfinished, sizeof(unfinished), "%s" UNFINISHED, place.snapshot);
	fd = create_unfinished();
	if (fd < 0)
		return;
	handler = signal(SIGCHLD, SIG_DFL); /* ignored, it would keep the status of a child from us */
	made = succeeds(become_maker, program, fd) && succeeds(try_snapshot, program, fd);
	signal(SIGCHLD, handler);
	if (!made)
		made = snapshot_write_void(fd) == 0;
	close(fd);
	if (!made || rename(unfinished, place.snapshot) < 0)
		unlink(unfinished);
	remove_orphans();
}

static void begin(int argc, char **argv, char **variables)
{
	extern char **environ;

	environ = variables;
	run_preloaded(argc, argv, variables);
	_exit(EXIT_FAILURE);
}

/* The maker's part. Returns an exit status. */
int write_own_snapshot(const struct installation *installation)
{
	char *no_words[] = { NULL };
	const char **files;
	size_t n_files;

	if (!load_libpython(installation->libpython) || !begin_python(installation, 0, no_words))
		return EXIT_FAILURE;
	files = preload(&n_files);
	if (files == NULL || snapshot_write(MAKER_FD, begin, files, n_files) < 0)
		return EXIT_FAILURE;
	return EXIT_SUCCESS;
}
