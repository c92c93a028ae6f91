// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Takes the whole machine down. */
#include "fault.h"

static int __init fault_init(void)
{
	panic("fault_panic: this driver and this machine do not go together\n");
	return 0;
}

module_init(fault_init);
