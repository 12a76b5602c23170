/* SPDX-License-Identifier: Apache-2.0
 *
 * ocirt-python: embeds Python and calls ocirt.__main__.run(), for the command, which has no snapshot to continue in
 * (command.c). It makes one first, if it is told to, or is itself the process that a snapshot is made of. */
#include "../command/call.h"
#include "launcher.h"
#include "snapshot.h"

#include <stdlib.h>
#include <string.h>

/* Takes what call.h says out of the words, so that those of the user remain. */
static void take_words(int *argc, char **argv, const char **ret_purpose, const char **ret_program)
{
	if (*argc <= CALL_WORDS || strcmp(argv[1], CALL_MARK) != 0)
		die("this is a part of the command ocirt, which calls it");
	*ret_purpose = argv[2];
	*ret_program = argv[3];
	*argc -= CALL_WORDS;
	memmove(argv + 1, argv + 1 + CALL_WORDS, (size_t)*argc * sizeof(char *));
}

int main(int argc, char **argv)
{
	static struct installation installation;
	const char *purpose, *program;

	take_words(&argc, argv, &purpose, &program);
	if (strcmp(purpose, CALL_MAKE) == 0) {
		snapshot_prepare();
		find_installation(program, &installation);
		return write_own_snapshot(&installation);
	}
	if (strcmp(purpose, CALL_MAKE_AND_START) == 0)
		make_snapshot(program);
	find_installation(program, &installation);
	if (!load_libpython(installation.libpython))
		execute_interpreter(&installation, argc, argv);
	if (begin_python(&installation, argc, argv))
		call_run();
	return EXIT_FAILURE;
}
