/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fakemachine.h - a whole machine that is a directory, for the tests of what begins with a configuration and ends
 * with modules: a GPU, a kernel that takes modules (fakekernel.h), a driver file, a trusted key, bundles.
 */
#ifndef MODULUS_TEST_FAKEMACHINE_H
#define MODULUS_TEST_FAKEMACHINE_H

#include "fakekernel.h"

#define GPU_ALIAS "pci:v00001AF4d00001050sv00001AF4sd00001100bc03sc80i00"
#define CONF "[Driver]\nVersion=1.0\nMatch=pci:v00001AF4d00001050*\n"
#define USR "root/usr/lib/modulus/bundles/" RELEASE "/"

/* A kernel, one driver that is configured, trusted key 0; no device and no bundle yet. */
void make_machine(struct place *p);
void put_key(const struct place *p, unsigned int i);
/* At 0000:00:02.0; the driver file asks for it. */
void put_gpu(const struct place *p);

/* gpu.ko, which needs drm; without a build-id, since the machine's notes are not there. NULL: VERMAGIC, no firmware. */
struct blob gpu_bundle(uint64_t serial, const char *vermagic, const char *firmware, unsigned int key);
/* One with key 0, at that path of the place. */
void put_bundle(const struct place *p, const char *path, uint64_t serial);

#endif
