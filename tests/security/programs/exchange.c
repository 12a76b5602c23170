/* exchange A B: exchanges two names, again and again, until SIGTERM; then prints how often. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

static volatile sig_atomic_t is_over;

static void end(int signal_number)
{
	(void)signal_number;
	is_over = 1;
}

int main(int argc, char **argv)
{
	(void)argc;
	long count = 0;
	signal(SIGTERM, end);
	puts("ready");
	fflush(stdout);
	while (!is_over) {
		/* Short and uneven pauses: a victim finds each of the two in turn, and the change at every moment. */
		struct timespec pause = { 0, 1000 * (1 + count % 29) };
		if (renameat2(AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE) < 0) {
			perror("exchange");
			return 1;
		}
		count++;
		nanosleep(&pause, NULL);
	}
	printf("%ld\n", count);
	return 0;
}
