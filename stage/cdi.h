/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cdi.h - how a container engine is told of the GPUs: a specification of the Container Device Interface
 * (https://github.com/cncf-tags/container-device-interface, SPEC.md) with the devices and mounts that
 * `nvidia-ctk cdi generate` gives (NVIDIA/nvidia-container-toolkit, pkg/nvcdi), and without its hooks.
 */
#ifndef MODULUS_CDI_H
#define MODULUS_CDI_H

#include <jansson.h>

#include "host.h"

#define CDI_DIR "/run/cdi"
#define CDI_NAME "modulus-nvidia.json"
#define CDI_KIND "nvidia.com/gpu"

/* What of a driver goes into a container, besides its devices. */
struct cdi_driver {
	const char *version;  /* of the live module: nothing of another version is mounted */
	const char *runtime;  /* directory with usr/ in it, see runtime_open(); NULL: none */
	const char *firmware; /* live directory with nvidia/VERSION in it; it need not be there */
};

/*
 * The specification for the GPUs that the live driver has nodes for, the caller's. What is left out is a
 * warning. -ENOENT: no GPU; -ENOMEM.
 */
int cdi_spec(const struct host *h, const struct cdi_driver *d, json_t **ret, struct strv *warnings) _must_check_;

/* Does the text of a specification, JSON or YAML, say that it is of this kind? As far as `len` bytes tell. */
bool cdi_has_kind(const char *text, size_t len, const char *kind);

/*
 * The path of somebody else's specification of our kind, in any directory where engines look; NULL if
 * there is none. What cannot be read is none, for an engine neither. -ENOMEM.
 */
int cdi_other(const struct host *h, char **ret) _must_check_;

/*
 * Writes the specification, or removes ours: without a GPU, without a driver (NULL), or beside another's.
 * *ret, the caller's, is what status.json says of it: null, or
 * {"file": PATH or null, "other": PATH or null, "devices": [NAME], "mounts": COUNT, "warnings": [TEXT]}.
 * A reader of the directory sees the old file or the new one. -errno with its sentence.
 */
int cdi_update(const struct host *h, const struct cdi_driver *d, json_t **ret, struct err *err) _must_check_;

#endif
