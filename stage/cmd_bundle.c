// SPDX-License-Identifier: Apache-2.0
/*
 * cmd_bundle.c - looking at bundles by hand: verify, inspect, unpack. A bundle is a file, or
 * standard input when it is called "-".
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>

#include "cmd.h"
#include "host.h"
#include "log.h"
#include "unpack.h"

static const char verify_usage[] =
	"usage: modulus verify [--keys DIR | --root DIR] FILE...\n\n"
	"Reads each bundle to its end and checks signature, manifest, every chunk and every file.\n\n"
	"  --keys DIR  public keys, *.pub in minisign's format; without it the keys of this machine,\n"
	"              in /etc/modulus/keys and /usr/lib/modulus/keys\n"
	"  --root DIR  where that /etc and /usr are (default /)\n"
	"  --help      this text\n\n"
	"FILE may be \"-\". exit: 0 all good, 4 one is not, 1 one could not be read\n";

static const char inspect_usage[] =
	"usage: modulus inspect [--json] FILE\n\n"
	"Shows a bundle's manifest and who claims to have signed it. Verifies nothing.\n\n"
	"  --json      the manifest's own bytes\n"
	"  --help      this text\n\n"
	"FILE may be \"-\".\n";

static const char unpack_usage[] =
	"usage: modulus unpack [--keys DIR | --root DIR] FILE TARGET\n\n"
	"Verifies a bundle and writes its files and links below TARGET, which is made when it is\n"
	"not there. Nothing is overwritten. When it fails or is interrupted, everything that it made\n"
	"is removed, and nothing else.\n\n"
	"  --keys DIR  public keys, *.pub in minisign's format; without it the keys of this machine,\n"
	"              in /etc/modulus/keys and /usr/lib/modulus/keys\n"
	"  --root DIR  where that /etc and /usr are (default /)\n"
	"  --help      this text\n\n"
	"FILE may be \"-\".\n";

/* --live-root moves /proc, /sys, /dev and /run: for tests, and therefore not in the usage. */
static const struct option options[] = { { "keys", required_argument, NULL, 'k' },
					 { "root", required_argument, NULL, 'r' },
					 { "live-root", required_argument, NULL, 'L' },
					 { "json", no_argument, NULL, 'j' },
					 CMD_COMMON_OPTIONS,
					 { 0 } };

struct bundle_options {
	const char *keys, *root, *live;
	bool json;
};

/* -1: go on; otherwise the exit code. */
static int parse(int argc, char **argv, const char *usage, bool wants_keys, struct bundle_options *ret)
{
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (!wants_keys && strchr("krL", c))
			return cmd_usage(argv[0], "--keys and --root are for verify and unpack");
		switch (c) {
		case 'k':
			ret->keys = optarg;
			break;
		case 'r':
			ret->root = optarg;
			break;
		case 'L':
			ret->live = optarg;
			break;
		case 'j':
			if (wants_keys)
				return cmd_usage(argv[0], "--json is for inspect");
			ret->json = true;
			break;
		case 'h':
			return cmd_help(usage);
		default:
			return cmd_usage(argv[0], NULL);
		}
	}
	if (ret->keys && ret->root)
		return cmd_usage(argv[0], "--keys and --root: one of them says where the keys are");
	return -1;
}

/* stop_fd: what can interrupt the reading, -EBADF: nothing. */
static int open_file(const char *path, int stop_fd, struct reader **ret, struct err *err)
{
	int fd = streq(path, "-") ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC), r;

	if (fd < 0)
		return err_sys(err, -errno, "%s", path);
	r = reader_new_fd_until(fd, stop_fd, ret);
	return r < 0 ? err_sys(err, r, "%s", path) : 0;
}

static int open_bundle(const char *path, int stop_fd, const struct keyring *ring, struct bundle **ret, struct err *err)
{
	struct reader *reader;
	int r = open_file(path, stop_fd, &reader, err);

	if (r < 0)
		return r;
	r = bundle_open(reader, ring, ret, err);
	return r < 0 ? err_prefix(err, "%s", path) : 0;
}

/* The keys of one directory, or those with which this machine's own boots verify. */
static int load_keys(const struct bundle_options *o, struct keyring *ring)
{
	_cleanup_host_ struct host h = { .root_fd = -EBADF, .live_fd = -EBADF };
	struct err err;
	int r = o->keys ? keyring_load_dir(o->keys, ring, &err) : host_open(o->root, o->live, &h, &err);

	if (r == 0 && !o->keys)
		r = keyring_load(&h, false, ring, &err);
	if (r < 0) {
		log_error("%s", err.text);
		return r;
	}
	for (size_t i = 0; i < ring->warnings.n; i++)
		log_warning("%s", ring->warnings.v[i]);
	return 0;
}

static int failed(const struct err *err)
{
	if (err->code <= -E_BASE_)
		log_error("%s: %s", reason_word(err->code), err->text);
	else
		log_error("%s", err->text);
	return reason_exit(err->code);
}

/* --- verify --- */

static int verify_one(const char *path, const struct keyring *ring)
{
	_cleanup_bundle_ struct bundle *b = NULL;
	const struct manifest *m;
	struct err err;
	int r = open_bundle(path, -EBADF, ring, &b, &err);

	if (r < 0)
		return failed(&err);
	r = unpack_bundle(b, NULL, &err);
	if (r < 0) {
		(void)err_prefix(&err, "%s", path);
		return failed(&err);
	}
	m = bundle_manifest(b);
	printf("%s: good: %s of %s %s, serial %llu, sha256 %s, signed by key %s\n", path, manifest_kind_word(m->kind),
	       m->name, m->version, (unsigned long long)m->serial, m->digest, m->key_id);
	return EXIT_DONE;
}

int cmd_verify(int argc, char **argv)
{
	_cleanup_keyring_ struct keyring ring = { 0 };
	struct bundle_options o = { 0 };
	int r = parse(argc, argv, verify_usage, true, &o), worst = EXIT_DONE;

	if (r >= 0)
		return r;
	if (optind == argc)
		return cmd_usage(argv[0], "no bundle is named");
	if (load_keys(&o, &ring) < 0)
		return EXIT_SYSTEM;
	for (; optind < argc; optind++) {
		r = verify_one(argv[optind], &ring);
		if (r > worst)
			worst = r;
	}
	return worst;
}

/* --- inspect --- */

static void print_words(const char *label, const struct strv *words)
{
	if (words->n == 0)
		return;
	printf("%-10s", label);
	for (size_t i = 0; i < words->n; i++)
		printf("%s%s", i ? " " : "", words->v[i]);
	printf("\n");
}

static void print_signers(const struct bundle *b)
{
	char id[TRUST_KEY_ID_HEX], comment[200];
	struct signature s;
	size_t len;
	const char *text = bundle_signatures(b, &len);

	while (trust_next_signature(&text, &len, &s) > 0) {
		trust_key_id_text(s.key_id, id);
		escape_text(s.trusted_comment, s.trusted_comment_len, comment, sizeof(comment));
		printf("%-10skey %s, %s (not verified here)\n", "signature", id, comment);
	}
}

static void print_manifest(const struct bundle *b)
{
	const struct manifest *m = bundle_manifest(b);
	time_t created = (time_t)m->created;
	char when[32] = "?";
	uint64_t stored = 0;
	struct tm tm;

	if (gmtime_r(&created, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", &tm);
	for (size_t i = 0; i < m->n_chunks; i++)
		stored += m->chunks[i].stored;
	printf("%-10s%s of %s %s%s%s\n", "bundle", manifest_kind_word(m->kind), m->name, m->version,
	       *m->flavor ? ", flavor " : "", m->flavor);
	printf("%-10s%s\n", "sha256", m->digest);
	printf("%-10s%llu, created %s\n", "serial", (unsigned long long)m->serial, when);
	if (m->kind == KIND_MODULES)
		printf("%-10s%s %s, build-id %s\n%-10s%s\n", "kernel", m->kernel.release, m->kernel.machine,
		       m->kernel.build_id ? m->kernel.build_id : "not known", "vermagic", m->kernel.vermagic);
	print_words("load", &m->load);
	print_words("match", &m->match);
	for (size_t i = 0; i < m->options.n; i++)
		printf("%-10s%s\n", "option", m->options.v[i]);
	if (m->requires)
		printf("%-10s%s\n", "requires", m->requires);
	print_signers(b);
	printf("%-10s%zu chunks, %llu bytes stored, %llu unpacked\n", "payload", m->n_chunks,
	       (unsigned long long)stored, (unsigned long long)m->unpacked);
	for (size_t i = 0; i < m->n_files; i++)
		printf("%-10s%04o %10llu %s\n", "file", m->files[i].mode, (unsigned long long)m->files[i].size,
		       m->files[i].path);
	for (size_t i = 0; i < m->n_links; i++)
		printf("%-10s%s -> %s\n", "link", m->links[i].path, m->links[i].target);
}

static void print_manifest_bytes(const struct bundle *b)
{
	size_t header, signatures;
	const char *bytes = bundle_header(b, &header);

	(void)bundle_signatures(b, &signatures);
	fwrite(bytes + BUNDLE_FRAME_HEADER_BYTES, 1, header - signatures - (size_t)2 * BUNDLE_FRAME_HEADER_BYTES, stdout);
}

int cmd_inspect(int argc, char **argv)
{
	_cleanup_bundle_ struct bundle *b = NULL;
	struct bundle_options o = { 0 };
	struct err err;
	int r = parse(argc, argv, inspect_usage, false, &o);

	if (r >= 0)
		return r;
	if (argc - optind != 1)
		return cmd_usage(argv[0], "takes one bundle");
	r = open_bundle(argv[optind], -EBADF, NULL, &b, &err);
	if (r < 0)
		return failed(&err);
	if (o.json)
		print_manifest_bytes(b);
	else
		print_manifest(b);
	return EXIT_DONE;
}

/* --- unpack --- */

/*
 * What would end the program waits from here on, and can be read from *ret_fd: the unpacking then
 * fails, removes what it made, and the signal gets its way when the old mask is back.
 */
static int hold_signals(sigset_t *ret_old, int *ret_fd)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	*ret_fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (*ret_fd < 0 || sigprocmask(SIG_BLOCK, &set, ret_old) < 0)
		return -errno;
	return 0;
}

/* The target is made when it is not there, and then goes again when nothing comes of it. */
static int unpack_one(const char *path, const char *target, int stop_fd, const struct keyring *ring, struct err *err)
{
	_cleanup_bundle_ struct bundle *b = NULL;
	_cleanup_close_ int dir = -EBADF;
	bool made;
	int r = open_bundle(path, stop_fd, ring, &b, err);

	if (r < 0)
		return r;
	made = mkdir(target, 0755) == 0;
	if (!made && errno != EEXIST)
		return err_sys(err, -errno, "%s", target);
	dir = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(err, -errno, "%s", target);
	r = unpack_to_dir(b, dir, err);
	if (r < 0 && made)
		(void)rmdir(target);
	return r < 0 ? err_prefix(err, "%s", path) : 0;
}

int cmd_unpack(int argc, char **argv)
{
	_cleanup_keyring_ struct keyring ring = { 0 };
	_cleanup_close_ int stop = -EBADF;
	struct bundle_options o = { 0 };
	struct err err;
	sigset_t old;
	int r = parse(argc, argv, unpack_usage, true, &o);

	if (r >= 0)
		return r;
	if (argc - optind != 2)
		return cmd_usage(argv[0], "takes a bundle and a directory");
	if (load_keys(&o, &ring) < 0)
		return EXIT_SYSTEM;
	r = hold_signals(&old, &stop);
	if (r < 0) {
		log_error("signals: %s", strerror(-r));
		return EXIT_SYSTEM;
	}
	r = unpack_one(argv[optind], argv[optind + 1], stop, &ring, &err);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	return r < 0 ? failed(&err) : EXIT_DONE;
}
