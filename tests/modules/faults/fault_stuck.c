// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Waits for hardware that never answers, in a way that nothing can end. */
#include "fault.h"

static int __init fault_init(void)
{
	pr_warn("waiting for ever\n");
	schedule_timeout_uninterruptible(MAX_SCHEDULE_TIMEOUT);
	return 0;
}

module_init(fault_init);
