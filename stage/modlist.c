// SPDX-License-Identifier: Apache-2.0
/*
 * modlist.c - from a place with modules (modsource.c), or from an installed kernel's own tree. Debug
 * sections are removed by strip(1), except where a module carries the kernel's signature, which
 * strip would cut off; with --module-key the others get a signature after they were stripped.
 */
#include "modlist.h"

#include <fcntl.h>
#include <libkmod.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "config.h"
#include "decompress.h"
#include "kbuild.h"
#include "modfile.h"
#include "modsource.h"
#include "symbols.h"

static void built_module_done(struct built_module *m)
{
	free(m->name);
	free(m->file);
	free(m->bytes);
	strv_free(&m->depends);
}

void modlist_free(struct modlist *l)
{
	for (size_t i = 0; i < l->n; i++)
		built_module_done(&l->v[i]);
	free(l->v);
	free(l->vermagic);
	*l = (struct modlist){ 0 };
}

static struct built_module *find(const struct modlist *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (module_name_equal(l->v[i].name, name))
			return &l->v[i];
	return NULL;
}

/* --- strip --- */

static int run_strip(const char *program, int in, int out, struct err *err)
{
	_cleanup_free_ char *in_path = str_printf("/proc/self/fd/%d", in), *out_path = str_printf("/proc/self/fd/%d", out);
	char *const argv[] = { (char *)(uintptr_t)program, (char *)(uintptr_t)"--strip-debug", (char *)(uintptr_t)"-o",
			       out_path, in_path, NULL };
	int status, r;
	pid_t pid;

	if (!in_path || !out_path)
		return err_sys(err, -ENOMEM, "%s", program);
	r = posix_spawnp(&pid, program, NULL, NULL, argv, environ);
	if (r != 0)
		return err_set(err, -r, "%s: %s (it is in the package binutils; --strip names another)", program,
			       strerror(r));
	if (waitpid(pid, &status, 0) < 0)
		return err_sys(err, -errno, "%s", program);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(err, -EINVAL, "%s could not strip the module (--strip names the one for its machine)", program);
	return 0;
}

static int strip_debug(const char *program, uint8_t **bytes, size_t *len, struct err *err)
{
	/* no close-on-exec: strip opens them by /proc/self/fd */
	_cleanup_close_ int in = memfd_create("in", 0), out = memfd_create("out", 0);
	char *stripped;
	size_t stripped_len;
	int r;

	if (in < 0 || out < 0)
		return err_sys(err, -errno, "memfd");
	r = write_full(in, *bytes, *len);
	if (r < 0)
		return err_sys(err, r, "memfd");
	r = run_strip(program, in, out, err);
	if (r < 0)
		return r;
	if (lseek(out, 0, SEEK_SET) < 0)
		return err_sys(err, -errno, "memfd");
	r = read_whole(out, MODULE_MAX_BYTES, &stripped, &stripped_len);
	if (r < 0)
		return err_sys(err, r, "memfd");
	free(*bytes);
	*bytes = (uint8_t *)stripped;
	*len = stripped_len;
	return 0;
}

/* --- one module --- */

/* All modules of a bundle are for one kernel: the first sets vermagic and machine. */
static int check_kind(const struct build_request *req, struct modlist *l, const struct modfile *m, const char *path,
		      struct err *err)
{
	const char *vermagic = modfile_info_first(m, "vermagic"), *rest;

	if (!str_prefix(vermagic, req->release, &rest) || (*rest != ' ' && *rest != '\0'))
		return err_set(err, -EINVAL, "%s is for kernel \"%.80s\", --kernel is %s", path, vermagic, req->release);
	if (!l->vermagic) {
		l->vermagic = strdup(vermagic);
		l->machine = m->machine;
		return l->vermagic ? 0 : err_sys(err, -ENOMEM, "%s", path);
	}
	if (!streq(l->vermagic, vermagic) || !streq(l->machine, m->machine))
		return err_set(err, -EINVAL, "%s has vermagic \"%.80s\" for %s, the others have \"%.80s\" for %s", path,
			       vermagic, m->machine, l->vermagic, l->machine);
	return 0;
}

/* Without debug sections, and with the kernel's signature if we have a key for that. */
static int prepare_unsigned(const struct build_request *req, const char *path, uint8_t **bytes, size_t *len,
			    struct err *err)
{
	int r = strip_debug(req->strip, bytes, len, err);

	if (r == 0 && req->module_key)
		r = modsign_append(req->module_key, bytes, len, err);
	return r < 0 ? err_prefix(err, "%s", path) : 0;
}

/* Owns bytes. */
static int add(const struct build_request *req, struct modlist *l, const char *path, uint8_t *taken, size_t len,
	       struct err *err)
{
	_cleanup_bytes_ uint8_t *bytes = taken;
	struct built_module b = { 0 }, *v;
	struct modfile m;
	int r;

	if (modfile_parse(bytes, len, &m) < 0)
		return err_set(err, -EINVAL, "%s is not a kernel module", path);
	if (!m.is_signed) {
		r = prepare_unsigned(req, path, &bytes, &len, err);
		if (r < 0)
			return r;
		if (modfile_parse(bytes, len, &m) < 0)
			return err_set(err, -EINVAL, "%s: %s left no kernel module", path, req->strip);
	}
	r = check_kind(req, l, &m, path, err);
	if (r < 0)
		return r;
	b.file = modsource_plain_name(path);
	b.name = b.file ? str_middle(b.file, "", ".ko") : NULL;
	v = reallocarray(l->v, l->n + 1, sizeof(*v));
	if (v)
		l->v = v;
	if (!b.name || !v || strv_add_words(&b.depends, modfile_info_first(&m, "depends"), ",") < 0) {
		built_module_done(&b);
		return err_sys(err, -ENOMEM, "%s", path);
	}
	for (char *p = b.name; *p; p++)
		if (*p == '-')
			*p = '_';
	if (find(l, b.name)) {
		r = err_set(err, -EINVAL, "%s: module %s is there twice", path, b.name);
		built_module_done(&b);
		return r;
	}
	b.bytes = TAKE_PTR(bytes);
	b.len = len;
	l->v[l->n++] = b;
	return 0;
}

/* --- a place --- */

struct collecting {
	const struct build_request *req;
	struct modlist *list;
};

static int collect_one(void *ctx, const char *path, uint8_t *bytes, size_t len, struct err *err)
{
	const struct collecting *c = ctx;

	return add(c->req, c->list, path, bytes, len, err);
}

/* --- an installed kernel --- */

static int add_path(const struct build_request *req, struct modlist *l, const char *path, struct err *err)
{
	uint8_t *bytes;
	size_t len;
	int r = decompress_file(AT_FDCWD, path, MODULE_MAX_BYTES, &bytes, &len, err);

	return r < 0 ? r : add(req, l, path, bytes, len, err);
}

static int add_tree_module(const struct build_request *req, struct modlist *l, struct kmod_module *mod, bool named,
			   struct err *err)
{
	const char *path = kmod_module_get_path(mod), *name = kmod_module_get_name(mod);

	if (find(l, name))
		return 0;
	if (!path && named)
		return err_set(err, -EINVAL, "%s is built into kernel %s: there is nothing to bundle", name,
			       req->release);
	return path ? add_path(req, l, path, err) : 0;
}

static int add_named(const struct build_request *req, struct kmod_ctx *ctx, struct modlist *l, const char *name,
		     struct err *err)
{
	struct kmod_list *found = NULL, *item;
	int r = kmod_module_new_from_lookup(ctx, name, &found);

	if (r < 0)
		return err_sys(err, r, "%s: looking for %s (is there a modules.dep?)", req->kernel_dir, name);
	if (!found)
		return err_set(err, -EINVAL, "%s has no module %s (or no modules.dep: run depmod)", req->kernel_dir,
			       name);
	kmod_list_foreach(item, found) {
		struct kmod_module *mod = kmod_module_get_module(item);
		struct kmod_list *deps = req->with_deps ? kmod_module_get_dependencies(mod) : NULL, *dep_item;

		kmod_list_foreach(dep_item, deps) {
			struct kmod_module *dep = kmod_module_get_module(dep_item);

			if (r == 0)
				r = add_tree_module(req, l, dep, false, err);
			kmod_module_unref(dep);
		}
		kmod_module_unref_list(deps);
		if (r == 0)
			r = add_tree_module(req, l, mod, true, err);
		kmod_module_unref(mod);
	}
	kmod_module_unref_list(found);
	return r;
}

static int collect_tree(const struct build_request *req, struct modlist *l, struct err *err)
{
	static const char *const no_config[] = { NULL };
	struct kmod_ctx *ctx = kmod_new(req->kernel_dir, no_config);
	int r = 0;

	if (!ctx)
		return err_sys(err, -ENOMEM, "%s", req->kernel_dir);
	for (size_t i = 0; r == 0 && i < req->from_kernel.n; i++)
		r = add_named(req, ctx, l, req->from_kernel.v[i], err);
	kmod_unref(ctx);
	return r;
}

static int collect_place(const struct build_request *req, const char *place, struct modlist *l, struct err *err)
{
	struct collecting c = { .req = req, .list = l };

	return modsource_read(place, req->release, collect_one, &c, err);
}

static int collect_source(const struct build_request *req, struct modlist *l, struct err *err)
{
	_cleanup_free_ char *near = str_printf("%s/build", req->kernel_dir);
	_cleanup_(kbuild_removep) char *copy = NULL;
	int r;

	if (!near)
		return err_sys(err, -ENOMEM, "%s", req->source_dir);
	r = kbuild_compile(req->source_dir, req->kernel_build ? req->kernel_build : near, &copy, err);
	return r < 0 ? r : collect_place(req, copy, l, err);
}

int modlist_collect(const struct build_request *req, struct modlist *ret, struct err *err)
{
	struct modlist l = { 0 };
	int r;

	if (req->modules_dir)
		r = collect_place(req, req->modules_dir, &l, err);
	else if (req->source_dir)
		r = collect_source(req, &l, err);
	else
		r = collect_tree(req, &l, err);
	if (r < 0) {
		modlist_free(&l);
		return r;
	}
	*ret = l;
	return 0;
}

/* --- order --- */

static int place(struct modlist *l, struct built_module *m, struct built_module *out, size_t *n, unsigned int depth,
		 struct err *err)
{
	if (m->placed)
		return 0;
	if (depth > LIMIT_MODULE_DEPTH)
		return err_set(err, -EINVAL, "%s: dependencies are more than %u deep, or go round", m->name,
			       LIMIT_MODULE_DEPTH);
	for (size_t i = 0; i < m->depends.n; i++) {
		struct built_module *dep = find(l, m->depends.v[i]);
		int r = dep ? place(l, dep, out, n, depth + 1, err) : 0;

		if (r < 0)
			return r;
	}
	if (m->placed) /* by way of a circle */
		return 0;
	m->placed = true;
	out[(*n)++] = *m;
	return 0;
}

int modlist_order(struct modlist *l, const struct strv *first, struct err *err)
{
	struct built_module *out = calloc(l->n + 1, sizeof(*out));
	size_t n = 0;
	int r = out ? 0 : err_sys(err, -ENOMEM, "modules");

	for (size_t i = 0; r == 0 && i < first->n; i++) {
		struct built_module *m = find(l, first->v[i]);

		r = m ? place(l, m, out, &n, 0, err) :
			err_set(err, -EINVAL, "--load %s: no such module in the bundle", first->v[i]);
	}
	for (size_t i = 0; r == 0 && i < l->n; i++)
		r = place(l, &l->v[i], out, &n, 0, err);
	if (r < 0) {
		free(out);
		return r;
	}
	free(l->v);
	l->v = out;
	return 0;
}

/* --- symbols --- */

/* Debian's is 2 MB. */
#define SYMVERS_MAX_BYTES ((size_t)64 << 20)

static int read_symvers(const char *path, struct symbols *ret, struct err *err)
{
	_cleanup_bytes_ uint8_t *text = NULL;
	size_t len;
	int r = decompress_file(AT_FDCWD, path, SYMVERS_MAX_BYTES, &text, &len, err);

	if (r < 0)
		return r;
	r = symbols_parse_symvers((const char *)text, len, ret);
	if (r == -EINVAL)
		return err_set(err, r, "%s: not a Module.symvers", path);
	if (r < 0)
		return err_sys(err, r, "%s", path);
	symbols_sort(ret);
	return 0;
}

/* Where kernels keep it: the build tree, Debian's headers package, Fedora beside the modules. */
static int find_symvers(const struct build_request *req, char **ret)
{
	const char *d = req->kernel_dir, *rel = req->release;
	char *const places[] = {
		str_printf("%s/build/Module.symvers", d),
		str_printf("%s/../../../usr/src/linux-headers-%s/Module.symvers", d, rel),
		str_printf("%s/../../../src/linux-headers-%s/Module.symvers", d, rel),
		str_printf("%s/symvers.xz", d),
		str_printf("%s/symvers.gz", d),
		str_printf("%s/symvers.zst", d),
	};

	*ret = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if (!*ret && places[i] && access(places[i], R_OK) == 0)
			*ret = places[i];
		else
			free(places[i]);
	}
	return *ret ? 0 : -ENOENT;
}

static int collect_exports(const struct modlist *l, struct symbols *ret)
{
	for (size_t i = 0; i < l->n; i++) {
		struct modfile m;
		const char *name;
		size_t cursor = 0;

		if (modfile_parse(l->v[i].bytes, l->v[i].len, &m) < 0)
			continue; /* add() has seen that it is one */
		while ((name = modfile_export(&m, &cursor)))
			if (symbols_add(ret, name, strlen(name), 0) < 0)
				return -ENOMEM;
	}
	symbols_sort(ret);
	return 0;
}

int modlist_check_symbols(const struct build_request *req, const struct modlist *l, struct strv *warnings,
			  struct err *err)
{
	_cleanup_symbols_ struct symbols kernel = { 0 }, exports = { 0 };
	_cleanup_free_ char *found = NULL;
	int r;

	if (!req->symvers && find_symvers(req, &found) < 0) {
		r = strv_addf(warnings, "no Module.symvers near %s: whether the kernel exports what the modules import "
					"was not checked (--symvers)", req->kernel_dir);
		return r < 0 ? err_sys(err, r, "symbols") : 0;
	}
	r = read_symvers(req->symvers ? req->symvers : found, &kernel, err);
	if (r < 0)
		return r;
	r = collect_exports(l, &exports);
	if (r < 0)
		return err_sys(err, r, "symbols");
	for (size_t i = 0; i < l->n; i++) {
		struct modfile m;

		if (modfile_parse(l->v[i].bytes, l->v[i].len, &m) < 0)
			continue;
		if (symbols_check_all(&kernel, &m, l->v[i].name, &exports, err) < 0)
			return err->code = -EINVAL;
	}
	return 0;
}
