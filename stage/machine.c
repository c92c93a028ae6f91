// SPDX-License-Identifier: Apache-2.0
/*
 * machine.c - see machine.h. Runs first in boot, finish and the commands on a running host. Writes nothing.
 */
#include "machine.h"

#include "boot.h"
#include "log.h"

int machine_read(const struct host *h, struct machine *ret, struct err *err)
{
	int r = cmdline_read(h, &ret->cmdline, err);

	if (r == 0)
		r = config_read(h, &ret->cmdline, &ret->config, err);
	return r < 0 ? r : kernel_running(h, &ret->kernel, err);
}

void machine_say_warnings(const struct machine *m)
{
	for (size_t i = 0; i < m->config.warnings.n; i++)
		log_warning("%s", m->config.warnings.v[i]);
}

int machine_read_all(const struct host *h, struct machine *ret, struct err *err)
{
	int r = machine_read(h, ret, err);

	if (r < 0)
		return r;
	r = boot_plan(h, &ret->config, &ret->devices, false);
	if (r < 0)
		return err_sys(err, r, "devices");
	machine_say_warnings(ret);
	return 0;
}

void machine_done(struct machine *m)
{
	cmdline_free(&m->cmdline);
	config_free(&m->config);
	device_list_free(&m->devices);
}
