/* SPDX-License-Identifier: Apache-2.0
 *
 * The `ocirt` command: embeds Python and calls ocirt.__main__.run().
 *
 * Engines start this program for every step of a container's life, so its start-up is most of what `ocirt state` costs.
 * Usually it starts no Python, but continues in a snapshot of a process that has (warm_start.c). */
#include "launcher.h"
#include "snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

int main(int argc, char **argv, char **environment)
{
	static struct installation installation;

	open_missing_standard_streams();
	if (makes_snapshot(argc, argv)) {
		snapshot_prepare();
		find_installation(&installation);
		return write_own_snapshot(&installation);
	}
	continue_in_snapshot(argc, argv, environment);
	find_installation(&installation);
	if (!load_libpython(installation.libpython))
		execute_interpreter(&installation, argc, argv);
	if (begin_python(&installation, argc, argv))
		call_run();
	return EXIT_FAILURE;
}
