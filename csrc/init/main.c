/* SPDX-License-Identifier: Apache-2.0
 *
 * ocirt-init: receives a plan and executes it, op by op, until the last op becomes the user's program.
 *
 *     ocirt-init CHANNEL        CHANNEL is the number of an open SOCK_SEQPACKET socket
 *
 * It knows neither JSON nor Python, reads no environment and no file but those that the plan names.
 */
#include "init.h"

/* Everything but stdio, the program's own descriptors and the channel is foreign here, even where the runtime's caller has
 * forgotten O_CLOEXEC (CVE-2024-21626). */
static int close_foreign_fds(struct init *init, uint32_t preserve_fds)
{
	uint32_t first = 3 + preserve_fds;
	uint32_t channel = (uint32_t)init->channel;
	int ret;

	if (preserve_fds > channel - 3)
		return -EBADF;
	if (channel > first) {
		ret = (int)sys_close_range(first, channel - 1, 0);
		if (ret < 0)
			return ret;
	}
	return (int)sys_close_range(channel + 1, ~0U, 0);
}

static int in_bounds(const struct ocirt_plan *plan, uint32_t offset, uint32_t size, int text)
{
	const char *data = (const char *)(plan + 1) + plan->op_count * sizeof(struct ocirt_op);
	uint64_t end = (uint64_t)offset + size + (text ? 1 : 0);

	return end <= plan->data_size && (!text || data[end - 1] == '\0');
}

/* Maps the plan and checks every bound of it before the first op runs. */
static int map_plan(struct init *init, int plan_fd)
{
	struct stat st;
	long address;
	uint64_t size;
	const struct ocirt_plan *plan;
	int ret = (int)sys_fstat(plan_fd, &st);

	if (ret < 0)
		return ret;
	if (st.st_size < (long)sizeof *plan)
		return -EBADMSG;
	address = SYS(__NR_mmap, 0, st.st_size, 1 /* PROT_READ */, 2 /* MAP_PRIVATE */, plan_fd, 0);
	if (address < 0 && address > -4096)
		return (int)address;
	plan = (const struct ocirt_plan *)address;
	if (plan->magic != OCIRT_MAGIC || plan->version != OCIRT_VERSION)
		return -EBADMSG;
	/* Subtracted, not added: a sum that wraps around would pass (CVE-2021-43784). */
	size = (uint64_t)st.st_size - sizeof *plan;
	if (plan->op_count > size / sizeof(struct ocirt_op) ||
	    plan->data_size != size - plan->op_count * sizeof(struct ocirt_op))
		return -EBADMSG;
	init->plan = plan;
	init->ops = (const struct ocirt_op *)(plan + 1);
	init->data = (const char *)(init->ops + plan->op_count);
	for (uint32_t i = 0; i < plan->op_count; i++) {
		const struct ocirt_op *op = &init->ops[i];
		if (op->code == 0 || op->code >= OCIRT_OP_END || !in_bounds(plan, op->path, op->path_size, 1) ||
		    !in_bounds(plan, op->text, op->text_size, 1) || !in_bounds(plan, op->data, op->data_size, 0))
			return -EBADMSG;
	}
	return 0;
}

static int map_clock(struct init *init)
{
	cleanup_close int fd = -1;
	uint64_t size = init->plan->op_count * 3ULL * sizeof(uint64_t);
	struct stat st;
	long address;
	int ret;

	ret = channel_slot(init, 0, &fd);
	if (ret < 0)
		return ret;
	ret = (int)sys_fstat(fd, &st);
	if (ret < 0)
		return ret;
	/* A store beyond the end would be a SIGBUS. */
	if ((uint64_t)st.st_size < size)
		return -EBADMSG;
	address = SYS(__NR_mmap, 0, size, 3 /* PROT_READ | PROT_WRITE */, 1 /* MAP_SHARED */, fd, 0);
	if (address < 0 && address > -4096)
		return (int)address;
	init->clock = (uint64_t *)address;
	return 0;
}

static int start(struct init *init)
{
	cleanup_close int plan_fd = -1;
	int ret = channel_receive_plan(init, &plan_fd);

	if (ret < 0)
		return ret;
	ret = map_plan(init, plan_fd);
	if (ret < 0)
		return ret;
	(void)sys_close(take_fd(&plan_fd));
	ret = close_foreign_fds(init, init->plan->preserve_fds);
	if (ret < 0)
		return ret;
	ret = map_clock(init);
	if (ret < 0)
		return ret;
	ret = proc_open(init);
	return ret < 0 ? ret : protect_null();
}

static int parse_number(const char *text)
{
	int number = 0;

	if (!*text)
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || number > 1 << 24)
			return -1;
		number = number * 10 + (*text - '0');
	}
	return number;
}

__attribute__((noreturn, used)) void init_main(const long *stack)
{
	static struct init init; /* in .bss: larger than a stack frame should be */
	long argc = stack[0];
	char *const *argv = (char *const *)(stack + 1);
	int ret;

	init.proc_fd = init.null_fd = init.mask_fd = init.root_fd = -1;
	init.euid = (uint32_t)SYS(__NR_geteuid);
	init.channel = argc == 2 ? parse_number(argv[1]) : -1;
	if (init.channel < 3) {
		static const char usage[] = "ocirt-init is started by ocirt, with the number of its channel\n";
		(void)sys_write(2, usage, sizeof usage - 1);
		sys_exit(2);
	}
	ret = start(&init);
	if (ret < 0) {
		(void)channel_report(&init, OCIRT_REPORT_ERROR, -ret, OCIRT_DETAIL_NONE);
		sys_exit(1);
	}
	run_plan(&init, 0);
}

PROGRAM_ENTRY("init_main")
