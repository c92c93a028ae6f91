/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd.h - the commands. Each parses its own options (argv[0] is the command's name), prints its
 * own errors and returns the exit code.
 */
#ifndef MODULUS_CMD_H
#define MODULUS_CMD_H

#include <getopt.h>

#include "host.h"

int cmd_boot(int argc, char **argv);
int cmd_finish(int argc, char **argv);
int cmd_bless(int argc, char **argv);
int cmd_load(int argc, char **argv);
int cmd_unload(int argc, char **argv);
int cmd_uninstall(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_fetch(int argc, char **argv);
int cmd_rebuild(int argc, char **argv);
int cmd_cache(int argc, char **argv);
int cmd_network(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_unpack(int argc, char **argv);
int cmd_build(int argc, char **argv);
int cmd_sign(int argc, char **argv);
int cmd_keygen(int argc, char **argv);

/* Prints a usage text to stdout; EXIT_DONE. For --help. */
int cmd_help(const char *usage);
/* Says that the words were wrong and where help is; EXIT_USAGE. getopt has named the option. */
int cmd_usage(const char *command, const char *why);

/*
 * What is left of the words are names: from `from` on, before `to`; then the roots, of which both may be NULL. EXIT_DONE,
 * or the exit code of what was said.
 */
int cmd_names_and_host(char **argv, int from, int to, struct strv *ret_names, const char *root, const char *live,
		       struct host *ret);

/* Every command has these two. */
#define CMD_COMMON_OPTIONS { "help", no_argument, NULL, 'h' }

#endif
