/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of ocirt-python share. */
#ifndef OCIRT_LAUNCHER_H
#define OCIRT_LAUNCHER_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct installation {
	char prefix[PATH_MAX];      /* of the environment that this command is installed in */
	char base_prefix[PATH_MAX]; /* of the interpreter */
	char stdlib[PATH_MAX];
	char dynload[PATH_MAX];
	char libpython[PATH_MAX];
	char executable[PATH_MAX];
	char packages[4 * PATH_MAX]; /* directories to import from after the standard library, separated by colons */
};

/* installation.c */
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);
__attribute__((format(printf, 3, 4))) void print_path(char *ret_path, size_t size, const char *format, ...);
void find_installation(const char *program, struct installation *ret_installation);

/* interpreter.c */
bool load_libpython(const char *path);
bool begin_python(const struct installation *installation, int argc, char **argv);
const char **preload(size_t *ret_n_files);
void run_preloaded(int argc, char **argv, char **environment);
void call_run(void);
__attribute__((noreturn)) void execute_interpreter(const struct installation *installation, int argc, char **argv);

/* snapshot_make.c */
void make_snapshot(const char *program);
int write_own_snapshot(const struct installation *installation);

#endif
