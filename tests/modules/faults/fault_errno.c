// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Fails with the errno that its parameter says. */
#include "fault.h"

static int code = EINVAL;
module_param(code, int, 0);

static int __init fault_init(void)
{
	pr_err("this is error %d\n", code);
	return -code;
}

module_init(fault_init);
