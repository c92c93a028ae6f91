// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Writes to where nothing is: the kernel kills whoever asked for this module, and the module stays half loaded. */
#include "fault.h"

static int *nowhere;

static int __init fault_init(void)
{
	WRITE_ONCE(*nowhere, 1);
	return 0;
}

module_init(fault_init);
