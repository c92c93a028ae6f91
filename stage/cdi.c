// SPDX-License-Identifier: Apache-2.0
/*
 * cdi.c - the live driver, its nodes and its libraries -> /run/cdi/modulus-nvidia.json. Runs in finish,
 * before the container engines. Everything in it is a path of a file or node that was there when it was
 * written. /run is memory: nothing of it outlives a power cut.
 */
#include "cdi.h"

#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>

#include "library.h"
#include "limit.h"
#include "nvidia.h"
#include "runtimetree.h"

/* Device names may begin with a digit since then; nothing of what came later is used. */
#define CDI_VERSION "0.5.0"
#define PROC_GPUS "/proc/driver/nvidia/gpus"

/*
 * Where a loader finds a library without any cache, on Debian's kind and on all others: ld.so(8), "default
 * path". Both are given, since which kind an image is of is not known.
 */
#if defined(__x86_64__)
#define MULTIARCH_DIR "/usr/lib/x86_64-linux-gnu"
#elif defined(__aarch64__)
#define MULTIARCH_DIR "/usr/lib/aarch64-linux-gnu"
#else
#define MULTIARCH_DIR "/usr/lib/powerpc64le-linux-gnu" /* the one more that the driver was ever made for */
#endif
static const char *const library_dirs[] = { MULTIARCH_DIR, "/usr/lib64" };

/* --- what a driver consists of (pkg/nvcdi/driver-nvml.go, internal/discover/graphics.go) --- */

static const char *const control_nodes[] = { "nvidia-modeset", "nvidia-uvm-tools", "nvidia-uvm", "nvidiactl" };

static const char *const programs[] = {
	"nvidia-smi",	      "nvidia-debugdump", "nvidia-persistenced", "nvidia-cuda-mps-control", "nvidia-cuda-mps-server",
	"nvidia-imex",	      "nvidia-imex-ctl",  "nvidia-xconfig",
};

/* Libraries that have a version of their own. */
static const char *const other_libraries[] = {
	"libnvidia-nvvm70.so.*",	   "libnvidia-egl-gbm.so.*.*",	"libnvidia-egl-wayland.so.*.*",
	"libnvidia-egl-wayland2.so.*.*", "libnvidia-egl-xcb.so.*.*", "libnvidia-egl-xlib.so.*.*",
};

/* Names that programs open and that no link in the driver need stand for (internal/discover/symlinks.go). */
static const struct {
	const char *library, *name;
} more_names[] = {
	{ "libcuda.so", "libcuda.so" },
	{ "libGLX_nvidia.so", "libGLX_indirect.so.0" },
	{ "libnvidia-opticalflow.so", "libnvidia-opticalflow.so" },
	{ "libnvidia-allocator.so", "gbm/nvidia-drm_gbm.so" },
	{ "libnvidia-vulkan-producer.so", "libnvidia-vulkan-producer.so" },
};

/* Files below usr/share, and where programs look for them. */
static const struct {
	const char *file, *dir;
} shared_files[] = {
	{ "glvnd/egl_vendor.d/10_nvidia.json", "/usr/share" },
	{ "egl/egl_external_platform.d/15_nvidia_gbm.json", "/usr/share" },
	{ "egl/egl_external_platform.d/10_nvidia_wayland.json", "/usr/share" },
	{ "egl/egl_external_platform.d/09_nvidia_wayland2.json", "/usr/share" },
	{ "egl/egl_external_platform.d/20_nvidia_xcb.json", "/usr/share" },
	{ "egl/egl_external_platform.d/20_nvidia_xlib.json", "/usr/share" },
	{ "nvidia/nvoptix.bin", "/usr/share" },
	{ "OpenCL/vendors/nvidia.icd", "/etc" },
	{ "vulkan/icd.d/nvidia_icd.json", "/etc" },
	{ "vulkan/icd.d/nvidia_layers.json", "/etc" },
	{ "vulkan/implicit_layer.d/nvidia_layers.json", "/etc" },
};

/* --- JSON --- */

/* Both take the item. 0 or -ENOMEM. */
static int append(json_t *list, json_t *item)
{
	return json_array_append_new(list, item) < 0 ? -ENOMEM : 0;
}

static int set(json_t *object, const char *key, json_t *item)
{
	return json_object_set_new(object, key, item) < 0 ? -ENOMEM : 0;
}

static int add_node(json_t *nodes, const char *path)
{
	return append(nodes, json_pack("{s:s}", "path", path));
}

/* --- names in a directory --- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All but hidden ones, sorted. A directory that cannot be read is empty. 0 or -ENOMEM. */
static int list_dir(int dirfd, const char *path, struct strv *ret)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	struct dirent *e;
	DIR *dir;

	if (fd < 0)
		return 0;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while (r == 0 && ret->n < LIMIT_FILES && (e = readdir(dir)))
		if (e->d_name[0] != '.')
			r = strv_add(ret, e->d_name);
	closedir(dir);
	if (ret->n > 1)
		qsort(ret->v, ret->n, sizeof(*ret->v), by_text);
	return r;
}

static bool is_file(int dirfd, const char *path)
{
	struct stat st;

	return fstatat(dirfd, path, &st, 0) == 0 && S_ISREG(st.st_mode);
}

/* --- mounts --- */

struct mounts {
	const struct cdi_driver *driver;
	struct strv *warnings;
	json_t *list;
	struct strv taken; /* paths in the container */
	size_t libraries, left_out;
};

/* The first who wants a path gets it. */
static int add_mount(struct mounts *m, const char *host, const char *container)
{
	int r;

	if (strv_has(&m->taken, container))
		return 0;
	if (m->taken.n == LIMIT_CDI_MOUNTS) {
		m->left_out++; /* said once, at the end */
		return 0;
	}
	r = strv_add(&m->taken, container);
	return r < 0 ? r : append(m->list, json_pack("{s:s, s:s, s:[s, s, s, s, s]}", "hostPath", host, "containerPath", container,
						     "options", "ro", "nosuid", "nodev", "rbind", "rprivate"));
}

/* A library in every directory where it is looked for. */
static int add_name(struct mounts *m, const char *host, const char *subdir, const char *name)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(library_dirs); i++) {
		_cleanup_free_ char *path = str_printf("%s/%s%s", library_dirs[i], subdir, name);

		r = path ? add_mount(m, host, path) : -ENOMEM;
	}
	return r;
}

static bool is_library_name(const struct cdi_driver *d, const char *name)
{
	const char *rest;

	if (!str_prefix(name, "lib", NULL))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(other_libraries); i++)
		if (fnmatch(other_libraries[i], name, 0) == 0)
			return true;
	rest = strstr(name, ".so.");
	return rest && streq(rest + strlen(".so."), d->version);
}

/* A file of this machine's kind, so no 32-bit one. */
static bool is_library(int dirfd, const char *name)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	return library_kind(fd) == LIBRARY_OWN;
}

/* Is `name` a link that ends, by links in the same directory, at the file? */
static bool leads_to(int dirfd, const char *name, const char *file)
{
	char at[NAME_MAX + 1], target[NAME_MAX + 1];

	snprintf(at, sizeof(at), "%s", name);
	for (unsigned int hops = 0; hops < 4; hops++) { /* libcuda.so, libcuda.so.1, libcuda.so.535.261.03 */
		ssize_t n = readlinkat(dirfd, at, target, sizeof(target) - 1);

		if (n <= 0)
			return false;
		target[n] = '\0';
		if (streq(target, file))
			return true;
		if (strchr(target, '/'))
			return false;
		memcpy(at, target, (size_t)n + 1);
	}
	return false;
}

/* By its own name, that of each link to it, and those that nobody made a link for. */
static int add_library(struct mounts *m, int dirfd, const char *dir, const char *name, const struct strv *names)
{
	const char *subdir = str_suffix(dir, "/vdpau") ? "vdpau/" : "";
	_cleanup_free_ char *host = str_printf("%s/%s", dir, name);
	int r = host ? add_name(m, host, subdir, name) : -ENOMEM;

	for (size_t i = 0; r == 0 && i < names->n; i++)
		if (leads_to(dirfd, names->v[i], name))
			r = add_name(m, host, subdir, names->v[i]);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(more_names); i++) {
		const char *rest;

		if (str_prefix(name, more_names[i].library, &rest) && *rest == '.')
			r = add_name(m, host, "", more_names[i].name);
	}
	m->libraries++;
	return r;
}

/* usr/lib*, at any depth but the X server's own. */
static int add_libraries(struct mounts *m, int parent, const char *name, const char *dir, unsigned int depth)
{
	_cleanup_close_ int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_strv_ struct strv names = { 0 };
	int r;

	if (fd < 0 || streq(name, "xorg"))
		return 0;
	r = list_dir(fd, ".", &names);
	for (size_t i = 0; r == 0 && i < names.n; i++) {
		_cleanup_free_ char *below = NULL;

		if (is_library_name(m->driver, names.v[i]) && is_library(fd, names.v[i])) {
			r = add_library(m, fd, dir, names.v[i], &names);
			continue;
		}
		below = str_printf("%s/%s", dir, names.v[i]);
		if (!below)
			return -ENOMEM;
		if (depth < LIMIT_CDI_DEPTH)
			r = add_libraries(m, fd, names.v[i], below, depth + 1);
	}
	return r;
}

/* A file below the runtime, if it is there. */
static int add_file(struct mounts *m, int runtime, const char *dir, const char *file, const char *container_dir)
{
	_cleanup_free_ char *from = str_printf("%s/%s", dir, file), *host = NULL, *to = NULL;

	if (!from)
		return -ENOMEM;
	if (!is_file(runtime, from))
		return 0;
	host = str_printf("%s/%s", m->driver->runtime, from);
	to = str_printf("%s/%s", container_dir, file);
	return host && to ? add_mount(m, host, to) : -ENOMEM;
}

static int add_runtime(const struct host *h, struct mounts *m)
{
	const struct cdi_driver *d = m->driver;
	_cleanup_close_ int fd = d->runtime ? runtime_open(h, d->runtime, O_RDONLY | O_DIRECTORY) : -ENOENT;
	_cleanup_strv_ struct strv usr = { 0 };
	int r;

	if (fd < 0)
		return 0;
	r = list_dir(fd, "usr", &usr);
	for (size_t i = 0; r == 0 && i < usr.n; i++) {
		_cleanup_free_ char *below = str_printf("usr/%s", usr.v[i]), *dir = str_printf("%s/usr/%s", d->runtime, usr.v[i]);

		if (!below || !dir)
			return -ENOMEM;
		if (str_prefix(usr.v[i], "lib", NULL))
			r = add_libraries(m, fd, below, dir, 0);
	}
	if (r == 0 && m->libraries == 0)
		return strv_addf(m->warnings, "%s: no library of version %s, the live driver's: containers get devices only", d->runtime,
				 d->version);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(programs); i++)
		r = add_file(m, fd, "usr/bin", programs[i], "/usr/bin");
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(shared_files); i++)
		r = add_file(m, fd, "usr/share", shared_files[i].file, shared_files[i].dir);
	return r;
}

static int add_firmware(const struct host *h, struct mounts *m)
{
	_cleanup_free_ char *dir = str_printf("%s/nvidia/%s", m->driver->firmware, m->driver->version);
	_cleanup_strv_ struct strv names = { 0 };
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (!dir)
		return -ENOMEM;
	fd = host_live_open(h, dir, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return 0;
	r = list_dir(fd, ".", &names);
	for (size_t i = 0; r == 0 && i < names.n; i++) {
		_cleanup_free_ char *host = str_printf("%s/%s", dir, names.v[i]);
		_cleanup_free_ char *to = str_printf("/lib/firmware/nvidia/%s/%s", m->driver->version, names.v[i]);

		if (!host || !to)
			return -ENOMEM;
		if (fnmatch("gsp*.bin", names.v[i], 0) == 0 && is_file(fd, names.v[i]))
			r = add_mount(m, host, to);
	}
	return r;
}

/* --- devices --- */

/* The value of a line "Key: \t value". */
static bool find_value(const char *text, const char *key, char *buf, size_t size)
{
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *rest;
		size_t n;

		if (!str_prefix(line, key, &rest) || *rest++ != ':')
			continue;
		rest += strspn(rest, " \t");
		n = strcspn(rest, "\n");
		while (n > 0 && (rest[n - 1] == ' ' || rest[n - 1] == '\t'))
			n--;
		if (n >= size)
			return false;
		memcpy(buf, rest, n);
		buf[n] = '\0';
		return true;
	}
	return false;
}

/* GPU-8d4b1d3a-...; question marks as long as nobody opened the GPU. */
static bool is_uuid(const char *s)
{
	static const char form[] = "GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	if (strlen(s) != strlen(form))
		return false;
	for (size_t i = 0; form[i]; i++)
		if (form[i] == 'x' ? !strchr("0123456789abcdef", s[i]) : s[i] != form[i])
			return false;
	return true;
}

static bool node_is_there(const struct host *h, const char *path)
{
	struct stat st;

	return fstatat(h->live_fd, path + 1, &st, 0) == 0;
}

/* The GPU's own node, and those that DRM has for the same device, if they are there. */
static int gpu_nodes(const struct host *h, const char *address, const char *node, json_t *ret)
{
	_cleanup_free_ char *drm = str_printf("sys/bus/pci/devices/%s/drm", address);
	_cleanup_strv_ struct strv names = { 0 };
	int r = drm ? add_node(ret, node) : -ENOMEM;

	if (r == 0)
		r = list_dir(h->live_fd, drm, &names);
	for (size_t i = 0; r == 0 && i < names.n; i++) {
		_cleanup_free_ char *path = str_printf("/dev/dri/%s", names.v[i]);

		if (!path)
			return -ENOMEM;
		if (node_is_there(h, path))
			r = add_node(ret, path);
	}
	return r;
}

static int add_device(json_t *devices, const char *name, json_t *nodes)
{
	return append(devices, json_pack("{s:s, s:{s:O}}", "name", name, "containerEdits", "deviceNodes", nodes));
}

/* A GPU by its number and, where the driver tells it, by its UUID. */
static int add_gpu(const struct host *h, const char *address, size_t index, json_t *devices, json_t *all,
		   struct strv *warnings)
{
	_cleanup_free_ char *path = str_printf(PROC_GPUS "/%s/information", address), *text = NULL, *node = NULL;
	struct nvidia_attributes a;
	char uuid[64], number[24];
	json_t *nodes;
	size_t len;
	int r;

	if (!path)
		return -ENOMEM;
	r = host_live_read(h, path, LIMIT_NVIDIA_FILE_BYTES, &text, &len);
	if (r < 0)
		return r == -ENOMEM ? r : strv_addf(warnings, "%s: %s", path, strerror(-r));
	nvidia_parse_attributes(text, &a);
	if (a.minor_no == NVIDIA_NO_MINOR)
		return strv_addf(warnings, "%s: no Device Minor", path);
	node = str_printf("/dev/nvidia%u", a.minor_no);
	if (!node)
		return -ENOMEM;
	if (!node_is_there(h, node))
		return strv_addf(warnings, "%s: is not there, so GPU %s is left out", node, address);
	nodes = json_array();
	r = nodes ? gpu_nodes(h, address, node, nodes) : -ENOMEM;
	if (r == 0 && json_array_extend(all, nodes) < 0)
		r = -ENOMEM;
	snprintf(number, sizeof(number), "%zu", index);
	if (r == 0)
		r = add_device(devices, number, nodes);
	if (r == 0 && find_value(text, "GPU UUID", uuid, sizeof(uuid)) && is_uuid(uuid))
		r = add_device(devices, uuid, nodes);
	json_decref(nodes);
	return r;
}

/* Numbers are NVML's: GPUs in the order of their PCI addresses, whatever their minors. */
static int add_gpus(const struct host *h, json_t *devices, struct strv *warnings)
{
	_cleanup_strv_ struct strv addresses = { 0 };
	json_t *all = json_array();
	int r = all ? list_dir(h->live_fd, &PROC_GPUS[1], &addresses) : -ENOMEM;

	for (size_t i = 0; r == 0 && i < addresses.n && i < LIMIT_CDI_GPUS; i++)
		r = add_gpu(h, addresses.v[i], i, devices, all, warnings);
	if (r == 0 && addresses.n > LIMIT_CDI_GPUS)
		r = strv_addf(warnings, PROC_GPUS ": only %u of %zu GPUs are used", LIMIT_CDI_GPUS, addresses.n);
	if (r == 0 && json_array_size(all) > 0)
		r = add_device(devices, "all", all);
	json_decref(all);
	return r;
}

/* --- the specification --- */

/* What every container with a GPU gets, whichever it is. */
static int add_common(const struct host *h, const struct cdi_driver *d, json_t *edits, struct strv *warnings)
{
	struct mounts m = { .driver = d, .warnings = warnings, .list = json_array() };
	json_t *nodes = json_array();
	int r = m.list && nodes ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(control_nodes); i++) {
		_cleanup_free_ char *path = str_printf("/dev/%s", control_nodes[i]);

		if (!path)
			r = -ENOMEM;
		else if (node_is_there(h, path))
			r = add_node(nodes, path);
	}
	if (r == 0)
		r = add_runtime(h, &m);
	if (r == 0)
		r = add_firmware(h, &m);
	if (r == 0 && m.left_out > 0)
		r = strv_addf(warnings, "%zu files of the driver are missing in containers: above %u mounts", m.left_out,
			      LIMIT_CDI_MOUNTS);
	/* what other hooks of NVIDIA's, on the same machine, take for "not me" */
	if (r == 0)
		r = set(edits, "env", json_pack("[s]", "NVIDIA_VISIBLE_DEVICES=void"));
	if (r == 0 && json_array_size(nodes) > 0)
		r = set(edits, "deviceNodes", json_incref(nodes));
	if (r == 0 && json_array_size(m.list) > 0)
		r = set(edits, "mounts", json_incref(m.list));
	json_decref(nodes);
	json_decref(m.list);
	strv_free(&m.taken);
	return r;
}

int cdi_spec(const struct host *h, const struct cdi_driver *d, json_t **ret, struct strv *warnings)
{
	json_t *devices = json_array(), *edits = json_object();
	json_t *spec = json_pack("{s:s, s:s, s:O?, s:O?}", "cdiVersion", CDI_VERSION, "kind", CDI_KIND, "devices", devices,
				 "containerEdits", edits);
	int r = devices && edits && spec ? add_gpus(h, devices, warnings) : -ENOMEM;

	if (r == 0 && json_array_size(devices) == 0)
		r = -ENOENT;
	if (r == 0)
		r = add_common(h, d, edits, warnings);
	json_decref(devices);
	json_decref(edits);
	if (r < 0) {
		json_decref(spec);
		return r;
	}
	*ret = spec;
	return 0;
}

/* --- the file --- */

static int remove_ours(const struct host *h)
{
	if (unlinkat(h->live_fd, &CDI_DIR "/" CDI_NAME[1], 0) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

static int write_ours(const struct host *h, const json_t *spec)
{
	_cleanup_free_ char *text = json_dumps(spec, JSON_INDENT(1));
	_cleanup_close_ int dir = -EBADF;
	int r;

	if (!text)
		return -ENOMEM;
	r = host_live_mkdir(h, CDI_DIR, &dir);
	return r < 0 ? r : write_file_at(dir, CDI_NAME, text, strlen(text), 0644);
}

/* What status.json says; spec is NULL beside another's. NULL: no memory. */
static json_t *report(const json_t *spec, const char *other, const struct strv *warnings)
{
	json_t *names = json_array(), *texts = json_array(), *d;
	size_t i;

	json_array_foreach(json_object_get(spec, "devices"), i, d)
		json_array_append(names, json_object_get(d, "name"));
	for (i = 0; i < warnings->n; i++)
		json_array_append_new(texts, json_string(warnings->v[i]));
	return json_pack("{s:s?, s:s?, s:o, s:I, s:o}", "file", spec ? CDI_DIR "/" CDI_NAME : NULL, "other", other, "devices", names,
			 "mounts", (json_int_t)json_array_size(json_object_get(json_object_get(spec, "containerEdits"), "mounts")),
			 "warnings", texts);
}

int cdi_update(const struct host *h, const struct cdi_driver *d, json_t **ret, struct err *err)
{
	_cleanup_strv_ struct strv warnings = { 0 };
	_cleanup_free_ char *other = NULL;
	json_t *spec = NULL, *said = NULL;
	int r = d ? cdi_spec(h, d, &spec, &warnings) : -ENOENT;

	if (r == -ENOENT) {
		r = remove_ours(h);
		said = json_null();
	} else if (r == 0) {
		r = cdi_other(h, &other);
		if (r == 0)
			r = other ? remove_ours(h) : write_ours(h, spec);
		if (r == 0)
			said = report(other ? NULL : spec, other, &warnings);
	}
	json_decref(spec);
	if (r == 0 && !said)
		r = -ENOMEM;
	if (r < 0)
		return err_sys(err, r, CDI_DIR "/" CDI_NAME);
	*ret = said;
	return 0;
}
