/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds the installation of this command. Nothing here depends on the environment, on the working directory or on argv[0]:
 * it is found from where the command lies. setup.py records the facts of the building interpreter as RECORDED_* macros:
 *
 *     RECORDED_PREFIX       sys.base_prefix
 *     RECORDED_STDLIB       the directory of the standard library
 *     RECORDED_DYNLOAD      the directory of its extension modules
 *     RECORDED_LIBPYTHON    the shared library
 *     RECORDED_EXECUTABLE   the interpreter itself
 *     RECORDED_SITES        its own package directories, separated by colons
 *     RECORDED_SOURCE       the source tree for an editable installation, otherwise ""
 */
#include "../command/layouts.h"
#include "launcher.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIBPYTHON_X_Y "lib" PYTHON_X_Y ".so.1.0"

void die(const char *format, ...)
{
	va_list arguments;

	fputs("ocirt: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(EXIT_FAILURE);
}

void print_path(char *ret_path, size_t size, const char *format, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(ret_path, size, format, arguments);
	va_end(arguments);
	if (length < 0 || (size_t)length >= size)
		die("the path of the installation is too long");
}

/* Cuts the last component off *path*. */
static void cut_last_component(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash != NULL)
		*(slash == path ? slash + 1 : slash) = '\0';
}

/* The value of *key* in *line* ("key = value", see the `venv` module of Python), without the line feed, or NULL. */
static char *value_of(char *line, const char *key)
{
	size_t length = strlen(key);

	if (strncmp(line, key, length) != 0)
		return NULL;
	line += length;
	line += strspn(line, " \t");
	if (*line != '=')
		return NULL;
	line++;
	line += strspn(line, " \t");
	line[strcspn(line, "\r\n")] = '\0';
	return line;
}

/* Reads pyvenv.cfg: *ret_home* becomes the directory of the interpreter that the virtual environment was made from, and
 * "" where this is not a virtual environment. True if packages of that interpreter shall be seen as well. */
static bool read_pyvenv_cfg(const char *prefix, char ret_home[PATH_MAX])
{
	char path[PATH_MAX], line[PATH_MAX + 64];
	bool sees_system_sites = false;
	FILE *file;

	ret_home[0] = '\0';
	print_path(path, sizeof(path), "%s/pyvenv.cfg", prefix);
	file = fopen(path, "re");
	if (file == NULL)
		return true;
	while (fgets(line, sizeof(line), file) != NULL) {
		char *home = value_of(line, "home");
		char *system_sites = value_of(line, "include-system-site-packages");

		if (home != NULL)
			print_path(ret_home, PATH_MAX, "%s", home);
		if (system_sites != NULL)
			sees_system_sites = strcmp(system_sites, "true") == 0;
	}
	fclose(file);
	return sees_system_sites;
}

static bool holds_ocirt(const char *directory)
{
	char path[PATH_MAX];

	print_path(path, sizeof(path), "%s/ocirt/__main__.py", directory);
	return access(path, R_OK) == 0;
}

static void append_packages(struct installation *installation, const char *directory)
{
	size_t length = strlen(installation->packages);

	print_path(installation->packages + length, sizeof(installation->packages) - length, "%s%s",
		   length > 0 && directory[0] != '\0' ? ":" : "", directory);
}

/* The directories of the installation's packages. ocirt itself lies beside its command, or else in the source tree. */
static void find_packages(struct installation *installation, bool sees_system_sites)
{
	char path[PATH_MAX], site[PATH_MAX] = "";
	bool found = false;

	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]) && !found; i++) {
		print_path(path, sizeof(path), "%s/%s", installation->prefix, layouts[i]);
		found = holds_ocirt(path);
		if (found || (site[0] == '\0' && access(path, X_OK) == 0))
			memcpy(site, path, sizeof(site));
	}
	if (!found && !(RECORDED_SOURCE[0] != '\0' && holds_ocirt(RECORDED_SOURCE)))
		die("the Python package ocirt is not installed beside this command (in %s/lib/" PYTHON_X_Y
		    "/site-packages)",
		    installation->prefix);
	append_packages(installation, found ? "" : RECORDED_SOURCE);
	append_packages(installation, site);
	append_packages(installation, sees_system_sites ? RECORDED_SITES : "");
}

/* Of the command at the path *program*. */
void find_installation(const char *program, struct installation *ret_installation)
{
	struct installation *found = ret_installation;
	char home[PATH_MAX];

	print_path(found->prefix, PATH_MAX, "%s", program);
	cut_last_component(found->prefix);
	cut_last_component(found->prefix);
	find_packages(found, read_pyvenv_cfg(found->prefix, home));

	memcpy(found->base_prefix, home, sizeof(home));
	cut_last_component(found->base_prefix);
	if (home[0] == '\0' || strcmp(found->base_prefix, RECORDED_PREFIX) == 0) {
		print_path(found->base_prefix, PATH_MAX, "%s", RECORDED_PREFIX);
		print_path(found->stdlib, PATH_MAX, "%s", RECORDED_STDLIB);
		print_path(found->dynload, PATH_MAX, "%s", RECORDED_DYNLOAD);
		print_path(found->libpython, PATH_MAX, "%s", RECORDED_LIBPYTHON);
		print_path(found->executable, PATH_MAX, "%s", RECORDED_EXECUTABLE);
		return;
	}
	/* A wheel from elsewhere: the interpreter of the virtual environment is not the one that it was built with. */
	print_path(found->stdlib, PATH_MAX, "%s/lib/" PYTHON_X_Y, found->base_prefix);
	print_path(found->dynload, PATH_MAX, "%s/lib/" PYTHON_X_Y "/lib-dynload", found->base_prefix);
	print_path(found->libpython, PATH_MAX, "%s/lib/" LIBPYTHON_X_Y, found->base_prefix);
	print_path(found->executable, PATH_MAX, "%s/" PYTHON_X_Y, home);
}
