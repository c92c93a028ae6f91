// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Needs a function that no kernel and no module has. */
#include "fault.h"

extern int fault_no_such_symbol(void);

static int __init fault_init(void)
{
	return fault_no_such_symbol();
}

module_init(fault_init);
