// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The driver does not like its parameters. */
#include "fault.h"

static int __init fault_init(void)
{
	pr_err("this parameter makes no sense\n");
	return -EINVAL;
}

module_init(fault_init);
