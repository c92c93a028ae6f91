/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What all of these modules share. None has an exit function: what is once live stays. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/module.h>
#include <linux/sched/signal.h>

MODULE_DESCRIPTION("Test only: misbehaves in its init");
MODULE_LICENSE("GPL");
