// SPDX-License-Identifier: Apache-2.0
/*
 * kernel.c - facts about the running kernel, read before anything is chosen or loaded.
 * Input: /proc and /sys. Output: struct kernel. Changes nothing.
 */
#include "kernel.h"

#include <elf.h>
#include <sys/utsname.h>

#define NOTES_MAX_BYTES (64u << 10)

int kernel_notes_build_id(const void *notes, size_t len, char ret_hex[2 * LIMIT_BUILD_ID_BYTES + 1])
{
	const uint8_t *p = notes;

	while (len > 0) {
		Elf64_Nhdr n; /* the 32-bit header has the same shape */
		uint64_t name_len, desc_len;

		if (len < sizeof(n))
			return -EBADMSG;
		memcpy(&n, p, sizeof(n));
		p += sizeof(n);
		len -= sizeof(n);
		name_len = ((uint64_t)n.n_namesz + 3) & ~3ull;
		desc_len = ((uint64_t)n.n_descsz + 3) & ~3ull;
		if (name_len > len || n.n_descsz > len - name_len)
			return -EBADMSG;
		if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 && memcmp(p, "GNU", 4) == 0 && n.n_descsz >= 8 &&
		    n.n_descsz <= LIMIT_BUILD_ID_BYTES) {
			hex_encode(p + name_len, n.n_descsz, ret_hex);
			return 0;
		}
		/* the last note may lack its padding */
		desc_len = MIN(desc_len, len - name_len);
		p += name_len + desc_len;
		len -= (size_t)(name_len + desc_len);
	}
	return -ENOENT;
}

/* "[none] integrity confidentiality": anything but none refuses unsigned modules. */
static bool lockdown_active(const struct host *h)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (host_live_read(h, "/sys/kernel/security/lockdown", 256, &text, &len) < 0)
		return false;
	return strchr(text, '[') && !strstr(text, "[none]");
}

static bool sig_enforced(const struct host *h)
{
	char value[8];

	return read_line_at(h->live_fd, "sys/module/module/parameters/sig_enforce", value, sizeof(value)) == 0 &&
	       value[0] == 'Y';
}

int kernel_running(const struct host *h, struct kernel *ret, struct err *err)
{
	_cleanup_free_ char *notes = NULL;
	struct kernel k = { 0 };
	struct utsname u;
	size_t len;
	int r;

	r = read_line_at(h->live_fd, "proc/sys/kernel/osrelease", k.release, sizeof(k.release));
	if (r < 0)
		return err_sys(err, r, "/proc/sys/kernel/osrelease");
	if (uname(&u) < 0)
		return err_sys(err, -errno, "uname");
	snprintf(k.machine, sizeof(k.machine), "%s", u.machine);
	if (host_live_read(h, "/sys/kernel/notes", NOTES_MAX_BYTES, &notes, &len) == 0 &&
	    kernel_notes_build_id(notes, len, k.build_id) < 0)
		k.build_id[0] = '\0';
	k.signed_only = sig_enforced(h) || lockdown_active(h);
	*ret = k;
	return 0;
}

int kernel_fits(const struct kernel *k, const struct manifest *m, struct err *err)
{
	const char *running = k->absent ? "wanted is" : "running";

	if (!streq(m->kernel.release, k->release))
		return err_set(err, -E_WRONG_KERNEL, "bundle is for kernel %s, %s %s", m->kernel.release, running,
			       k->release);
	if (!streq(m->kernel.machine, k->machine))
		return err_set(err, -E_WRONG_KERNEL, "bundle is for %s, running on %s", m->kernel.machine, k->machine);
	if (m->kernel.build_id && k->build_id[0] && !streq(m->kernel.build_id, k->build_id))
		return err_set(err, -E_WRONG_KERNEL, "bundle is for build %.12s... of kernel %s, %s build %.12s...",
			       m->kernel.build_id, k->release, running, k->build_id);
	return 0;
}

uint64_t kernel_memory_available(const struct host *h)
{
	_cleanup_free_ char *text = NULL;
	unsigned long long kib;
	const char *line;
	size_t len;

	if (host_live_read(h, "/proc/meminfo", LIMIT_MEMINFO_BYTES, &text, &len) < 0)
		return UINT64_MAX;
	line = strstr(text, "\nMemAvailable:");
	return line && sscanf(line, "\nMemAvailable: %llu kB", &kib) == 1 ? (uint64_t)kib << 10 : UINT64_MAX;
}

uint64_t kernel_taint(const struct host *h)
{
	char text[24];
	uint64_t taint;

	if (read_line_at(h->live_fd, "proc/sys/kernel/tainted", text, sizeof(text)) < 0 || parse_u64(text, &taint) < 0)
		return 0;
	return taint;
}
