/* SPDX-License-Identifier: Apache-2.0
 *
 * The `ocirt` command: continues in a snapshot of a process that has started Python and imported everything
 * (snapshot_continue.c), or where there is none executes ocirt-python, which makes one.
 *
 * Engines start this program for every step of a container's life. It is static and has no libc, since to load one takes
 * 0.45 ms, a tenth of `ocirt state`: the snapshot brings its own. */
#include "../init/sys.h"

#include "call.h"
#include "layouts.h"
#include "place.h"
#include "snapshot_continue.h"

__attribute__((noreturn)) static void die(const char *text)
{
	static const char name[] = "ocirt: ";

	(void)sys_write(2, name, sizeof(name) - 1);
	(void)sys_write(2, text, strlen(text));
	(void)sys_write(2, "\n", 1);
	sys_exit(1);
}

/* Without this, the first files that are opened would become the container's standard streams. */
static void open_missing_standard_streams(void)
{
	long fd;

	do {
		fd = sys_openat(AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0);
		if (fd < 0)
			die("cannot open /dev/null");
		if (fd <= 2 && SYS(__NR_fcntl, fd, F_SETFD, 0) < 0)
			die("cannot keep /dev/null open");
	} while (fd <= 2);
	(void)sys_close((int)fd);
}

/* Does not return if the program is there. */
static void execute(const char *directory, const char *package, char **words, char **environment)
{
	char path[PLACE_SIZE + sizeof(RECORDED_SOURCE) + 64], *end = place_append(path, directory);

	if (package[0] != '\0')
		end = place_append(place_append(end, "/"), package);
	place_append(end, "/ocirt/ocirt-python");
	SYS(__NR_execve, path, words, environment);
}

__attribute__((noreturn)) static void start_python(const char *program, const char *purpose, int argc, char **argv,
						   char **environment)
{
	char prefix[PLACE_SIZE], text[PLACE_SIZE + 128], *words[argc + CALL_WORDS + 2], **word = words;
	char *slash = place_append(prefix, program);

	*word++ = argc > 0 ? argv[0] : "ocirt"; /* there may be none: execve(2), before Linux 5.18 */
	*word++ = CALL_MARK;
	*word++ = (char *)purpose;
	*word++ = (char *)program;
	for (int i = 1; i < argc; i++)
		*word++ = argv[i];
	*word = NULL;
	for (int level = 0; level < 2; level++) /* bin/ocirt */
		while (slash > prefix && *--slash != '/')
			;
	*slash = '\0';
	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++)
		execute(prefix, layouts[i], words, environment);
	if (RECORDED_SOURCE[0] != '\0')
		execute(RECORDED_SOURCE, "", words, environment);
	slash = place_append(text, "the Python package ocirt is not installed beside this command (in ");
	place_append(place_append(place_append(place_append(slash, prefix), "/"), layouts[0]), ")");
	die(text);
}

static uint64_t auxiliary(char **environment, uint64_t type)
{
	const uint64_t *vector;

	while (*environment != NULL)
		environment++;
	for (vector = (const uint64_t *)(environment + 1); vector[0] != 0; vector += 2)
		if (vector[0] == type)
			return vector[1];
	return 0;
}

__attribute__((noreturn)) static void try_snapshot(struct place *place, uint64_t vdso, char **no_environment)
{
	static char *words[] = { "ocirt", "--version", NULL };

	place_append(place->snapshot + strlen(place->snapshot), UNFINISHED);
	snapshot_continue(place->snapshot, vdso, 2, words, no_environment);
	sys_exit(1);
}

__attribute__((noreturn, used)) void command_main(long *stack)
{
	enum { AT_SECURE_ = 23, AT_SYSINFO_EHDR_ = 33 };
	static struct place place;
	static char program[PLACE_SIZE];
	int argc = (int)stack[0];
	char **argv = (char **)(stack + 1), **environment = argv + argc + 1;
	uint64_t vdso = auxiliary(environment, AT_SYSINFO_EHDR_);
	const char *purpose = CALL_START;

	open_missing_standard_streams();
	if (SYS(__NR_readlinkat, AT_FDCWD, "/proc/self/exe", program, sizeof(program) - 1) <= 0)
		die("cannot read /proc/self/exe");
	if (auxiliary(environment, AT_SECURE_) == 0 && find_place(program, (uint32_t)SYS(__NR_geteuid), &place)) {
		if (argc == 1 && strcmp(argv[0], CALL_TRIAL) == 0)
			try_snapshot(&place, vdso, environment);
		if (!snapshot_continue(place.snapshot, vdso, argc, argv, environment))
			purpose = CALL_MAKE_AND_START;
	}
	start_python(program, purpose, argc, argv, environment);
}

PROGRAM_ENTRY("command_main")
