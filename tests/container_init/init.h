/* The first process of the containers of the tests: see main.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* -- json.c: one value per line on standard output ------------------------------------------------------------ */

void json_open(char bracket);   /* '{' or '[' */
void json_close(char bracket);  /* '}' or ']', and a line feed behind the outermost one */
void json_key(const char *key); /* inside of an object, before each value */
void json_string(const char *text);
void json_bytes(const char *data, size_t size); /* bytes above 0x7e become \u0080 to \u00ff (latin-1) */
void json_number(long long value);
void json_unsigned(unsigned long long value);
void json_hex(unsigned long long value); /* a string of hexadecimal digits */
void json_pair(const char *key, long long value);
void json_text(const char *key, const char *text);
void json_result(long result); /* {"result":R,"errno":0}, or {"result":-1,"errno":E} from errno */

/* -- commands: argv[0] is the command's name, argv[argc] is NULL; the value is the exit status, or NEXT ---------- */

#define NEXT (-1)

typedef int command_function(int argc, char **argv);

struct command {
	const char *name;
	int arguments; /* how many it takes at least */
	command_function *run;
};

extern const struct command identity_commands[], file_commands[], process_commands[];

long number(const char *text);
_Noreturn void fail(const char *what);
