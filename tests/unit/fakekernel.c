// SPDX-License-Identifier: Apache-2.0
/*
 * fakekernel.c - see fakekernel.h.
 */
#include "fakekernel.h"

#include <arpa/inet.h>
#include <elf.h>
#include <fcntl.h>
#include <libkmod.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "modfile.h"

/* --- modules --- */

static uint16_t elf_machine_here(void)
{
	static const struct {
		const char *name;
		uint16_t elf;
	} machines[] = { { "x86_64", EM_X86_64 },
			 { "aarch64", EM_AARCH64 },
			 { "riscv64", EM_RISCV },
			 { "ppc64le", EM_PPC64 },
			 { "s390x", EM_S390 } };

	for (size_t i = 0; i < ARRAY_SIZE(machines); i++)
		if (streq(machines[i].name, machine_here()))
			return machines[i].elf;
	fail_msg("no module can be made for %s", machine_here());
	return EM_NONE;
}

static void add_info(struct blob *b, const char *key, const char *value)
{
	if (!value)
		return;
	blob_add_text(b, key);
	blob_add_text(b, "=");
	blob_add(b, value, strlen(value) + 1);
}

/* Lines -> strings with their NUL. */
static void add_lines(struct blob *b, const char *lines)
{
	while (lines && *lines) {
		size_t n = strcspn(lines, "\n");

		blob_add(b, lines, n);
		blob_add(b, "", 1);
		lines += n + (lines[n] ? 1 : 0);
	}
}

#define SECTIONS 7 /* none, .modinfo, __versions, __ksymtab_strings, .symtab, .strtab, .shstrtab */

/* Undefined symbols of these names; the first of a table is none. */
static void add_undefined(struct blob *symbols, struct blob *strings, const char *lines, unsigned char binding)
{
	if (symbols->n == 0) {
		const Elf64_Sym none = { 0 };

		blob_add(symbols, &none, sizeof(none));
		blob_add(strings, "", 1);
	}
	while (lines && *lines) {
		const Elf64_Sym one = { .st_name = (Elf64_Word)strings->n, .st_info = ELF64_ST_INFO(binding, STT_NOTYPE) };
		size_t n = strcspn(lines, "\n");

		blob_add(symbols, &one, sizeof(one));
		blob_add(strings, lines, n);
		blob_add(strings, "", 1);
		lines += n + (lines[n] ? 1 : 0);
	}
}

struct blob fake_module_bytes(const struct fake_module *m)
{
	static const char names[] = "\0.modinfo\0__versions\0__ksymtab_strings\0.shstrtab\0.symtab\0.strtab";
	static const uint32_t name_at[SECTIONS] = { 0, 1, 10, 21, 49, 57, 39 };
	static const uint32_t type_of[SECTIONS] = { SHT_NULL,	SHT_PROGBITS, SHT_PROGBITS, SHT_PROGBITS,
						    SHT_SYMTAB, SHT_STRTAB,   SHT_STRTAB };
	struct blob file = { 0 }, content[SECTIONS] = { 0 };
	Elf64_Ehdr eh = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64 },
			  .e_type = ET_REL,
			  .e_machine = m->machine ? m->machine : elf_machine_here(),
			  .e_version = EV_CURRENT,
			  .e_ehsize = sizeof(Elf64_Ehdr),
			  .e_shentsize = sizeof(Elf64_Shdr),
			  .e_shnum = SECTIONS,
			  .e_shstrndx = SECTIONS - 1,
			  .e_shoff = sizeof(Elf64_Ehdr) };
	size_t at = sizeof(eh) + SECTIONS * sizeof(Elf64_Shdr);

	eh.e_ident[EI_DATA] = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
	eh.e_ident[EI_VERSION] = EV_CURRENT;
	add_info(&content[1], "name", m->name);
	add_info(&content[1], "depends", m->depends);
	add_info(&content[1], "softdep", m->softdep);
	add_info(&content[1], "vermagic", m->vermagic ? m->vermagic : VERMAGIC);
	add_lines(&content[1], m->more);
	for (const struct fake_import *i = m->imports; i && i->name; i++) {
		char name[MODFILE_SYMBOL_BYTES] = "";
		uint64_t crc = i->crc;

		snprintf(name, sizeof(name), "%s", i->name);
		blob_add(&content[2], &crc, sizeof(crc));
		blob_add(&content[2], name, sizeof(name));
	}
	add_lines(&content[3], m->exports);
	add_undefined(&content[4], &content[5], m->needs, STB_GLOBAL);
	add_undefined(&content[4], &content[5], m->may_need, STB_WEAK);
	blob_add(&content[6], names, sizeof(names));
	blob_add(&file, &eh, sizeof(eh));
	for (size_t i = 0; i < SECTIONS; i++) {
		const Elf64_Shdr s = { .sh_name = name_at[i],
				       .sh_type = type_of[i],
				       .sh_link = type_of[i] == SHT_SYMTAB ? 5 : 0,
				       .sh_offset = i ? at : 0,
				       .sh_size = content[i].n,
				       .sh_addralign = 1 };

		blob_add(&file, &s, sizeof(s));
		at += content[i].n;
	}
	for (size_t i = 0; i < SECTIONS; i++) {
		blob_add(&file, content[i].v, content[i].n);
		blob_free(&content[i]);
	}
	if (m->is_signed)
		blob_add_text(&file, "signature~Module signature appended~\n");
	return file;
}

/* --- libkmod's index of a module tree --- */

/* kmod's libkmod/libkmod-index.c, "Disk format": a trie whose nodes point at later nodes. */
#define INDEX_MAGIC 0xB007F457u
#define INDEX_VERSION 0x00020001u
#define NODE_VALUES 0x40000000u
#define NODE_CHILDS 0x20000000u

static void add_u32(struct blob *b, uint32_t v)
{
	v = htonl(v);
	blob_add(b, &v, sizeof(v));
}

static size_t key_len(const char *line)
{
	return strcspn(line, ":");
}

/* The node of all lines whose key begins with these `depth` bytes; its place with its flags. */
static uint32_t add_node(struct blob *b, const char *const *lines, size_t n, const char *prefix, size_t depth)
{
	uint32_t children[128] = { 0 }, place, flags = 0;
	const char *value = NULL;
	unsigned int first = 128, last = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned int c;

		if (strncmp(lines[i], prefix, depth) != 0)
			continue;
		if (key_len(lines[i]) == depth) {
			value = lines[i];
			continue;
		}
		c = (unsigned char)lines[i][depth];
		if (children[c] == 0)
			children[c] = add_node(b, lines, n, lines[i], depth + 1);
		first = MIN(first, c);
		last = c > last ? c : last;
	}
	place = (uint32_t)b->n;
	if (first <= last) {
		const char range[2] = { (char)first, (char)last };

		flags |= NODE_CHILDS;
		blob_add(b, range, sizeof(range));
		for (unsigned int c = first; c <= last; c++)
			add_u32(b, children[c]);
	}
	if (value) {
		_cleanup_strv_ struct strv names = { 0 };

		flags |= NODE_VALUES;
		add_u32(b, 1);
		add_u32(b, 0);
		assert_int_equal(strv_add_words(&names, value, ": "), 0);
		for (size_t i = 0; i < names.n; i++) {
			_cleanup_free_ char *file =
				str_printf("%skernel/%s.ko%s", i > 1 ? " " : "", names.v[i], i == 0 ? ": " : "");

			blob_add_text(b, file);
		}
		blob_add(b, "", 1);
	}
	return place | flags;
}

void put_module_tree(const struct place *p, const char *const *lines)
{
	_cleanup_blob_ struct blob index = { 0 };
	size_t n = 0;
	uint32_t root;

	for (; lines[n]; n++) {
		_cleanup_free_ char *name = strndup(lines[n], key_len(lines[n]));
		_cleanup_free_ char *path = str_printf("root/usr/lib/modules/" RELEASE "/kernel/%s.ko", name);
		_cleanup_blob_ struct blob ko = fake_module_bytes(&(struct fake_module){ .name = name });

		put_blob(p, path, ko.v, ko.n);
	}
	add_u32(&index, INDEX_MAGIC);
	add_u32(&index, INDEX_VERSION);
	add_u32(&index, 0);
	root = htonl(add_node(&index, lines, n, "", 0));
	memcpy(index.v + 8, &root, sizeof(root));
	put_blob(p, "root/usr/lib/modules/" RELEASE "/modules.dep.bin", index.v, index.n);
}

/* --- the kernel --- */

struct answer {
	char module[LIMIT_NAME_BYTES + 1];
	enum fake_how how;
	int code;
};

/* Shared with the children that insert. */
static struct kernel_state {
	char log[16384];
	struct answer answers[16];
	unsigned int n_answers;
	char live[96]; /* a path: the children that insert have none of our descriptors */
} *state;

/* The path below the live root. Static. */
static const char *live(const char *path)
{
	static char whole[256];

	snprintf(whole, sizeof(whole), "%s/%s", state->live, path);
	return whole;
}

static void log_call(const char *fmt, ...) _printf_(1, 2);

static void log_call(const char *fmt, ...)
{
	size_t used = strlen(state->log);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(state->log + used, sizeof(state->log) - used, fmt, ap);
	va_end(ap);
}

/* No assertions below: this runs in children. */
static void go_live(const char *module)
{
	char path[128];
	int fd;

	(void)mkdir(live("sys"), 0755);
	(void)mkdir(live("sys/module"), 0755);
	snprintf(path, sizeof(path), "sys/module/%s", module);
	(void)mkdir(live(path), 0755);
	snprintf(path, sizeof(path), "sys/module/%s/initstate", module);
	fd = open(live(path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	(void)!write(fd, "live\n", 5);
	close(fd);
	snprintf(path, sizeof(path), "sys/module/%s/refcnt", module);
	fd = open(live(path), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return;
	(void)!write(fd, "0\n", 2);
	close(fd);
}

static void say(const char *module)
{
	int fd = open(live("dev/kmsg"), O_WRONLY | O_APPEND | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!dprintf(fd, "3,812,5140900,-;%s: probe of 0000:00:02.0 failed\n", module);
	close(fd);
}

static int answer_for(const char *module)
{
	const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };
	struct answer a = { .how = FAKE_RETURN };

	for (unsigned int i = 0; i < state->n_answers; i++)
		if (streq(state->answers[i].module, module))
			a = state->answers[i];
	switch (a.how) {
	case FAKE_RETURN:
		if (a.code == 0)
			go_live(module);
		else
			say(module);
		return a.code;
	case FAKE_OVERTAKEN:
		go_live(module);
		return -EEXIST;
	case FAKE_DIE:
		(void)kill(getpid(), SIGKILL);
		return -EIO;
	case FAKE_HANG:
	case FAKE_HANG_LOUD:
		break;
	}
	for (;;) {
		(void)nanosleep(&pause, NULL);
		if (a.how == FAKE_HANG_LOUD)
			(void)kill(getppid(), SIGUSR1);
	}
}

static int fake_finit(int fd, const char *params)
{
	struct modfile m;
	struct stat st;
	void *bytes;

	if (fstat(fd, &st) < 0)
		return -errno;
	bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED)
		return -errno;
	if (modfile_parse(bytes, (size_t)st.st_size, &m) < 0)
		return -ENOEXEC;
	log_call("finit %s %s\n", modfile_info_first(&m, "name"), params);
	return answer_for(modfile_info_first(&m, "name"));
}

/* As kmod does it: what it depends on first; what is live already is left alone. */
static int fake_probe(struct kmod_module *mod)
{
	struct kmod_list *deps = kmod_module_get_dependencies(mod), *item;
	const char *name = kmod_module_get_name(mod);
	char path[128];
	int r = 0;

	kmod_list_foreach(item, deps) {
		struct kmod_module *dep = kmod_module_get_module(item);

		if (r == 0)
			r = fake_probe(dep);
		kmod_module_unref(dep);
	}
	kmod_module_unref_list(deps);
	snprintf(path, sizeof(path), "sys/module/%s", name);
	if (r < 0 || access(live(path), F_OK) == 0)
		return r;
	log_call("probe %s\n", name);
	return answer_for(name);
}

/* Its directory in sysfs goes as a whole. */
static int fake_delete(const char *name)
{
	char path[128], from[256];
	int r;

	log_call("delete %s\n", name);
	r = answer_for(name); /* makes it live, as an insert would */
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "sys/module/%s", name);
	snprintf(from, sizeof(from), "%s", live(path));
	(void)mkdir(live("sys/removed"), 0755);
	snprintf(path, sizeof(path), "sys/removed/%s.%zu", name, strlen(state->log));
	return rename(from, live(path)) < 0 ? -errno : 0;
}

/* Only root can make a device: a file of its name takes its place. */
static int fake_mknod(int dirfd, const char *path, mode_t mode, dev_t dev)
{
	int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	log_call("mknod %s %u:%u %04o\n", path, major(dev), minor(dev), (unsigned int)mode);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int fake_start_target(const char *target, const char *job_mode)
{
	log_call("start %s %s\n", target, job_mode);
	return 0;
}

void fake_kernel(struct place *p)
{
	static const struct sysops ops = { .finit_module = fake_finit,
					   .probe_insert = fake_probe,
					   .delete_module = fake_delete,
					   .mknod_char = fake_mknod,
					   .start_target = fake_start_target };

	if (!state)
		state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(state != MAP_FAILED);
	memset(state, 0, sizeof(*state));
	snprintf(state->live, sizeof(state->live), "%s/live", p->path);
	p->host.ops = &ops;
}

void fake_kernel_answers(const char *module, enum fake_how how, int code)
{
	struct answer *a = &state->answers[state->n_answers++];

	assert_true(state->n_answers <= ARRAY_SIZE(state->answers));
	snprintf(a->module, sizeof(a->module), "%s", module);
	a->how = how;
	a->code = code;
}

const char *fake_kernel_log(void)
{
	return state->log;
}

void put_live(const struct place *p, const char *module, const char *initstate)
{
	_cleanup_free_ char *dir = str_printf("live/sys/module/%s", module);
	_cleanup_free_ char *file = str_printf("%s/initstate", dir);

	put_dir(p, dir);
	if (initstate)
		put_text(p, file, initstate);
}
