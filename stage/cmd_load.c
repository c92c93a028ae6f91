// SPDX-License-Identifier: Apache-2.0
/*
 * cmd_load.c - options of the two commands that load and unload by hand.
 */
#include "byhand.h"
#include "cmd.h"
#include "limit.h"
#include "log.h"

static const char load_usage[] =
	"usage: modulus load [--module] [--quiet] NAME... [-- PARAMETER...]\n\n"
	"Loads a driver, or one module of a driver's bundle, on a running host: found, verified and\n"
	"judged as at boot. modprobe and udev call this for modules that only a bundle has.\n\n"
	"  --module    every NAME is a module's, also where a driver has that name\n"
	"  --quiet     say nothing of what went well\n"
	"  --root DIR  where /etc, /usr and /var are (default /)\n"
	"  --help      this text\n\n"
	"A PARAMETER, KEY=VALUE, is for the one module.\n\n"
	"exit: as boot; 0 too for what is live already\n";

static const char unload_usage[] =
	"usage: modulus unload [--module] [--quiet] NAME...\n\n"
	"Takes a driver's modules out of the kernel, last ones first, or one module of a bundle. What\n"
	"is in use stays, and nothing of the driver is removed then.\n\n"
	"  --module    every NAME is a module's, also where a driver has that name\n"
	"  --quiet     say nothing of what went well\n"
	"  --root DIR  where /etc, /usr and /var are (default /)\n"
	"  --help      this text\n\n"
	"exit: 0 done, 1 in use, not loaded, or refused by the kernel, 5 it did not come out\n";

static const struct option options[] = { { "module", no_argument, NULL, 'm' },
					 { "quiet", no_argument, NULL, 'q' },
					 { "root", required_argument, NULL, 'r' },
					 { "live-root", required_argument, NULL, 'L' },
					 CMD_COMMON_OPTIONS,
					 { 0 } };

/* Words of a shell -> the kernel's form: what has blanks gets its quotes back (kernel/params.c, next_arg). */
static int join_parameters(char **words, int n, char **ret)
{
	_cleanup_free_ char *text = strdup("");

	for (int i = 0; text && i < n; i++) {
		const char *equals = strchr(words[i], '='), *quote = strpbrk(words[i], " \t\n") ? "\"" : "";
		int key = equals ? (int)(equals - words[i]) + 1 : (int)strlen(words[i]);
		char *more = str_printf("%s%s%.*s%s%s%s", text, *text ? " " : "", key, words[i], equals ? quote : "",
					equals ? equals + 1 : "", equals ? quote : "");

		free(text);
		text = more;
	}
	if (!text)
		return -ENOMEM;
	*ret = *text ? TAKE_PTR(text) : NULL;
	return 0;
}

static int run(int argc, char **argv, const char *usage, int (*fn)(const struct byhand_request *req))
{
	_cleanup_host_ struct host h = { .root_fd = -EBADF, .live_fd = -EBADF };
	_cleanup_strv_ struct strv names = { 0 };
	_cleanup_free_ char *parameters = NULL;
	struct byhand_request req = { .host = &h, .names = &names };
	const char *root = NULL, *live = NULL;
	int c, end = argc, code;

	/* getopt would take the words behind "--" for names */
	for (int i = 1; i < argc && end == argc; i++)
		if (streq(argv[i], "--"))
			end = i;
	while ((c = getopt_long(end, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'm':
			req.modules = true;
			break;
		case 'q':
			req.quiet = true;
			break;
		case 'r':
			root = optarg;
			break;
		case 'L':
			live = optarg;
			break;
		case 'h':
			return cmd_help(usage);
		default:
			return cmd_usage(argv[0], NULL);
		}
	}
	if (optind == end)
		return cmd_usage(argv[0], "which driver or module?");
	if (end + 1 < argc && (end - optind > 1 || fn != byhand_load_run))
		return cmd_usage(argv[0], "parameters are for one module that is loaded");
	if (join_parameters(argv + end + 1, end < argc ? argc - end - 1 : 0, &parameters) < 0) {
		log_error("%s: %s", argv[0], strerror(ENOMEM));
		return EXIT_SYSTEM;
	}
	req.parameters = parameters;
	code = cmd_names_and_host(argv, optind, end, &names, root, live, &h);
	return code != EXIT_DONE ? code : fn(&req);
}

int cmd_load(int argc, char **argv)
{
	return run(argc, argv, load_usage, byhand_load_run);
}

int cmd_unload(int argc, char **argv)
{
	return run(argc, argv, unload_usage, byhand_unload_run);
}
