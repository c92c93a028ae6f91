// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The hardware is not one that this driver knows. */
#include "fault.h"

static int __init fault_init(void)
{
	pr_err("this device is not supported\n");
	return -ENODEV;
}

module_init(fault_init);
