/* container-init: the first process of the containers of the tests.
 *
 *     init COMMAND [ARGUMENT...] [";" COMMAND [ARGUMENT...]]...
 *
 * Each command prints one JSON value on a line of its own. A system call that fails is no failure of the command: its
 * value is {"result":-1,"errno":NUMBER}. Exit status: that of a command which ends the process (exit, pause, ...),
 * else 0; 99 for words that are not understood and for calls without which a command has no value. */

#include "init.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void json_result(long result)
{
	int error = errno;
	json_open('{');
	json_pair("result", result);
	json_pair("errno", result < 0 ? error : 0);
	json_close('}');
}

long number(const char *text)
{
	char *end;
	errno = 0;
	long value = strtol(text, &end, 0);
	if (errno != 0 || end == text || *end != '\0') {
		fprintf(stderr, "init: not a number: %s\n", text);
		exit(99);
	}
	return value;
}

void fail(const char *what)
{
	fprintf(stderr, "init: %s: %s\n", what, strerror(errno));
	exit(99);
}

static const struct command *find(const char *name)
{
	const struct command *families[] = { identity_commands, file_commands, process_commands };
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		for (const struct command *command = families[i]; command->name; command++)
			if (strcmp(command->name, name) == 0)
				return command;
	return NULL;
}

int main(int argc, char **argv)
{
	for (int first = 1; first < argc;) {
		int count = 0;
		while (first + count < argc && strcmp(argv[first + count], ";") != 0)
			count++;
		char **words = argv + first;
		words[count] = NULL;
		const struct command *command = count > 0 ? find(words[0]) : NULL;
		if (!command || count - 1 < command->arguments) {
			fprintf(stderr, "init: no such command, or too few arguments: %s\n", count > 0 ? words[0] : "");
			return 99;
		}
		int status = command->run(count, words);
		fflush(stdout);
		if (status != NEXT)
			return status;
		first += count + 1;
	}
	return 0;
}
