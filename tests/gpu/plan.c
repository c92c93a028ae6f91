// SPDX-License-Identifier: Apache-2.0
/*
 * What the program would make of this machine's NVIDIA GPUs, without making it: the nodes and the specification for
 * container engines, as JSON. Reads /proc, /sys and /dev of the machine, or below another directory.
 *
 * Usage: plan ROOT LIVE [RUNTIME]
 */
#include "cdi.h"
#include "modules.h"
#include "nvidia.h"

/* need not be there */
#define NO_RUNTIME "/var/lib/modulus/runtime/none"

static json_t *nodes_json(const struct node_list *l)
{
	json_t *nodes = json_array();

	for (size_t i = 0; i < l->n; i++)
		json_array_append_new(nodes, json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:b}", "path", l->v[i].path,
						       "major", (int)l->v[i].major_no, "minor",
						       (int)l->v[i].minor_no, "uid", (int)l->v[i].uid, "gid",
						       (int)l->v[i].gid, "mode", (int)l->v[i].mode, "modify",
						       (int)l->v[i].modify));
	return nodes;
}

int main(int argc, char **argv)
{
	_cleanup_host_ struct host h = { .root_fd = -EBADF, .live_fd = -EBADF };
	_cleanup_strv_ struct strv warnings = { 0 };
	_cleanup_nodes_ struct node_list nodes = { 0 };
	char version[LIMIT_NAME_BYTES + 1] = "";
	const struct cdi_driver driver = { .version = version, .runtime = argc > 3 ? argv[3] : NO_RUNTIME,
					   .firmware = FIRMWARE_DIR };
	json_t *spec = NULL, *out, *said = json_array();
	struct err err;
	int r;

	if (argc < 3) {
		fprintf(stderr, "usage: plan ROOT LIVE [RUNTIME]\n");
		return EXIT_USAGE;
	}
	r = host_open(argv[1], argv[2], &h, &err);
	if (r < 0) {
		fprintf(stderr, "%s\n", err.text);
		return EXIT_SYSTEM;
	}
	h.ops = &sysops_refuse; /* "/" too */
	if (read_line_at(h.live_fd, "sys/module/" NVIDIA_MODULE "/version", version, sizeof(version)) < 0)
		version[0] = '\0';
	r = nvidia_plan(&h, &nodes, &warnings);
	if (r == 0)
		r = cdi_spec(&h, &driver, &spec, &warnings);
	if (r < 0 && r != -ENOENT) {
		fprintf(stderr, "%s\n", strerror(-r));
		return EXIT_SYSTEM;
	}
	for (size_t i = 0; i < warnings.n; i++)
		json_array_append_new(said, json_string(warnings.v[i]));
	out = json_pack("{s:s, s:o, s:o?, s:o}", "version", version, "nodes", nodes_json(&nodes), "cdi", spec, "warnings",
			said);
	r = out && json_dumpf(out, stdout, JSON_INDENT(1)) == 0 ? EXIT_DONE : EXIT_SYSTEM;
	json_decref(out);
	return r;
}
