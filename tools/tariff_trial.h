/*
 * tariff_trial - what the files of a trial share: past rides in memory, small and without pointers, so that a million
 * of them are sorted and rated under two packs in seconds. Private to tools/tariff_trial*.c and tools/tariff_taps.c.
 */
#ifndef TOOLS_TARIFF_TRIAL_H
#define TOOLS_TARIFF_TRIAL_H

#include "tools/progress.h"
#include "tools/tariff.h"

/* Texts by number; number 0 is the empty text. */
struct texts { char *bytes; size_t used, space; uint32_t *at; uint32_t count, at_space; uint32_t *slot; uint32_t slot_mask; };
int texts_add(struct texts *t, const char *text, uint32_t *ret_number);	/* the number of an equal one, or a new one */
const char *texts_get(const struct texts *t, uint32_t number);
void texts_free(struct texts *t);

/* A rider as the file tells: hold[i].group is the number of a text, for each pack knows its own codes. */
struct trial_tap {
	int64_t time_ms, in_ms, out_ms, person;
	uint32_t line, vehicle, product, operator;	/* texts; a store gives operator_id instead */
	uint32_t rider, issuer, card, operator_id, distance_m, far_m, order;
	int32_t list_fen, known_day, stored_fen;	/* stored: what the day was cleared with, -1 none */
	uint16_t stop_on, stop_off, stops, zones, subtype;
	uint8_t event, medium, class, inside, has_issuer, pan[10];
};
struct trial_sum { uint64_t rides; int64_t off, paid, subsidy, absorbed; };
enum trial_kind { TRIAL_RULE, TRIAL_GROUP, TRIAL_TREASURY, TRIAL_OPERATOR, TRIAL_KIND_COUNT };
struct trial_line { const char *name, *title; struct trial_sum side[2]; };
struct trial_table { struct trial_line *line; size_t count; };
struct trial {
	struct texts texts;
	struct rider *rider; uint32_t rider_count, rider_space; uint32_t *rider_slot; uint32_t rider_slot_mask;
	struct trial_tap *tap; size_t count, space;
	/* from a store: the snapshot, what was in force, states before the first day */
	struct txn txn; bool from_store; struct refdata *ref; int32_t first_day; uint64_t cut_seq;
	int64_t shift_ms;
	FILE *list;
	struct progress progress;	/* read, then rated */
	/* what came of it */
	struct trial_table table[TRIAL_KIND_COUNT];
	struct trial_sum all[2]; uint64_t refused[2];
	uint64_t riders, riders_touched, rides_touched, riders_more, riders_less, early;	/* early: before the draft is valid */
	int64_t fen_more, fen_less;
	uint64_t unlike;		/* live fares that differ from what the store has */
};
int trial_add(struct trial *t, const struct trial_tap *tap);
int trial_rider(struct trial *t, const struct rider *r, uint32_t *ret);	/* number of an equal one, or a new one */

#endif
