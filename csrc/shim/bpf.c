/* SPDX-License-Identifier: Apache-2.0 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "bpf.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel refuses an attribute in which a byte beyond what it knows is set, so it is cleared, padding included. */
static int bpf(int command, union bpf_attr *attr)
{
	long ret = syscall(SYS_bpf, command, attr, sizeof *attr);

	return ret < 0 ? -errno : (int)ret;
}

static uint64_t address(const void *pointer)
{
	return (uint64_t)(uintptr_t)pointer;
}

int ocirt_bpf_load(const char *instructions, uint32_t count, const char *name, char *ret_log, uint32_t log_size)
{
	union bpf_attr attr;

	if (strlen(name) >= sizeof attr.prog_name)
		return -EINVAL;
	memset(&attr, 0, sizeof attr);
	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.expected_attach_type = BPF_CGROUP_DEVICE;
	attr.insns = address(instructions);
	attr.insn_cnt = count;
	attr.license = address("Apache-2.0"); /* asks for no function of the kernel that is for the GPL alone */
	strcpy(attr.prog_name, name);
	if (log_size) {
		attr.log_buf = address(ret_log);
		attr.log_size = log_size;
		attr.log_level = 1;
	}
	return bpf(BPF_PROG_LOAD, &attr);
}

int ocirt_bpf_query(int cgroup_fd, uint32_t *ret_ids, uint32_t *count)
{
	union bpf_attr attr;
	int ret;

	memset(&attr, 0, sizeof attr);
	attr.query.target_fd = (uint32_t)cgroup_fd;
	attr.query.attach_type = BPF_CGROUP_DEVICE;
	attr.query.prog_ids = address(ret_ids);
	attr.query.prog_cnt = *count;
	ret = bpf(BPF_PROG_QUERY, &attr);
	*count = attr.query.prog_cnt;
	return ret;
}

int ocirt_bpf_open(uint32_t id)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof attr);
	attr.prog_id = id;
	return bpf(BPF_PROG_GET_FD_BY_ID, &attr);
}

int ocirt_bpf_name(int program_fd, char ret_name[16])
{
	struct bpf_prog_info info;
	union bpf_attr attr;
	int ret;

	memset(&info, 0, sizeof info);
	memset(&attr, 0, sizeof attr);
	attr.info.bpf_fd = (uint32_t)program_fd;
	attr.info.info_len = sizeof info;
	attr.info.info = address(&info);
	ret = bpf(BPF_OBJ_GET_INFO_BY_FD, &attr);
	memcpy(ret_name, info.name, sizeof info.name);
	return ret;
}

int ocirt_bpf_attach(int cgroup_fd, int program_fd, int replaced_fd)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof attr);
	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)program_fd;
	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.attach_flags = BPF_F_ALLOW_MULTI;
	if (replaced_fd >= 0) {
		attr.attach_flags |= BPF_F_REPLACE;
		attr.replace_bpf_fd = (uint32_t)replaced_fd;
	}
	return bpf(BPF_PROG_ATTACH, &attr);
}

int ocirt_bpf_detach(int cgroup_fd, int program_fd)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof attr);
	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)program_fd;
	attr.attach_type = BPF_CGROUP_DEVICE;
	return bpf(BPF_PROG_DETACH, &attr);
}
