/* SPDX-License-Identifier: Apache-2.0
 *
 * Embeds Python, isolated from its environment and without `site`. It searches no paths, reads no .pth files and collects
 * no garbage, and ocirt/archive.py imports the package out of one file. Without that file, or with one for another Python,
 * modules are imported as ever. Where the interpreter has no shared library, or it cannot be loaded, `python3 -I -S` is
 * executed instead. */
#include <Python.h>
#include <marshal.h>

#include "launcher.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Everything that is used of libpython, which is loaded at run time so that its absence is not fatal. */
#define SYMBOLS(S)                        \
	S(PyBytes_FromString)             \
	S(PyBytes_FromStringAndSize)      \
	S(PyCMethod_New)                  \
	S(PyConfig_Clear)                 \
	S(PyConfig_InitIsolatedConfig)    \
	S(PyConfig_SetBytesArgv)          \
	S(PyConfig_SetBytesString)        \
	S(PyDict_Clear)                   \
	S(PyDict_GetItemString)           \
	S(PyDict_New)                     \
	S(PyDict_SetItem)                 \
	S(PyErr_Print)                    \
	S(PyEval_EvalCode)                \
	S(PyGC_Disable)                   \
	S(PyImport_ImportModule)          \
	S(PyList_Append)                  \
	S(PyList_GetItem)                 \
	S(PyList_New)                     \
	S(PyList_Size)                    \
	S(PyMarshal_ReadObjectFromString) \
	S(PyMemoryView_FromMemory)        \
	S(PyObject_CallFunction)          \
	S(PyObject_CallNoArgs)            \
	S(PyObject_GetAttrString)         \
	S(PyPreConfig_InitIsolatedConfig) \
	S(PyStatus_Exception)             \
	S(PySys_GetObject)                \
	S(PyTuple_GetItem)                \
	S(PyUnicode_AsUTF8)               \
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

/* Whether the interpreter has codecs, standard streams, signals and a search path. */
static bool is_complete;

/* modules.archive: this, and then what csrc/build_archive.py says. Numbers in host byte order. */
struct archive {
	char magic[8];
	uint32_t python_version; /* as PY_VERSION_HEX, of the interpreter that compiled the modules */
	uint32_t index_size;
	char index[];
};
static const char ARCHIVE_MAGIC[8] = "ocirt\0\0\1";

bool load_libpython(const char *path)
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
	(void)self, (void)arguments;
	if (!is_complete) {
		is_complete = true; /* first: it imports modules, and whatever that asks us for it gives itself */
		check(python._Py_InitializeMain());
	}
	return python.Py_BuildValue("");
}

static bool append_words(PyObject *list, int argc, char **argv)
{
	for (int i = 0; i < argc; i++) {
		PyObject *word = python.PyUnicode_DecodeFSDefault(argv[i]);
		if (word == NULL || python.PyList_Append(list, word) < 0)
			return false;
	}
	return true;
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
	importer = python.PyTuple_GetItem(index, 0);
	if (!append_words(words, argc, argv) || importer == NULL ||
	    python.PyEval_EvalCode(importer, globals, globals) == NULL)
		return false;
	install = python.PyDict_GetItemString(globals, "install");
	return install != NULL &&
	       python.PyObject_CallFunction(install, "OOsssOO", index, view, installation->stdlib,
					    installation->dynload, installation->packages, words, complete) != NULL;
}

/* Begins an interpreter that imports from the archive, if there is one. False when that failed, which has been said. */
bool begin_python(const struct installation *installation, int argc, char **argv)
{
	size_t size = 0;
	const struct archive *archive = open_archive(installation, &size);

	is_complete = archive == NULL || python._Py_InitializeMain == NULL;
	initialize_python(installation, is_complete, argc, argv);
	python.PyGC_Disable(); /* this process ends before there is much to collect; saves 0.8 ms */
	if (archive == NULL || install_importers(archive, size, installation, argc, argv))
		return true;
	python.PyErr_Print();
	return false;
}

/* Calls ocirt.__main__.run(), which ends the process. Returns only when that failed, which has been said. */
void call_run(void)
{
	PyObject *module, *run;

	/* As in any Python: a hook that does not read its standard input is an EPIPE and not our end. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	module = python.PyImport_ImportModule("ocirt.__main__");
	run = module == NULL ? NULL : python.PyObject_GetAttrString(module, "run");
	if (run != NULL)
		python.PyObject_CallNoArgs(run);
	python.PyErr_Print();
}

static PyObject *environment_of_posix(void)
{
	PyObject *module = python.PyImport_ImportModule("posix");

	return module == NULL ? NULL : python.PyObject_GetAttrString(module, "environ");
}

/* Imports what the commands of a container's life import, and returns the files that it came from, or NULL: in a snapshot
 * everything must be as it is before the first import of ocirt, and what completes an interpreter reads the state of the
 * process, such as its streams and signals. */
const char **preload(size_t *ret_n_files)
{
	PyObject *module = python.PyImport_ImportModule("ocirt.preload");
	PyObject *files = module == NULL ? NULL : python.PyObject_GetAttrString(module, "FILES");
	PyObject *environ = environment_of_posix();
	const char **paths;

	if (files == NULL || environ == NULL || is_complete)
		return NULL;
	python.PyDict_Clear(environ);
	*ret_n_files = (size_t)python.PyList_Size(files);
	paths = calloc(*ret_n_files + 1, sizeof(*paths));
	for (size_t i = 0; paths != NULL && i < *ret_n_files; i++) {
		paths[i] = python.PyUnicode_AsUTF8(python.PyList_GetItem(files, (Py_ssize_t)i));
		if (paths[i] == NULL)
			return NULL;
	}
	return paths;
}

/* Runs the words and the environment of this process in the interpreter of one that has called preload(). */
void run_preloaded(int argc, char **argv, char **environment)
{
	PyObject *environ = environment_of_posix();
	PyObject *words = python.PySys_GetObject("argv");

	if (environ == NULL || words == NULL || !append_words(words, argc, argv)) {
		python.PyErr_Print();
		return;
	}
	for (; *environment != NULL; environment++) {
		const char *sign = strchr(*environment, '=');
		PyObject *name, *value;

		if (sign == NULL)
			continue;
		name = python.PyBytes_FromStringAndSize(*environment, sign - *environment);
		value = python.PyBytes_FromString(sign + 1);
		if (name == NULL || value == NULL || python.PyDict_SetItem(environ, name, value) < 0) {
			python.PyErr_Print();
			return;
		}
	}
	call_run();
}

__attribute__((noreturn)) void execute_interpreter(const struct installation *installation, int argc, char **argv)
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
