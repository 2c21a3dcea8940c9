/* tariff_gtfs - what the two files of the GTFS export share. Private to tools/tariff_gtfs*.c. */
#ifndef TOOLS_TARIFF_GTFS_H
#define TOOLS_TARIFF_GTFS_H

#include "tools/tariff.h"

enum gtfs_file { GTFS_AGENCY, GTFS_ROUTES, GTFS_NETWORKS, GTFS_ROUTE_NETWORKS, GTFS_AREAS, GTFS_CALENDAR_DATES, GTFS_TIMEFRAMES, GTFS_CATEGORIES, GTFS_MEDIA,
	GTFS_PRODUCTS, GTFS_LEG_RULES, GTFS_TRANSFER_RULES, GTFS_NOT_CARRIED, GTFS_FILE_COUNT };
struct gtfs_network { char id[96]; const char *unfit; };	/* unfit: why its lines are not exported */
struct gtfs {
	const struct tariff *t;
	int32_t first;
	struct book book;
	FILE *file[GTFS_FILE_COUNT];
	struct gtfs_network *network;				/* one for each family of the book */
	bool apart[BOOK_MEDIA][BOOK_GUESTS];			/* media written: cards of other places only where they differ */
	bool day_met[BOOK_DAYS_MAX];				/* kinds of days that come within the exported year */
	uint8_t *frame; size_t frames;				/* day x slot, one byte each */
};
/* A row of texts, quoted where needed. */
void gtfs_row(struct gtfs *g, enum gtfs_file file, size_t fields, ...);
void gtfs_not_carried(struct gtfs *g, const char *id, const char *reason);
const char *gtfs_category(const struct gtfs *g, size_t group);
const char *gtfs_medium(size_t medium, size_t guest, char ret[24]);
int64_t gtfs_noon(const struct gtfs *g, int32_t day);
int gtfs_transfers_write(struct gtfs *g);			/* tariff_gtfs_transfer.c */

#endif
