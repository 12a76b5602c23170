/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the snapshot of a command is, for the command itself and for the program that writes it. Without a libc.
 *
 * RECORDED_SNAPSHOTS is the directory, which belongs to root. Other users have one of that name in their /run/user/UID. */
#ifndef OCIRT_PLACE_H
#define OCIRT_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PLACE_SIZE = 4096, PLACE_NAME_SIZE = 256 };

#define UNFINISHED ".new" /* behind the name of a snapshot that is being written */

struct place {
	char directory[PLACE_SIZE];
	char snapshot[2 * PLACE_SIZE];
};

static inline char *place_append(char *to, const char *text)
{
	while (*text != '\0')
		*to++ = *text++;
	*to = '\0';
	return to;
}

static inline char *place_append_number(char *to, uint32_t number)
{
	char digits[11], *at = digits + sizeof(digits) - 1;

	*at = '\0';
	do
		*--at = (char)('0' + number % 10);
	while ((number /= 10) != 0);
	return place_append(to, at);
}

/* The place for *user* of the command at the path *program*, whose slashes become '!'. False where there can be none. */
static inline bool find_place(const char *program, uint32_t user, struct place *ret_place)
{
	static const char recorded[] = RECORDED_SNAPSHOTS;
	const char *name = recorded;
	char *at = ret_place->directory;
	size_t length = 0;

	while (program[length] != '\0')
		length++;
	if (recorded[0] == '\0' || length + sizeof(UNFINISHED) > PLACE_NAME_SIZE)
		return false;
	if (user == 0) {
		at = place_append(at, recorded);
	} else {
		for (const char *c = recorded; *c != '\0'; c++)
			if (*c == '/')
				name = c + 1;
		at = place_append(at, "/run/user/");
		at = place_append_number(at, user);
		at = place_append(at, "/");
		at = place_append(at, name);
	}
	at = place_append(ret_place->snapshot, ret_place->directory);
	*at++ = '/';
	for (; *program != '\0'; program++)
		*at++ = *program == '/' ? '!' : *program;
	*at = '\0';
	return true;
}

#endif
