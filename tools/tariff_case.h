/*
 * tariff_case - a case of a case file (fares of published policies as tap sequences in JSON) said in the words of
 * a pack: its lines, settings and calendar as an overlay of the pack, its taps as rides of a rider. How their words
 * are said in ours stands in the pack's reading.yaml (docs/tariff.5).
 */
#ifndef TOOLS_TARIFF_CASE_H
#define TOOLS_TARIFF_CASE_H

#include <jansson.h>

#include "tools/tools.h"

#define CASE_PARTS_MAX 8

/* reading.yaml of a pack; doc is NULL when the pack has none: then words mean themselves. */
struct reading { char path[4096]; struct yaml_doc *doc; };
/* 0 good; EXIT_CONFIG with the mistake told. */
int reading_open(const char *pack_dir, struct reading *ret);
void reading_close(struct reading *r);
bool reading_answers(const struct reading *r, const char *pack_dir, const char *policy);	/* does the pack answer to it? */

/* The overlay texts for one tap of a case (settings may stand on the tap); malloc'ed, free with overlay_free. */
struct case_overlay { char *yaml, *lines_csv, *calendar_csv; };
int case_overlay_make(const struct reading *r, const json_t *scenario, const json_t *tap, struct case_overlay *ret);
void case_overlay_free(struct case_overlay *o);

/* The rider and the rides of one tap: one ride, or one for each part of a through ride. On failure the reason. */
const char *case_rider_read(const struct reading *r, const struct tariff *t, const json_t *scenario, const json_t *tap, struct rider *ret);
const char *case_rides_read(const struct reading *r, const json_t *scenario, const json_t *tap, struct ride *ret,
			    size_t *ret_count);

/* Runs a case file against a pack, or against a directory of packs; an exit code. */
int tariff_cases_run(const struct options *o, const char *file, const char *dir);

#endif
