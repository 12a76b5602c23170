/* Commands that say who and where this process is. */

#define _GNU_SOURCE
#include "init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int id(int argc, char **argv)
{
	(void)argc, (void)argv;
	uid_t uids[3];
	gid_t gids[3], groups[1024];
	if (getresuid(&uids[0], &uids[1], &uids[2]) < 0 || getresgid(&gids[0], &gids[1], &gids[2]) < 0)
		fail("getresuid");
	int count = getgroups(1024, groups);
	json_open('{');
	json_pair("uid", uids[0]);
	json_pair("euid", uids[1]);
	json_pair("suid", uids[2]);
	json_pair("gid", gids[0]);
	json_pair("egid", gids[1]);
	json_pair("sgid", gids[2]);
	json_key("groups");
	json_open('[');
	for (int i = 0; i < count; i++)
		json_number(groups[i]);
	json_close(']');
	json_close('}');
	return NEXT;
}

/* The five sets as hexadecimal masks, as /proc/PID/status has them, but without /proc. */
static int caps(int argc, char **argv)
{
	(void)argc, (void)argv;
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	if (syscall(SYS_capget, &header, data) < 0)
		fail("capget");
	unsigned long long bounding = 0, ambient = 0;
	for (int capability = 0; capability < 64; capability++) {
		if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1)
			bounding |= 1ULL << capability;
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0) == 1)
			ambient |= 1ULL << capability;
	}
	json_open('{');
	json_key("effective");
	json_hex(data[0].effective | (unsigned long long)data[1].effective << 32);
	json_key("permitted");
	json_hex(data[0].permitted | (unsigned long long)data[1].permitted << 32);
	json_key("inheritable");
	json_hex(data[0].inheritable | (unsigned long long)data[1].inheritable << 32);
	json_key("bounding");
	json_hex(bounding);
	json_key("ambient");
	json_hex(ambient);
	json_pair("securebits", prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
	json_pair("noNewPrivileges", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	json_pair("seccomp", prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
	json_close('}');
	return NEXT;
}

static int rlimits(int argc, char **argv)
{
	(void)argc, (void)argv;
	static const char *const names[] = { "CPU",      "FSIZE",  "DATA",    "STACK", "CORE",  "RSS",
					     "NPROC",    "NOFILE", "MEMLOCK", "AS",    "LOCKS", "SIGPENDING",
					     "MSGQUEUE", "NICE",   "RTPRIO",  "RTTIME" };
	json_open('{');
	for (int i = 0; i < (int)(sizeof(names) / sizeof(names[0])); i++) {
		struct rlimit limit;
		char name[32];
		if (getrlimit(i, &limit) < 0)
			fail("getrlimit");
		snprintf(name, sizeof(name), "RLIMIT_%s", names[i]);
		json_key(name);
		json_open('[');
		json_unsigned(limit.rlim_cur);
		json_unsigned(limit.rlim_max);
		json_close(']');
	}
	json_close('}');
	return NEXT;
}

static int show_umask(int argc, char **argv)
{
	(void)argc, (void)argv;
	mode_t mask = umask(0);
	umask(mask);
	json_number(mask);
	return NEXT;
}

static int cwd(int argc, char **argv)
{
	(void)argc, (void)argv;
	char path[8192];
	json_string(syscall(SYS_getcwd, path, sizeof(path)) < 0 ? strerror(errno) : path);
	return NEXT;
}

static int env(int argc, char **argv)
{
	(void)argc, (void)argv;
	json_open('[');
	for (char **entry = environ; *entry; entry++)
		json_string(*entry);
	json_close(']');
	return NEXT;
}

static int args(int argc, char **argv)
{
	json_open('[');
	for (int i = 1; i < argc; i++)
		json_string(argv[i]);
	json_close(']');
	return NEXT;
}

static int uts(int argc, char **argv)
{
	(void)argc, (void)argv;
	struct utsname names;
	uname(&names);
	json_open('{');
	json_text("hostname", names.nodename);
	json_text("domainname", names.domainname);
	json_text("machine", names.machine);
	json_close('}');
	return NEXT;
}

/* Open descriptors: number -> what /proc says of it (or "?" without /proc). */
static int fds(int argc, char **argv)
{
	(void)argc, (void)argv;
	json_open('{');
	for (int fd = 0; fd < 4096; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			continue;
		char link[64], target[4096], key[16];
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		snprintf(key, sizeof(key), "%d", fd);
		ssize_t size = readlink(link, target, sizeof(target));
		json_key(key);
		json_bytes(size < 0 ? "?" : target, size < 0 ? 1 : (size_t)size);
	}
	json_close('}');
	return NEXT;
}

static int pids(int argc, char **argv)
{
	(void)argc, (void)argv;
	json_open('{');
	json_pair("pid", getpid());
	json_pair("ppid", getppid());
	json_pair("pgid", getpgid(0));
	json_pair("sid", getsid(0));
	json_close('}');
	return NEXT;
}

/* The links in /proc/self/ns. */
static int namespaces(int argc, char **argv)
{
	(void)argc, (void)argv;
	DIR *directory = opendir("/proc/self/ns");
	if (!directory)
		fail("/proc/self/ns");
	json_open('{');
	struct dirent *entry;
	while ((entry = readdir(directory))) {
		char target[256];
		ssize_t size = readlinkat(dirfd(directory), entry->d_name, target, sizeof(target));
		if (size < 0)
			continue;
		json_key(entry->d_name);
		json_bytes(target, (size_t)size);
	}
	json_close('}');
	closedir(directory);
	return NEXT;
}

/* Network interfaces -> whether each is up. */
static int interfaces(int argc, char **argv)
{
	(void)argc, (void)argv;
	struct if_nameindex *names = if_nameindex();
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (!names || fd < 0)
		fail("if_nameindex");
	json_open('{');
	for (struct if_nameindex *name = names; name->if_index; name++) {
		struct ifreq request = { 0 };
		strncpy(request.ifr_name, name->if_name, IFNAMSIZ - 1);
		if (ioctl(fd, SIOCGIFFLAGS, &request) < 0)
			request.ifr_flags = 0;
		json_pair(name->if_name, (request.ifr_flags & IFF_UP) != 0);
	}
	json_close('}');
	close(fd);
	return NEXT;
}

static int scheduling(int argc, char **argv)
{
	(void)argc, (void)argv;
	cpu_set_t cpus;
	CPU_ZERO(&cpus);
	sched_getaffinity(0, sizeof(cpus), &cpus);
	struct timespec boot;
	clock_gettime(CLOCK_BOOTTIME, &boot);
	json_open('{');
	json_pair("ioPriority", syscall(SYS_ioprio_get, 1, 0)); /* IOPRIO_WHO_PROCESS */
	json_pair("personality", personality(0xffffffff));
	json_pair("policy", sched_getscheduler(0));
	json_pair("nice", getpriority(PRIO_PROCESS, 0));
	json_pair("cpus", CPU_COUNT(&cpus));
	json_pair("boottime", boot.tv_sec);
	json_close('}');
	return NEXT;
}

/* The description of the session keyring: "keyring;UID;GID;PERM;NAME". */
static int keyring(int argc, char **argv)
{
	(void)argc, (void)argv;
	char text[1024];
	long size = syscall(SYS_keyctl, 6 /* KEYCTL_DESCRIBE */, -3 /* KEY_SPEC_SESSION_KEYRING */, text, sizeof(text));
	if (size < 0)
		json_result(size);
	else
		json_string(text);
	return NEXT;
}

static int tty(int argc, char **argv)
{
	(void)argc, (void)argv;
	struct winsize size = { 0 };
	struct termios settings = { 0 };
	struct stat console = { 0 };
	json_open('{');
	for (int fd = 0; fd < 3; fd++) {
		char key[2] = { (char)('0' + fd), '\0' }, name[128];
		json_text(key, isatty(fd) && ttyname_r(fd, name, sizeof(name)) == 0 ? name
			       : isatty(fd)                                         ? "unnamed"
										    : "");
	}
	ioctl(0, TIOCGWINSZ, &size);
	json_pair("rows", size.ws_row);
	json_pair("columns", size.ws_col);
	json_pair("onlcr", tcgetattr(0, &settings) == 0 && (settings.c_oflag & ONLCR) != 0);
	json_pair("session", tcgetsid(0));
	json_pair("consoleMajor", stat("/dev/console", &console) == 0 ? (long long)(console.st_rdev >> 8 & 0xfff) : -1);
	json_close('}');
	return NEXT;
}

const struct command identity_commands[] = {
	{ "id", 0, id },
	{ "caps", 0, caps },
	{ "rlimits", 0, rlimits },
	{ "umask", 0, show_umask },
	{ "cwd", 0, cwd },
	{ "env", 0, env },
	{ "args", 0, args },
	{ "uts", 0, uts },
	{ "fds", 0, fds },
	{ "pids", 0, pids },
	{ "namespaces", 0, namespaces },
	{ "interfaces", 0, interfaces },
	{ "scheduling", 0, scheduling },
	{ "keyring", 0, keyring },
	{ "tty", 0, tty },
	{ NULL, 0, NULL },
};
