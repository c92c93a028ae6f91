// SPDX-License-Identifier: Apache-2.0
/*
 * main.c - the table of commands. What a command does is in its own file; what it may return is
 * in err.h.
 */
#include <jansson.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "cmd.h"
#include "log.h"

#ifndef BUILDER
#error "BUILDER must be 1 (all commands) or 0 (without build, sign, keygen)"
#endif

#ifndef MODULUS_VERSION
#error "MODULUS_VERSION comes from the Makefile"
#endif

static const struct {
	const char *name, *what;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "boot", "bring up the drivers that this machine's devices ask for (initramfs)", cmd_boot },
	{ "finish", "the second half, early in the real root: late devices, labels", cmd_finish },
	{ "bless", "this boot was good: remember what it loaded", cmd_bless },
	{ "load", "a driver or a module of its bundle, by hand", cmd_load },
	{ "unload", "a driver's modules out of the kernel, by hand", cmd_unload },
	{ "check", "would a kernel get its drivers, the running one or the next?", cmd_check },
	{ "fetch", "bring bundles into the cache", cmd_fetch },
	{ "rebuild", "make the cache anew: fetch or compile again, verify all of it", cmd_rebuild },
	{ "cache", "look at it, check it, tidy it, bring bundles in", cmd_cache },
	{ "uninstall", "everything of a driver, or of all, away from this host again", cmd_uninstall },
	{ "network", "links up or down (initramfs)", cmd_network },
	{ "status", "what happened at this boot, and why", cmd_status },
	{ "verify", "check bundles against public keys, completely", cmd_verify },
	{ "inspect", "show what a bundle says of itself", cmd_inspect },
	{ "unpack", "verify a bundle and write its files into a directory", cmd_unpack },
#if BUILDER
	{ "build", "make a signed bundle from kernel modules", cmd_build },
	{ "sign", "sign a bundle again, or add a signature", cmd_sign },
	{ "keygen", "make a key pair", cmd_keygen },
#endif
};

static int help(void)
{
	printf("usage: modulus COMMAND [OPTION]...\n\n"
	       "GPU drivers before the first unit of the real root starts.\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %-10s%s\n", commands[i].name, commands[i].what);
	printf("\n\"modulus COMMAND --help\" has the options of a command; modulus(1) is the manual.\n");
	return EXIT_DONE;
}

int cmd_help(const char *usage)
{
	fputs(usage, stdout);
	return EXIT_DONE;
}

int cmd_usage(const char *command, const char *why)
{
	if (why)
		log_error("%s: %s", command, why);
	fprintf(stderr, "Try \"modulus %s --help\".\n", command);
	return EXIT_USAGE;
}

int cmd_names_and_host(char **argv, int from, int to, struct strv *ret_names, const char *root, const char *live,
		       struct host *ret)
{
	struct err err;
	int r = 0;

	for (; r == 0 && from < to; from++)
		r = strv_add(ret_names, argv[from]);
	r = r < 0 ? err_sys(&err, r, "%s", argv[0]) : host_open(root, live, ret, &err);
	if (r == 0)
		return EXIT_DONE;
	log_error("%s", err.text);
	return reason_exit(r);
}

static int version(void)
{
	printf("modulus %s\n%s\n", MODULUS_VERSION, OpenSSL_version(OPENSSL_VERSION));
	return EXIT_DONE;
}

static int run(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: modulus COMMAND [OPTION]...; \"modulus --help\" lists the commands\n");
		return EXIT_USAGE;
	}
	if (streq(argv[1], "--help") || streq(argv[1], "-h") || streq(argv[1], "help"))
		return help();
	if (streq(argv[1], "--version"))
		return version();
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (streq(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	log_error("%s: no such command; \"modulus --help\" lists them", argv[1]);
	return EXIT_USAGE;
}

/* Words that did not arrive are a failure, those too that were written long before the end. */
static int flush_output(int exit_code)
{
	bool lost = ferror(stdout);

	if (fflush(stdout) != 0)
		log_error("standard output: %s", strerror(errno));
	else if (lost)
		log_error("standard output: not all of it could be written");
	else
		return exit_code;
	return exit_code == EXIT_DONE ? EXIT_SYSTEM : exit_code;
}

int main(int argc, char **argv)
{
	const void *random = (const void *)(uintptr_t)getauxval(AT_RANDOM);
	size_t seed;

	log_init(false);
	(void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 }); /* a core file would hold secret keys and passwords */
	umask(022);
	signal(SIGPIPE, SIG_IGN);
	/*
	 * jansson would seed its hash from /dev/urandom, and early in a boot that read makes this
	 * process gather the kernel's entropy: a second of CPU time where there is no RDRAND. The
	 * kernel gave every process 16 random bytes at its start (getauxval(3), AT_RANDOM).
	 */
	memcpy(&seed, random, sizeof(seed));
	json_object_seed(seed ? seed : 1);
	/* no openssl.cnf: what we accept does not depend on a file that we did not verify */
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL);
	return flush_output(run(argc, argv));
}
