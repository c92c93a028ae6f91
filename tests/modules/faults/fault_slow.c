// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Takes its time, as real hardware does, and is then live. */
#include "fault.h"

static int __init fault_init(void)
{
	msleep(2000);
	pr_info("ready\n");
	return 0;
}

module_init(fault_init);
