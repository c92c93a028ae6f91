/* SPDX-License-Identifier: Apache-2.0 */
/*
 * counted.h - included before each file of stage/ in the programs whose lines are counted: gcc's counters are written
 * by exit() and before exec; here by _exit() too, with which children end.
 */
#ifndef MODULUS_TEST_COUNTED_H
#define MODULUS_TEST_COUNTED_H

#include <unistd.h>

void __gcov_dump(void);

#define _exit(code) (__gcov_dump(), (_exit)(code))

#endif
