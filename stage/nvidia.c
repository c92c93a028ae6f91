// SPDX-License-Identifier: Apache-2.0
/*
 * nvidia.c - see nvidia.h. Runs after the driver's modules are live, before switch-root. In:
 * /proc/devices and /proc/driver/nvidia*. Out: nodes below /dev, their /dev/char links, their names.
 */
#include "nvidia.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "limit.h"

#define PROC "/proc/driver/nvidia"
#define PROC_NVSWITCH "/proc/driver/nvidia-nvswitch"
#define PROC_NVLINK "/proc/driver/nvidia-nvlink"

/* Minors that are no GPU's (nvidia-modprobe-utils.h). */
#define MINOR_MODESET 254u
#define MINOR_CTL 255u
#define MINOR_NVSWITCH_CTL 255u

/* dev_t of the kernel: 12 bits and 20 bits. */
#define MAJOR_MAX 0xfffu
#define MINOR_MAX 0xfffffu

/* --- the texts --- */

/* All of it is a number, blanks around it allowed. */
static bool parse_number(const char *s, size_t len, uint64_t max, uint32_t *ret)
{
	char digits[16];
	uint64_t value;

	for (; len > 0 && (*s == ' ' || *s == '\t'); len--)
		s++;
	while (len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t'))
		len--;
	if (len >= sizeof(digits))
		return false;
	memcpy(digits, s, len);
	digits[len] = '\0';
	if (parse_u64(digits, &value) < 0 || value > max)
		return false;
	*ret = (uint32_t)value;
	return true;
}

void nvidia_parse_attributes(const char *text, struct nvidia_attributes *ret)
{
	struct nvidia_attributes a = { .mode = 0666, .minor_no = NVIDIA_NO_MINOR, .modify = true };
	uint32_t modify = 1;
	const struct {
		const char *key;
		uint32_t *value, max, otherwise;
	} keys[] = {
		{ "DeviceFileUID", &a.uid, UINT32_MAX - 1, 0 }, /* -1 is "leave it" to chown(2) */
		{ "DeviceFileGID", &a.gid, UINT32_MAX - 1, 0 },
		{ "DeviceFileMode", &a.mode, 0777, 0600 },
		{ "ModifyDeviceFiles", &modify, UINT32_MAX, 1 },
		{ "DeviceFileModify", &modify, UINT32_MAX, 1 },
		{ "DeviceFileMinor", &a.minor_no, MINOR_MAX, NVIDIA_NO_MINOR },
		{ "Device Minor", &a.minor_no, MINOR_MAX, NVIDIA_NO_MINOR },
	};

	while (*text) {
		size_t len = strcspn(text, "\n");

		for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
			size_t key = strlen(keys[i].key);

			if (len < key || memcmp(text, keys[i].key, key) != 0)
				continue;
			if (text[key] == ':' && parse_number(text + key + 1, len - key - 1, keys[i].max, keys[i].value))
				continue;
			*keys[i].value = keys[i].otherwise;
			if (!*a.garbled)
				escape_text(text, len, a.garbled, sizeof(a.garbled));
		}
		text += len + (text[len] == '\n');
	}
	a.modify = modify == 1;
	*ret = a;
}

int nvidia_parse_major(const char *text, const char *name)
{
	static const char begin[] = "Character devices:";
	bool inside = false;

	while (*text) {
		size_t len = strcspn(text, "\n"), name_len = strlen(name);
		const char *line = text;
		uint32_t value;

		text += len + (text[len] == '\n');
		if (!inside) {
			inside = len == strlen(begin) && memcmp(line, begin, len) == 0;
			continue;
		}
		if (len == 0)
			break; /* block devices come next */
		if (len <= name_len || line[len - name_len - 1] != ' ' ||
		    memcmp(line + len - name_len, name, name_len) != 0)
			continue;
		return parse_number(line, len - name_len, MAJOR_MAX, &value) && value > 0 ? (int)value : -EBADMSG;
	}
	return -ENOENT;
}

/* --- the plan --- */

struct plan {
	const struct host *host;
	struct node_list *list;
	struct strv *warnings;
	unsigned int warned;
	char *devices; /* the text of /proc/devices */
	bool modify;   /* ModifyDeviceFiles of the driver; capabilities may forbid it for themselves */
};

void node_list_free(struct node_list *l)
{
	free(l->v);
	*l = (struct node_list){ 0 };
}

/* 0 or -ENOMEM. */
static int warn(struct plan *p, const char *where, const char *what, const char *text)
{
	if (p->warned++ >= LIMIT_WARNINGS)
		return 0;
	return strv_addf(p->warnings, "nodes: %s: %s%s", where, what, text);
}

static int add(struct plan *p, const struct nvidia_attributes *a, int major_no, uint32_t minor_no, const char *name)
{
	struct node_list *l = p->list;
	struct node *v, *n;

	if (l->n == LIMIT_NVIDIA_NODES)
		return warn(p, name, "one node too many", "");
	v = reallocarray(l->v, l->n + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	l->v = v;
	n = &v[l->n++];
	*n = (struct node){ .major_no = (unsigned int)major_no, .minor_no = minor_no, .uid = a->uid, .gid = a->gid,
			    .mode = a->mode, .modify = a->modify && p->modify };
	snprintf(n->path, sizeof(n->path), "/dev/%s", name);
	return 0;
}

/* add() of a name that ends in the minor. */
static int add_numbered(struct plan *p, const struct nvidia_attributes *a, int major_no, uint32_t minor_no,
			const char *stem)
{
	char name[48];

	snprintf(name, sizeof(name), "%s%u", stem, minor_no);
	return add(p, a, major_no, minor_no, name);
}

/* The major, or -1: there is none. 0 or -ENOMEM. */
static int find_major(struct plan *p, const char *name, int *ret)
{
	*ret = nvidia_parse_major(p->devices, name);
	return *ret == -EBADMSG ? warn(p, "/proc/devices", "not understood: ", name) : 0;
}

/* One of the driver's files. A file that is not there tells nothing; one that cannot be read opens nothing. */
static int read_attributes(struct plan *p, const char *path, struct nvidia_attributes *ret)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = host_live_read(p->host, path, LIMIT_NVIDIA_FILE_BYTES, &text, &len);

	if (r == -ENOMEM)
		return r;
	nvidia_parse_attributes(r == 0 ? text : "", ret);
	if (r < 0 && r != -ENOENT) {
		ret->mode = 0600;
		return warn(p, path, strerror(-r), "");
	}
	return *ret->garbled ? warn(p, path, "not understood: ", ret->garbled) : 0;
}

/* Calls fn for each entry of a live directory, at most as many as there may be nodes. */
static int each_entry(struct plan *p, const char *path, int (*fn)(struct plan *p, const char *path, void *ctx), void *ctx)
{
	int fd = host_live_open(p->host, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW), r = 0;
	unsigned int seen = 0;
	struct dirent *e;
	DIR *dir;

	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR ? 0 : warn(p, path, strerror(-fd), "");
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while (r == 0 && (e = readdir(dir))) {
		_cleanup_free_ char *below = NULL;

		if (e->d_name[0] == '.')
			continue;
		if (seen++ == LIMIT_NVIDIA_NODES) {
			r = warn(p, path, "too many entries", "");
			break;
		}
		below = str_printf("%s/%s", path, e->d_name);
		r = below ? fn(p, below, ctx) : -ENOMEM;
	}
	closedir(dir);
	return r;
}

struct gpus {
	const struct nvidia_attributes *params;
	int major_no;
};

static int add_gpu(struct plan *p, const char *path, void *ctx)
{
	_cleanup_free_ char *information = str_printf("%s/information", path);
	const struct gpus *g = ctx;
	struct nvidia_attributes a;
	int r = information ? read_attributes(p, information, &a) : -ENOMEM;

	if (r < 0)
		return r;
	if (a.minor_no >= MINOR_MODESET)
		return *a.garbled ? 0 : warn(p, information, "no Device Minor of a GPU", "");
	return add_numbered(p, g->params, g->major_no, a.minor_no, "nvidia");
}

/* nvidiactl, nvidiaN, nvidia-modeset: one major. */
static int plan_gpus(struct plan *p, const struct nvidia_attributes *params)
{
	struct gpus g = { .params = params };
	int r = find_major(p, "nvidia", &g.major_no);

	if (r == 0 && g.major_no == -ENOENT)
		r = find_major(p, "nvidia-frontend", &g.major_no); /* its name before 550 */
	if (r < 0 || g.major_no < 0)
		return r;
	r = each_entry(p, PROC "/gpus", add_gpu, &g);
	if (r == 0)
		r = add(p, params, g.major_no, MINOR_CTL, "nvidiactl");
	if (r == 0 && faccessat(p->host->live_fd, "sys/module/nvidia_modeset", F_OK, 0) == 0)
		r = add(p, params, g.major_no, MINOR_MODESET, "nvidia-modeset");
	return r;
}

/* nvidia-modprobe gives these to everybody, whatever params say, and would change them back. */
static int plan_uvm(struct plan *p)
{
	struct nvidia_attributes a;
	int major_no, r = find_major(p, "nvidia-uvm", &major_no);

	nvidia_parse_attributes("", &a);
	if (r == 0 && major_no > 0)
		r = add(p, &a, major_no, 0, "nvidia-uvm");
	if (r == 0 && major_no > 0)
		r = add(p, &a, major_no, 1, "nvidia-uvm-tools");
	return r;
}

/* The driver gives each switch the lowest free minor (linux_nvswitch.c), and does not say which. */
static int count_switch(struct plan *p, const char *path, void *ctx)
{
	uint32_t *n = ctx;

	(void)p;
	(void)path;
	++*n;
	return 0;
}

/* Majors of both are there on every machine; only one with switches has a use for them. */
static int plan_switches(struct plan *p)
{
	struct nvidia_attributes a;
	uint32_t n = 0;
	int major_no, r = each_entry(p, PROC_NVSWITCH "/devices", count_switch, &n);

	if (r < 0 || n == 0)
		return r;
	r = find_major(p, "nvidia-nvswitch", &major_no);
	if (r == 0 && major_no > 0)
		r = read_attributes(p, PROC_NVSWITCH "/permissions", &a);
	for (uint32_t i = 0; r == 0 && major_no > 0 && i < n && i < MINOR_NVSWITCH_CTL; i++)
		r = add_numbered(p, &a, major_no, i, "nvidia-nvswitch");
	if (r == 0 && major_no > 0)
		r = add(p, &a, major_no, MINOR_NVSWITCH_CTL, "nvidia-nvswitchctl");
	if (r == 0)
		r = find_major(p, "nvidia-nvlink", &major_no);
	if (r == 0 && major_no > 0)
		r = read_attributes(p, PROC_NVLINK "/permissions", &a);
	return r == 0 && major_no > 0 ? add(p, &a, major_no, 0, "nvidia-nvlink") : r;
}

struct caps {
	int major_no;
	unsigned int depth;
};

/* capabilities/mig/config, capabilities/gpu0/mig/gi1/ci0/access, ...: any file there is one node's. */
static int add_cap(struct plan *p, const char *path, void *ctx)
{
	const struct caps *c = ctx;
	struct caps below = { .major_no = c->major_no, .depth = c->depth + 1 };
	struct nvidia_attributes a;
	struct stat st;
	int r;

	if (fstatat(p->host->live_fd, path + 1, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0; /* the partition went away meanwhile */
	if (S_ISDIR(st.st_mode))
		return below.depth <= LIMIT_NVIDIA_DEPTH ? each_entry(p, path, add_cap, &below) :
							   warn(p, path, "too deep", "");
	if (!S_ISREG(st.st_mode))
		return 0;
	r = read_attributes(p, path, &a);
	if (r < 0 || a.minor_no == NVIDIA_NO_MINOR)
		return r < 0 || *a.garbled ? r : warn(p, path, "no DeviceFileMinor", "");
	return add_numbered(p, &a, c->major_no, a.minor_no, "nvidia-caps/nvidia-cap");
}

static int plan_caps(struct plan *p)
{
	struct caps c = { 0 };
	int r = find_major(p, "nvidia-caps", &c.major_no);

	if (r < 0 || c.major_no < 0)
		return r;
	r = each_entry(p, PROC "/capabilities", add_cap, &c);
	return r == 0 ? each_entry(p, PROC_NVLINK "/capabilities", add_cap, &c) : r;
}

static int by_number(const void *a, const void *b)
{
	const struct node *x = a, *y = b;

	if (x->major_no != y->major_no)
		return x->major_no < y->major_no ? -1 : 1;
	return x->minor_no < y->minor_no ? -1 : x->minor_no > y->minor_no;
}

int nvidia_plan(const struct host *h, struct node_list *ret, struct strv *warnings)
{
	struct plan p = { .host = h, .list = ret, .warnings = warnings };
	_cleanup_free_ char *devices = NULL;
	struct nvidia_attributes params = { 0 };
	size_t len;
	int r;

	if (faccessat(h->live_fd, &PROC[1], F_OK, 0) < 0)
		return 0;
	r = host_live_read(h, "/proc/devices", LIMIT_DEVICES_BYTES, &devices, &len);
	if (r < 0)
		return r == -ENOMEM ? r : warn(&p, "/proc/devices", strerror(-r), "");
	p.devices = devices;
	r = read_attributes(&p, PROC "/params", &params);
	p.modify = params.modify;
	if (r == 0)
		r = plan_gpus(&p, &params);
	if (r == 0)
		r = plan_uvm(&p);
	if (r == 0)
		r = plan_switches(&p);
	if (r == 0)
		r = plan_caps(&p);
	if (ret->n > 1)
		qsort(ret->v, ret->n, sizeof(*ret->v), by_number);
	for (size_t i = 1; i < ret->n; i++)
		if (r == 0 && by_number(&ret->v[i - 1], &ret->v[i]) == 0)
			r = warn(&p, ret->v[i].path, "two claim this device", "");
	return r;
}

/* --- the nodes --- */

int nvidia_nodes(const struct host *h, struct strv *nodes, struct strv *warnings)
{
	_cleanup_nodes_ struct node_list list = { 0 };
	struct plan p = { .host = h, .warnings = warnings };
	int r = nvidia_plan(h, &list, warnings);

	for (size_t i = 0; r == 0 && i < list.n; i++) {
		const struct node *n = &list.v[i];
		int q;

		if (strv_has(nodes, n->path))
			continue;
		q = node_put(h, n);
		if (q == -ENOMEM)
			return q;
		if (q < 0) {
			/* whoever said "do not modify" makes them himself, later perhaps */
			r = n->modify ? warn(&p, n->path, strerror(-q), "") : 0;
			continue;
		}
		r = strv_add(nodes, n->path);
		if (r == 0) {
			q = node_link(h, n);
			r = q == -ENOMEM ? q : q < 0 ? warn(&p, n->path, "/dev/char: ", strerror(-q)) : 0;
		}
	}
	return r;
}
