// SPDX-License-Identifier: Apache-2.0
/*
 * cmd_build.c - options of the commands that make bundles: build, sign, keygen. Not in the
 * program that goes into an initramfs.
 */
#include <termios.h>
#include <time.h>

#include "build.h"
#include "cmd.h"
#include "log.h"
#include "manifest.h"
#include "ocilayout.h"

static const char build_usage[] =
	"usage: modulus build --name N --version V --kernel REL [--kernel-dir DIR]\n"
	"                     (--modules PLACE | --source DIR | --from-kernel --module NAME... [--with-deps])\n"
	"                     --key FILE (--output FILE | --oci-layout DIR) [OPTION]...\n"
	"       modulus build --kind firmware|runtime --tree DIR --name N --version V\n"
	"                     --key FILE (--output FILE | --oci-layout DIR) [OPTION]...\n\n"
	"Makes a signed bundle. Debug sections are stripped from modules that carry no kernel\n"
	"signature. The same input, key and SOURCE_DATE_EPOCH give the same bytes.\n\n"
	"  --name N            driver: the name of its configuration file\n"
	"  --version V         of the driver\n"
	"  --flavor F          when a version comes in several (open, proprietary)\n"
	"  --kind KIND         modules (the default); firmware or runtime (libraries and programs), for\n"
	"                      one version of the driver and every kernel\n"
	"  --tree DIR          for those: files and links as they are to lie below /, usr/lib/...\n"
	"  --kernel REL        release of the kernel the modules are for (uname -r)\n"
	"  --kernel-dir DIR    its module directory (default /lib/modules/REL)\n"
	"  --kernel-image FILE its image, for the build-id (default: vmlinuz in or near --kernel-dir)\n"
	"  --build-id HEX      the build-id itself\n"
	"  --symvers FILE      the kernel's Module.symvers, against which every imported symbol is\n"
	"                      checked (default: near --kernel-dir)\n"
	"  --modules PLACE     take *.ko, *.ko.xz, *.ko.zst, *.ko.gz from a directory, an OCI image\n"
	"                      layout, a Debian package or a tar; of a tree with lib/modules, only REL\n"
	"  --source DIR        compile the kbuild module in DIR for the kernel (in a copy) and take that\n"
	"  --kernel-build DIR  for that: the kernel's build tree (default: build in --kernel-dir)\n"
	"  --from-kernel       take modules of the installed kernel, each named by --module NAME\n"
	"  --with-deps         and all modules that they depend on\n"
	"  --firmware DIR      files for the kernel's firmware loader\n"
	"  --load NAME         module to load, in this order (default: --module, or all)\n"
	"  --option \"M K=V\"    parameters for module M\n"
	"  --match GLOB        modalias of devices that these modules drive; !GLOB: but not those\n"
	"  --serial N          which of two bundles is newer (default: SOURCE_DATE_EPOCH, or now)\n"
	"  --strip PROGRAM     strip(1) for the modules' machine (default $STRIP, or strip)\n"
	"  --module-key FILE   private key (PEM) for the kernel's own module signature, given to\n"
	"  --module-cert FILE  modules that have none, with its certificate (PEM or DER)\n"
	"  --key FILE          secret key, minisign's format; the password of an encrypted one is asked\n"
	"                      on the terminal, or read from standard input\n"
	"  --output FILE       replaced only by a complete, verified bundle\n"
	"  --oci-layout DIR    as an OCI image layout too, or instead: what skopeo and oras push to a\n"
	"                      registry; the image is called VERSION-REL[-FLAVOR], or\n"
	"                      VERSION-KIND[-FLAVOR]\n"
	"  --help              this text\n";

static const char sign_usage[] =
	"usage: modulus sign --key FILE [--add] BUNDLE\n\n"
	"Signs a bundle again. Its digest and payload stay as they are. \"-\" is one from standard\n"
	"input, which goes to standard output; the password of a key is then asked on the terminal.\n\n"
	"  --key FILE  secret key, minisign's format; the password of an encrypted one is asked on the\n"
	"              terminal, or read from standard input\n"
	"  --add       keep the signatures by other keys (for changing keys)\n"
	"  --help      this text\n";

static const char keygen_usage[] =
	"usage: modulus keygen --secret FILE --public FILE\n\n"
	"Makes an Ed25519 key pair in minisign's format, the secret key not encrypted, mode 0600.\n"
	"Existing files are never overwritten.\n\n"
	"  --help      this text\n";

enum option_id {
	OPT_NAME = 256,
	OPT_VERSION,
	OPT_FLAVOR,
	OPT_KIND,
	OPT_TREE,
	OPT_KERNEL,
	OPT_KERNEL_DIR,
	OPT_KERNEL_IMAGE,
	OPT_BUILD_ID,
	OPT_SYMVERS,
	OPT_MODULES,
	OPT_SOURCE,
	OPT_KERNEL_BUILD,
	OPT_FROM_KERNEL,
	OPT_MODULE,
	OPT_WITH_DEPS,
	OPT_FIRMWARE,
	OPT_LOAD,
	OPT_OPTION,
	OPT_MATCH,
	OPT_SERIAL,
	OPT_STRIP,
	OPT_MODULE_KEY,
	OPT_MODULE_CERT,
	OPT_KEY,
	OPT_OUTPUT,
	OPT_OCI_LAYOUT,
};

static const struct option build_options[] = {
	{ "name", required_argument, NULL, OPT_NAME },
	{ "version", required_argument, NULL, OPT_VERSION },
	{ "flavor", required_argument, NULL, OPT_FLAVOR },
	{ "kind", required_argument, NULL, OPT_KIND },
	{ "tree", required_argument, NULL, OPT_TREE },
	{ "kernel", required_argument, NULL, OPT_KERNEL },
	{ "kernel-dir", required_argument, NULL, OPT_KERNEL_DIR },
	{ "kernel-image", required_argument, NULL, OPT_KERNEL_IMAGE },
	{ "build-id", required_argument, NULL, OPT_BUILD_ID },
	{ "symvers", required_argument, NULL, OPT_SYMVERS },
	{ "modules", required_argument, NULL, OPT_MODULES },
	{ "source", required_argument, NULL, OPT_SOURCE },
	{ "kernel-build", required_argument, NULL, OPT_KERNEL_BUILD },
	{ "from-kernel", no_argument, NULL, OPT_FROM_KERNEL },
	{ "module", required_argument, NULL, OPT_MODULE },
	{ "with-deps", no_argument, NULL, OPT_WITH_DEPS },
	{ "firmware", required_argument, NULL, OPT_FIRMWARE },
	{ "load", required_argument, NULL, OPT_LOAD },
	{ "option", required_argument, NULL, OPT_OPTION },
	{ "match", required_argument, NULL, OPT_MATCH },
	{ "serial", required_argument, NULL, OPT_SERIAL },
	{ "strip", required_argument, NULL, OPT_STRIP },
	{ "module-key", required_argument, NULL, OPT_MODULE_KEY },
	{ "module-cert", required_argument, NULL, OPT_MODULE_CERT },
	{ "key", required_argument, NULL, OPT_KEY },
	{ "output", required_argument, NULL, OPT_OUTPUT },
	{ "oci-layout", required_argument, NULL, OPT_OCI_LAYOUT },
	CMD_COMMON_OPTIONS,
	{ 0 },
};

static int failed(const struct err *err)
{
	log_error("%s", err->text);
	return reason_exit(err->code) == EXIT_DONE ? EXIT_SYSTEM : reason_exit(err->code);
}

/* secret_key_password_fn: from the terminal without echo, or a line of standard input. */
static int ask(FILE *in, const char *path, char *buf, size_t size)
{
	struct termios before, quiet;
	bool terminal = isatty(fileno(in)), got;

	if (terminal) {
		fprintf(stderr, "Password for %s: ", path);
		if (tcgetattr(fileno(in), &before) < 0)
			return -errno;
		quiet = before;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		(void)tcsetattr(fileno(in), TCSAFLUSH, &quiet);
	}
	got = fgets(buf, (int)size, in) != NULL;
	if (terminal) {
		(void)tcsetattr(fileno(in), TCSAFLUSH, &before);
		fputc('\n', stderr);
	}
	if (!got)
		return -ENODATA;
	buf[strcspn(buf, "\n")] = '\0';
	return 0;
}

static int ask_password(const char *path, char *buf, size_t size)
{
	return ask(stdin, path, buf, size);
}

/* Where standard input is something else. */
static int ask_terminal(const char *path, char *buf, size_t size)
{
	FILE *terminal = fopen("/dev/tty", "re");
	int r = terminal ? ask(terminal, path, buf, size) : -errno;

	if (terminal)
		(void)fclose(terminal);
	return r;
}

/* The time that goes into the bundle: reproducible-builds.org, SOURCE_DATE_EPOCH. */
static int creation_time(uint64_t *ret)
{
	const char *epoch = getenv("SOURCE_DATE_EPOCH");

	if (!epoch) {
		*ret = (uint64_t)time(NULL);
		return 0;
	}
	return parse_u64(epoch, ret) < 0 || *ret > INT64_MAX ? -EINVAL : 0;
}

struct build_words {
	struct build_request req;
	const char *key, *module_key, *module_cert, *oci_layout, *kind;
	bool from_kernel, has_serial;
};

static void build_words_free(struct build_words *w)
{
	strv_free(&w->req.from_kernel);
	strv_free(&w->req.load);
	strv_free(&w->req.options);
	strv_free(&w->req.match);
}

/* One option. 0, -ENOMEM, or -EINVAL for a value that cannot be. */
static int take_option(struct build_words *w, int c)
{
	struct build_request *q = &w->req;

	switch (c) {
	case OPT_NAME:
		q->name = optarg;
		return 0;
	case OPT_VERSION:
		q->version = optarg;
		return 0;
	case OPT_FLAVOR:
		q->flavor = optarg;
		return 0;
	case OPT_KIND:
		w->kind = optarg;
		return 0;
	case OPT_TREE:
		q->tree = optarg;
		return 0;
	case OPT_KERNEL:
		q->release = optarg;
		return 0;
	case OPT_KERNEL_DIR:
		q->kernel_dir = optarg;
		return 0;
	case OPT_KERNEL_IMAGE:
		q->kernel_image = optarg;
		return 0;
	case OPT_BUILD_ID:
		q->build_id = optarg;
		return 0;
	case OPT_SYMVERS:
		q->symvers = optarg;
		return 0;
	case OPT_MODULES:
		q->modules_dir = optarg;
		return 0;
	case OPT_SOURCE:
		q->source_dir = optarg;
		return 0;
	case OPT_KERNEL_BUILD:
		q->kernel_build = optarg;
		return 0;
	case OPT_FROM_KERNEL:
		w->from_kernel = true;
		return 0;
	case OPT_MODULE:
		return strv_add(&q->from_kernel, optarg);
	case OPT_WITH_DEPS:
		q->with_deps = true;
		return 0;
	case OPT_FIRMWARE:
		q->firmware_dir = optarg;
		return 0;
	case OPT_LOAD:
		return strv_add(&q->load, optarg);
	case OPT_OPTION:
		return strv_add(&q->options, optarg);
	case OPT_MATCH:
		return strv_add(&q->match, optarg);
	case OPT_SERIAL:
		w->has_serial = true;
		return parse_u64(optarg, &q->serial) < 0 || q->serial > INT64_MAX ? -EINVAL : 0;
	case OPT_STRIP:
		q->strip = optarg;
		return 0;
	case OPT_MODULE_KEY:
		w->module_key = optarg;
		return 0;
	case OPT_MODULE_CERT:
		w->module_cert = optarg;
		return 0;
	case OPT_KEY:
		w->key = optarg;
		return 0;
	case OPT_OCI_LAYOUT:
		w->oci_layout = optarg;
		return 0;
	default:
		q->output = optarg;
		return 0;
	}
}

/* Firmware and libraries are for a version of the driver, whatever the kernel. */
static const char *what_a_tree_lacks(const struct build_words *w)
{
	const struct build_request *q = &w->req;

	if (!q->tree)
		return "--kind firmware and --kind runtime need --tree";
	if (q->release || q->kernel_dir || q->kernel_image || q->build_id || q->symvers || q->modules_dir ||
	    q->source_dir || q->kernel_build || w->from_kernel || q->from_kernel.n || q->with_deps || q->firmware_dir ||
	    q->load.n || q->options.n || q->match.n || w->module_key || w->module_cert)
		return "--kind firmware and --kind runtime take no kernel and no modules";
	return NULL;
}

static const char *what_is_missing(const struct build_words *w)
{
	const struct build_request *q = &w->req;

	if (!q->name)
		return "--name is missing";
	if (!q->version)
		return "--version is missing";
	if (!w->key)
		return "--key is missing";
	if (!q->output && !w->oci_layout)
		return "--output or --oci-layout is missing";
	if (q->kind != KIND_MODULES)
		return what_a_tree_lacks(w);
	if (q->tree)
		return "--tree belongs to --kind firmware and --kind runtime";
	if (!q->release)
		return "--kernel is missing";
	if ((q->modules_dir != NULL) + (q->source_dir != NULL) + w->from_kernel != 1)
		return "one of --modules PLACE, --source DIR and --from-kernel is needed";
	if (q->kernel_build && !q->source_dir)
		return "--kernel-build belongs to --source";
	if (w->from_kernel && q->from_kernel.n == 0)
		return "--from-kernel needs --module NAME";
	if (!w->from_kernel && (q->from_kernel.n || q->with_deps))
		return "--module and --with-deps belong to --from-kernel";
	if ((w->module_key != NULL) != (w->module_cert != NULL))
		return "--module-key and --module-cert belong together";
	return NULL;
}

/* Words that the format has no place for: said before anything is read. */
static const char *what_is_impossible(const struct build_request *q)
{
	if (!manifest_is_name(q->name))
		return "--name takes 1 to 64 of a-z, 0-9, '-' and '_', a letter or digit first";
	if (*q->flavor && !manifest_is_name(q->flavor))
		return "--flavor takes 1 to 64 of a-z, 0-9, '-' and '_', a letter or digit first";
	if (!manifest_is_version(q->version))
		return "--version takes 1 to 64 letters, digits and '.', '_', '+', '~', '-', a letter or digit first";
	if (q->release && !manifest_is_version(q->release))
		return "--kernel takes 1 to 64 letters, digits and '.', '_', '+', '~', '-', a letter or digit first";
	for (size_t i = 0; i < q->match.n; i++)
		if (q->match.v[i][0] != '!')
			return NULL;
	return q->match.n ? "--match takes '!GLOB' beside a GLOB only: such a bundle would drive no device" : NULL;
}

/* VERSION-REL[-FLAVOR], or with the kind in the kernel's place; what no tag may hold becomes '_', as in oci:// sources. */
static char *image_tag(const struct build_request *q)
{
	char *tag = str_printf("%s-%s%s%s", q->version,
			       q->release ? q->release : manifest_kind_word(q->kind), *q->flavor ? "-" : "", q->flavor);

	for (char *p = tag; p && *p; p++)
		if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", *p))
			*p = '_';
	return tag;
}

/* Builds; with --oci-layout into the layout's directory first, unless there is an output as well. */
static int build_into(struct build_words *w, struct strv *warnings, struct err *err)
{
	_cleanup_free_ char *tag = image_tag(&w->req), *title = str_printf("%s.tar.zst", w->req.name), *own = NULL;
	int r;

	if (!tag || !title)
		return err_sys(err, -ENOMEM, "build");
	r = w->oci_layout ? oci_layout_prepare(w->oci_layout, err) : 0;
	if (r < 0)
		return r;
	if (!w->req.output)
		w->req.output = own = str_printf("%s/.bundle", w->oci_layout);
	if (!w->req.output)
		return err_sys(err, -ENOMEM, "build");
	r = build_bundle(&w->req, warnings, err);
	if (r == 0 && w->oci_layout)
		r = oci_layout_write(w->oci_layout, w->req.output, tag, title, err);
	if (own)
		(void)unlink(own);
	return r;
}

int cmd_build(int argc, char **argv)
{
	_cleanup_(build_words_free) struct build_words w = { .req = { .flavor = "", .strip = getenv("STRIP") } };
	_cleanup_secret_key_ struct secret_key key = { 0 };
	_cleanup_(modsign_freep) struct modsign_key *module_key = NULL;
	_cleanup_strv_ struct strv warnings = { 0 };
	_cleanup_free_ char *default_dir = NULL;
	struct build_request *q = &w.req;
	struct err err;
	int c, r;

	while ((c = getopt_long(argc, argv, "h", build_options, NULL)) != -1) {
		if (c == 'h')
			return cmd_help(build_usage);
		if (c == '?')
			return cmd_usage(argv[0], NULL);
		r = take_option(&w, c);
		if (r == -EINVAL)
			return cmd_usage(argv[0], "--serial takes a whole number");
		if (r < 0) {
			log_error("%s", strerror(-r));
			return EXIT_SYSTEM;
		}
	}
	if (optind < argc)
		return cmd_usage(argv[0], "takes options only");
	if (w.kind && manifest_kind_from_word(w.kind, &q->kind) < 0)
		return cmd_usage(argv[0], "--kind takes modules, firmware or runtime");
	if (what_is_missing(&w))
		return cmd_usage(argv[0], what_is_missing(&w));
	if (what_is_impossible(&w.req))
		return cmd_usage(argv[0], what_is_impossible(&w.req));
	if (creation_time(&q->created) < 0)
		return cmd_usage(argv[0], "SOURCE_DATE_EPOCH is not a number of seconds");
	if (!w.has_serial)
		q->serial = q->created;
	if (!q->strip || !*q->strip)
		q->strip = "strip";
	if (q->release && !q->kernel_dir)
		q->kernel_dir = default_dir = str_printf("/lib/modules/%s", q->release);
	r = secret_key_load(w.key, ask_password, &key, &err);
	if (r < 0)
		return failed(&err);
	q->key = &key;
	if (w.module_key) {
		r = modsign_load(w.module_key, w.module_cert, &module_key, &err);
		if (r < 0)
			return failed(&err);
		q->module_key = module_key;
	}
	r = build_into(&w, &warnings, &err);
	for (size_t i = 0; i < warnings.n; i++)
		log_warning("%s", warnings.v[i]);
	return r < 0 ? failed(&err) : EXIT_DONE;
}

static const struct option sign_options[] = {
	{ "key", required_argument, NULL, 'k' }, { "add", no_argument, NULL, 'a' }, CMD_COMMON_OPTIONS, { 0 }
};

int cmd_sign(int argc, char **argv)
{
	_cleanup_secret_key_ struct secret_key key = { 0 };
	const char *key_path = NULL;
	bool add = false;
	struct err err;
	int c, r;

	while ((c = getopt_long(argc, argv, "h", sign_options, NULL)) != -1) {
		switch (c) {
		case 'k':
			key_path = optarg;
			break;
		case 'a':
			add = true;
			break;
		case 'h':
			return cmd_help(sign_usage);
		default:
			return cmd_usage(argv[0], NULL);
		}
	}
	if (!key_path)
		return cmd_usage(argv[0], "--key is missing");
	if (argc - optind != 1)
		return cmd_usage(argv[0], "takes one bundle");
	r = secret_key_load(key_path, streq(argv[optind], "-") ? ask_terminal : ask_password, &key, &err);
	if (r == 0)
		r = build_sign(argv[optind], &key, add, &err);
	return r < 0 ? failed(&err) : EXIT_DONE;
}

static const struct option keygen_options[] = { { "secret", required_argument, NULL, 's' },
						{ "public", required_argument, NULL, 'p' },
						CMD_COMMON_OPTIONS,
						{ 0 } };

int cmd_keygen(int argc, char **argv)
{
	_cleanup_secret_key_ struct secret_key key = { 0 };
	const char *secret = NULL, *public = NULL;
	char id[TRUST_KEY_ID_HEX];
	struct err err;
	int c, r;

	while ((c = getopt_long(argc, argv, "h", keygen_options, NULL)) != -1) {
		switch (c) {
		case 's':
			secret = optarg;
			break;
		case 'p':
			public = optarg;
			break;
		case 'h':
			return cmd_help(keygen_usage);
		default:
			return cmd_usage(argv[0], NULL);
		}
	}
	if (!secret || !public || optind < argc)
		return cmd_usage(argv[0], "needs --secret FILE and --public FILE");
	r = secret_key_generate(&key, &err);
	if (r == 0)
		r = secret_key_save(&key, secret, public, &err);
	if (r < 0)
		return failed(&err);
	trust_key_id_text(key.id, id);
	printf("key %s: secret half in %s, public half in %s\n", id, secret, public);
	return EXIT_DONE;
}
