/* SPDX-License-Identifier: Apache-2.0
 *
 * The `ocirt` command: embeds Python, isolated from its environment and without `site`, and calls ocirt.__main__.run().
 *
 * Engines start this program for every step of a container's life, so its start-up is most of what `ocirt state` costs.
 * The embedded interpreter searches no paths, reads no .pth files and collects no garbage, and ocirt/archive.py imports the
 * package out of one file. Without that file, or with one for another Python, modules are imported as ever. Where the
 * interpreter has no shared library, or it cannot be loaded, `python3 -I -S` is executed instead.
 *
 * Nothing here depends on the environment, on the working directory or on argv[0]: the installation is found from
 * /proc/self/exe. setup.py records the facts of the building interpreter as RECORDED_* macros:
 *
 *     RECORDED_PREFIX       sys.base_prefix
 *     RECORDED_STDLIB       the directory of the standard library
 *     RECORDED_DYNLOAD      the directory of its extension modules
 *     RECORDED_LIBPYTHON    the shared library
 *     RECORDED_EXECUTABLE   the interpreter itself
 *     RECORDED_SITES        its own package directories, separated by colons
 *     RECORDED_SOURCE       the source tree for an editable installation, otherwise ""
 */
#include <Python.h>
#include <marshal.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_OF(token) #token
#define TEXT(macro) TEXT_OF(macro)
#define PYTHON_X_Y "python" TEXT(PY_MAJOR_VERSION) "." TEXT(PY_MINOR_VERSION)
#define LIBPYTHON_X_Y "lib" PYTHON_X_Y ".so.1.0"

/* Everything that is used of libpython, which is loaded at run time so that its absence is not fatal. */
#define SYMBOLS(S)                        \
	S(PyCMethod_New)                  \
	S(PyConfig_Clear)                 \
	S(PyConfig_InitIsolatedConfig)    \
	S(PyConfig_SetBytesArgv)          \
	S(PyConfig_SetBytesString)        \
	S(PyDict_GetItemString)           \
	S(PyDict_New)                     \
	S(PyErr_Print)                    \
	S(PyEval_EvalCode)                \
	S(PyGC_Disable)                   \
	S(PyImport_ImportModule)          \
	S(PyList_Append)                  \
	S(PyList_New)                     \
	S(PyMarshal_ReadObjectFromString) \
	S(PyMemoryView_FromMemory)        \
	S(PyObject_CallFunction)          \
	S(PyObject_CallNoArgs)            \
	S(PyObject_GetAttrString)         \
	S(PyPreConfig_InitIsolatedConfig) \
	S(PyStatus_Exception)             \
	S(PyTuple_GetItem)                \
	S(PyUnicode_DecodeFSDefault)      \
	S(PyWideStringList_Append)        \
	S(Py_BuildValue)                  \
	S(Py_DecodeLocale)                \
	S(Py_InitializeFromConfig)        \
	S(Py_PreInitialize)               \
	S(Py_Version)

#define DECLARE(name) __typeof__(&name) name;
static struct {
	SYMBOLS(DECLARE)
	/* Not a part of the stable interface: where it is NULL the interpreter is initialized in one go. */
	PyStatus (*_Py_InitializeMain)(void);
} python;

/* modules.archive: this, and then what csrc/build_archive.py says. Numbers in host byte order. */
struct archive {
	char magic[8];
	uint32_t python_version; /* as PY_VERSION_HEX, of the interpreter that compiled the modules */
	uint32_t index_size;
	char index[];
};
static const char ARCHIVE_MAGIC[8] = "ocirt\0\0\1";

struct installation {
	char prefix[PATH_MAX];      /* of the environment that this command is installed in */
	char base_prefix[PATH_MAX]; /* of the interpreter */
	char stdlib[PATH_MAX];
	char dynload[PATH_MAX];
	char libpython[PATH_MAX];
	char executable[PATH_MAX];
	char packages[4 * PATH_MAX]; /* directories to import from after the standard library, separated by colons */
};

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
	va_list arguments;

	fputs("ocirt: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(EXIT_FAILURE);
}

__attribute__((format(printf, 3, 4))) static void print_path(char *ret_path, size_t size, const char *format, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(ret_path, size, format, arguments);
	va_end(arguments);
	if (length < 0 || (size_t)length >= size)
		die("the path of the installation is too long");
}

/* Without this, the first files that are opened would become the container's standard streams. */
static void open_missing_standard_streams(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (fd < 0)
			die("cannot open /dev/null: %s", strerror(errno));
		if (fd <= STDERR_FILENO && fcntl(fd, F_SETFD, 0) < 0)
			die("cannot keep /dev/null open: %s", strerror(errno));
	} while (fd <= STDERR_FILENO);
	close(fd);
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
	static const char *const layouts[] = { "lib/" PYTHON_X_Y "/site-packages", "lib64/" PYTHON_X_Y "/site-packages",
					       "lib/" PYTHON_X_Y "/dist-packages" };
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

static void find_installation(struct installation *ret_installation)
{
	struct installation *found = ret_installation;
	char home[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", found->prefix, PATH_MAX - 1);

	if (length < 0)
		die("cannot read /proc/self/exe: %s", strerror(errno));
	found->prefix[length] = '\0';
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

static bool load_libpython(const char *path)
{
	/* Global, because extension modules look up the interpreter's symbols without naming its library. */
	void *library = path[0] == '\0' ? NULL : dlopen(path, RTLD_LAZY | RTLD_GLOBAL);

	if (library == NULL)
		return false;
#define LOOK_UP(name)                                   \
	*(void **)&python.name = dlsym(library, #name); \
	if (python.name == NULL)                        \
		return false;
	SYMBOLS(LOOK_UP)
#if PY_VERSION_HEX < 0x030d0000 /* from then on, text that cannot be decoded is a fault before the rest is there */
	*(void **)&python._Py_InitializeMain = dlsym(library, "_Py_InitializeMain");
#endif
	return true;
}

static void check(PyStatus status)
{
	if (python.PyStatus_Exception(status))
		die("cannot start Python: %s", status.err_msg != NULL ? status.err_msg : "no reason given");
}

static void append_search_path(PyConfig *config, const char *path)
{
	wchar_t *wide = python.Py_DecodeLocale(path, NULL);

	if (wide == NULL)
		die("out of memory");
	check(python.PyWideStringList_Append(&config->module_search_paths, wide));
}

static void append_search_paths(PyConfig *config, const struct installation *installation)
{
	char packages[sizeof(installation->packages)], *rest = NULL;

	/* The standard library comes first, so that no package can stand in for one of its modules. */
	append_search_path(config, installation->stdlib);
	append_search_path(config, installation->dynload);
	memcpy(packages, installation->packages, sizeof(packages));
	for (char *path = strtok_r(packages, ":", &rest); path != NULL; path = strtok_r(NULL, ":", &rest))
		append_search_path(config, path);
	config->module_search_paths_set = 1;
}

/* Whether this interpreter runs bytecode that *version* has compiled: that is one for all final releases of a minor one. */
static bool runs_code_of(unsigned long version)
{
	unsigned long own = *python.Py_Version;
	bool final = (version >> 4 & 0xf) == PY_RELEASE_LEVEL_FINAL && (own >> 4 & 0xf) == PY_RELEASE_LEVEL_FINAL;

	return own == version || (final && own >> 16 == version >> 16);
}

/* The archive beside the package, or NULL when there is none for this interpreter. */
static const struct archive *open_archive(const struct installation *installation, size_t *ret_size)
{
	const struct archive *archive;
	char path[PATH_MAX];
	struct stat st;
	int fd;

	print_path(path, sizeof(path), "%.*s/ocirt/modules.archive", (int)strcspn(installation->packages, ":"),
		   installation->packages);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) < 0 || (size_t)st.st_size < sizeof(*archive)) {
		close(fd);
		return NULL;
	}
	*ret_size = (size_t)st.st_size;
	archive = mmap(NULL, *ret_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (archive == MAP_FAILED)
		return NULL;
	if (memcmp(archive->magic, ARCHIVE_MAGIC, sizeof(ARCHIVE_MAGIC)) != 0 ||
	    archive->index_size > *ret_size - sizeof(*archive) || !runs_code_of(archive->python_version)) {
		munmap((void *)archive, *ret_size);
		return NULL;
	}
	return archive;
}

static void initialize_python(const struct installation *installation, bool completely, int argc, char **argv)
{
	PyPreConfig preconfig;
	PyConfig config;

	python.PyPreConfig_InitIsolatedConfig(&preconfig);
	preconfig.utf8_mode = 1; /* whatever the locale says: paths and JSON are UTF-8 */
	check(python.Py_PreInitialize(&preconfig));

	python.PyConfig_InitIsolatedConfig(&config);
	config.site_import = 0;
	config.install_signal_handlers = 0;
	config.pathconfig_warnings = 0;
	config.parse_argv = 0;
	config._init_main = completely;
	check(python.PyConfig_SetBytesArgv(&config, argc, argv));
	check(python.PyConfig_SetBytesString(&config, &config.executable, installation->executable));
	check(python.PyConfig_SetBytesString(&config, &config.base_executable, installation->executable));
	check(python.PyConfig_SetBytesString(&config, &config.prefix, installation->prefix));
	check(python.PyConfig_SetBytesString(&config, &config.base_prefix, installation->base_prefix));
	check(python.PyConfig_SetBytesString(&config, &config.exec_prefix, installation->prefix));
	check(python.PyConfig_SetBytesString(&config, &config.base_exec_prefix, installation->base_prefix));
	check(python.PyConfig_SetBytesString(&config, &config.stdlib_dir, installation->stdlib));
	append_search_paths(&config, installation);
	check(python.Py_InitializeFromConfig(&config));
	python.PyConfig_Clear(&config);
}

/* Does what initialize_python() has left out when it was not to do it completely. */
static PyObject *complete_python(PyObject *self, PyObject *arguments)
{
	static bool done;

	(void)self, (void)arguments;
	if (!done) {
		done = true; /* first: it imports modules, and whatever that asks us for it gives itself */
		check(python._Py_InitializeMain());
	}
	return python.Py_BuildValue("");
}

/* Imports from *archive* from now on, by the first thing in its index: ocirt/archive.py. False when that failed. */
static bool install_importers(const struct archive *archive, size_t size, const struct installation *installation,
			      int argc, char **argv)
{
	static PyMethodDef completion = { "complete", complete_python, METH_NOARGS, NULL };
	char *code = (char *)archive->index + archive->index_size;
	PyObject *index = python.PyMarshal_ReadObjectFromString(archive->index, archive->index_size);
	PyObject *view = python.PyMemoryView_FromMemory(code, (char *)archive + size - code, PyBUF_READ);
	PyObject *complete = python.PyCMethod_New(&completion, NULL, NULL, NULL);
	PyObject *globals = python.PyDict_New(), *words = python.PyList_New(0);
	PyObject *importer, *install;

	if (index == NULL || view == NULL || complete == NULL || globals == NULL || words == NULL)
		return false;
	for (int i = 0; i < argc; i++) {
		PyObject *word = python.PyUnicode_DecodeFSDefault(argv[i]);
		if (word == NULL || python.PyList_Append(words, word) < 0)
			return false;
	}
	importer = python.PyTuple_GetItem(index, 0);
	if (importer == NULL || python.PyEval_EvalCode(importer, globals, globals) == NULL)
		return false;
	install = python.PyDict_GetItemString(globals, "install");
	return install != NULL &&
	       python.PyObject_CallFunction(install, "OOsssOO", index, view, installation->stdlib,
					    installation->dynload, installation->packages, words, complete) != NULL;
}

/* Calls ocirt.__main__.run(), which ends the process. Returns only when that failed. */
static void call_run(void)
{
	PyObject *module = python.PyImport_ImportModule("ocirt.__main__");
	PyObject *run = module == NULL ? NULL : python.PyObject_GetAttrString(module, "run");

	if (run != NULL)
		python.PyObject_CallNoArgs(run);
}

static void execute_interpreter(const struct installation *installation, int argc, char **argv)
{
	static char code[] = "import gc, sys; gc.disable(); sys.path += sys.argv[1].split(':'); del sys.argv[:2]; "
			     "from ocirt.__main__ import run; run()";
	char **arguments = calloc((size_t)argc + 9, sizeof(char *));
	int n = 0;

	if (arguments == NULL)
		die("out of memory");
	arguments[n++] = (char *)installation->executable;
	arguments[n++] = "-I";
	arguments[n++] = "-S";
	arguments[n++] = "-Xutf8";
	arguments[n++] = "-c";
	arguments[n++] = code;
	arguments[n++] = (char *)installation->packages;
	memcpy(arguments + n, argv, (size_t)argc * sizeof(char *));
	execv(installation->executable, arguments);
	die("cannot execute %s: %s", installation->executable, strerror(errno));
}

int main(int argc, char **argv)
{
	static struct installation installation;
	const struct archive *archive;
	size_t archive_size = 0;

	open_missing_standard_streams();
	find_installation(&installation);
	if (!load_libpython(installation.libpython))
		execute_interpreter(&installation, argc, argv);
	/* As in any Python: a hook that does not read its standard input is an EPIPE and not our end. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	archive = open_archive(&installation, &archive_size);
	initialize_python(&installation, archive == NULL || python._Py_InitializeMain == NULL, argc, argv);
	python.PyGC_Disable(); /* this process ends before there is much to collect; saves 0.8 ms */
	if (archive == NULL || install_importers(archive, archive_size, &installation, argc, argv))
		call_run();
	python.PyErr_Print();
	return EXIT_FAILURE;
}
