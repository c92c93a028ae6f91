// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Waits for hardware that never answers, and gives up only when its process is killed. */
#include "fault.h"

static int __init fault_init(void)
{
	pr_warn("waiting\n");
	schedule_timeout_killable(MAX_SCHEDULE_TIMEOUT);
	pr_warn("killed\n");
	return -EINTR;
}

module_init(fault_init);
