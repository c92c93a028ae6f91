/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.h - the report for Prometheus: what node_exporter's textfile collector reads, in its text format 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/). modulus(1) lists the metrics.
 */
#ifndef MODULUS_METRICS_H
#define MODULUS_METRICS_H

#include "report.h"

#define METRICS_NAME "metrics.prom"

/*
 * The text of status.json. misses: for each driver of it the attempts that brought the machine down; NULL: not
 * known. Pure. Caller frees; NULL: no memory.
 */
char *metrics_text(const json_t *status, const unsigned int *misses);

/* Replaces the file beside status.json. -ENOMEM, -errno. */
int metrics_write(const struct host *h, int dir, const json_t *status) _must_check_;

#endif
