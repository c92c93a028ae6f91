// SPDX-License-Identifier: Apache-2.0
/*
 * cmd_uninstall.c - options of the command that takes everything away again.
 */
#include "cmd.h"
#include "log.h"
#include "manifest.h"
#include "uninstall.h"

static const char uninstall_usage[] =
	"usage: modulus uninstall [--dry-run] [NAME...]\n\n"
	"Removes what is on this host of the named drivers: instances of modulus@.service, their files in\n"
	"/etc/modulus, links, libraries, bundles in the cache and what is remembered of them. Without a\n"
	"name all of them, and units, keys and whatever else of Modulus is in /etc and /var. Each path is\n"
	"said. What is in /usr stays, and so does a driver that is loaded, until the next boot.\n\n"
	"  --dry-run   says what would be removed\n"
	"  --root DIR  where /etc, /usr and /var are (default /)\n"
	"  --help      this text\n\n"
	"exit: 0 done, also when nothing was left to do; 1 something could not be removed\n";

static const struct option options[] = { { "dry-run", no_argument, NULL, 'n' },
					 { "root", required_argument, NULL, 'r' },
					 { "live-root", required_argument, NULL, 'L' },
					 CMD_COMMON_OPTIONS,
					 { 0 } };

int cmd_uninstall(int argc, char **argv)
{
	_cleanup_host_ struct host h = { .root_fd = -EBADF, .live_fd = -EBADF };
	_cleanup_strv_ struct strv names = { 0 };
	struct uninstall_request req = { .host = &h, .names = &names };
	const char *root = NULL, *live = NULL;
	int c, code;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'n':
			req.dry_run = true;
			break;
		case 'r':
			root = optarg;
			break;
		case 'L':
			live = optarg;
			break;
		case 'h':
			return cmd_help(uninstall_usage);
		default:
			return cmd_usage(argv[0], NULL);
		}
	}
	/* a name becomes part of paths that are removed */
	for (int i = optind; i < argc; i++)
		if (!manifest_is_name(argv[i]))
			return cmd_usage(argv[0], "what a driver cannot be called is none of ours");
	code = cmd_names_and_host(argv, optind, argc, &names, root, live, &h);
	return code != EXIT_DONE ? code : uninstall_run(&req);
}
