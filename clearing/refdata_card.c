/*
 * refdata_card - what happened to cards, as their issuer reports it: rows of a card number, kept under the position of
 * the event that brought them and never replaced. A day is judged with the rows up to its cut, a tap with those up to its
 * time; a mistake is put right by a later row of the same time (lost, then found at the same moment).
 */
#include "clearing/refdata.h"

#include <stdlib.h>
#include <string.h>

enum { C_PAN, C_STATE, C_AT, C_VALID_TO, C_COUNTER, C_COUNT };
static const char *const columns[C_COUNT] = { "pan", "state", "at", "valid_to", "counter" };
#define KEY_SIZE 22
#define ROW_SIZE 20

/* ---- rows in the store ---------------------------------------------------------------------------- */

static void change_key(const uint8_t pan[10], uint64_t seq, uint32_t row, uint8_t ret[KEY_SIZE])
{
	memcpy(ret, pan, 10);
	be64_put(ret + 10, seq);
	be32_put(ret + 18, row);
}

static void row_put(struct txn *t, const uint8_t key[KEY_SIZE], const struct card_event *e)
{
	uint8_t val[ROW_SIZE];

	be64_put(val, (uint64_t)e->at_ms);
	val[8] = (uint8_t)e->change;
	val[9] = e->counted;
	be16_put(val + 10, e->counter);
	be64_put(val + 12, (uint64_t)e->valid_to_ms);
	txn_put(t, DB_CARD, key, KEY_SIZE, val, sizeof(val));
}

static bool row_decode(const struct iter *it, struct card_change_row *ret)
{
	if (it->key_bytes != KEY_SIZE || it->val_bytes != ROW_SIZE || it->val[8] == 0 || it->val[8] > CARD_PROLONGED)
		return false;
	*ret = (struct card_change_row){ .seq = be64_get(it->key + 10),
					 .event = { .at_ms = (int64_t)be64_get(it->val), .change = (enum card_change)it->val[8], .counted = it->val[9] != 0,
						    .counter = be16_get(it->val + 10), .valid_to_ms = (int64_t)be64_get(it->val + 12) } };
	return true;
}

/* Rows come by position; what counts is their time, and position only among equals. */
size_t card_changes(struct txn *t, const uint8_t pan[10], uint64_t seq, struct card_change_row ret_row[CARD_CHANGES_MAX])
{
	struct iter it;
	size_t n = 0;

	iter_open(t, DB_CARD, pan, 10, &it);
	while (n < CARD_CHANGES_MAX && iter_next(&it)) {
		struct card_change_row row;
		size_t at = n;

		if (!row_decode(&it, &row)) {
			t->error = CLEARING_E_STORE;
			break;
		}
		if (row.seq > seq)
			break;
		for (; at > 0 && ret_row[at - 1].event.at_ms > row.event.at_ms; at--)
			ret_row[at] = ret_row[at - 1];
		ret_row[at] = row;
		n++;
	}
	iter_close(&it);
	return n;
}

bool card_life_at(struct txn *t, const uint8_t pan[10], uint64_t seq, int64_t at_ms, struct card_life *ret_life)
{
	struct card_change_row row[CARD_CHANGES_MAX];
	size_t n = card_changes(t, pan, seq, row);

	*ret_life = (struct card_life){ .valid_to_ms = INT64_MAX };
	for (size_t i = 0; i < n && row[i].event.at_ms <= at_ms; i++)
		card_life_step(ret_life, &row[i].event);
	return ret_life->last != 0;
}

/* ---- the file ------------------------------------------------------------------------------------------ */

static bool moment(const char *text, bool end, int64_t *ret_ms)
{
	int32_t day;

	if (!day_parse(text, &day))
		return time_parse(text, ret_ms);
	*ret_ms = ((int64_t)day + end) * 86400000 - CIVIL_OFFSET_MS;
	return true;
}

static int counter_read(const struct ref_reading *r, struct card_event *e)
{
	const char *text = ref_cell(r, C_COUNTER);
	char *end;
	unsigned long v;

	if (text[0] == '\0')
		return 0;
	v = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || v > UINT16_MAX)
		return ref_refuse(r, C_COUNTER, "the new card's first counter, 0 to 65535, is needed");
	if (e->change != CARD_REPLACED)
		return ref_refuse(r, C_COUNTER, "only replaced has a counter");
	e->counted = true;
	e->counter = (uint16_t)v;
	return 0;
}

static int card_read(const struct ref_reading *r, uint8_t ret_pan[10], struct card_event *ret)
{
	struct card_event e = { .valid_to_ms = INT64_MAX };

	if (!pan_parse(ref_cell(r, C_PAN), ret_pan))
		return ref_refuse_unquoted(r, C_PAN, "a card number of at most 20 digits is needed");
	for (e.change = CARD_ISSUED; e.change <= CARD_PROLONGED && strcmp(ref_cell(r, C_STATE), card_change_name(e.change)) != 0;)
		e.change++;
	if (e.change > CARD_PROLONGED)
		return ref_refuse(r, C_STATE, "issued, lost, found, replaced, refunded, expired or prolonged is needed");
	if (!moment(ref_cell(r, C_AT), false, &e.at_ms))
		return ref_refuse(r, C_AT, "a date or a time is needed");
	if (ref_cell(r, C_VALID_TO)[0] != '\0' && !moment(ref_cell(r, C_VALID_TO), true, &e.valid_to_ms))
		return ref_refuse(r, C_VALID_TO, "the last day it is good, or a time, is needed");
	if (e.valid_to_ms != INT64_MAX && (e.valid_to_ms <= e.at_ms || (e.change != CARD_ISSUED && e.change != CARD_REPLACED && e.change != CARD_PROLONGED)))
		return ref_refuse(r, C_VALID_TO, "after at, for issued, replaced and prolonged only");
	if (e.valid_to_ms == INT64_MAX && e.change == CARD_PROLONGED)
		return ref_refuse(r, C_VALID_TO, "prolonged to which day?");
	*ret = e;
	return counter_read(r, ret);
}

/* Too many for one card would have to be cut off silently when it is judged. */
static int room_check(struct txn *t, const struct ref_reading *r, const uint8_t pan[10])
{
	struct iter it;
	size_t n = 0;

	iter_open(t, DB_CARD, pan, 10, &it);
	while (iter_next(&it))
		n++;
	iter_close(&it);
	return n < CARD_CHANGES_MAX ? 0 : ref_refuse_unquoted(r, C_PAN, "more than 64 changes of one card");
}

int cards_apply(struct txn *t, uint64_t seq, const void *p, size_t n, char *error, size_t error_bytes)
{
	uint8_t pan[10], key[KEY_SIZE];
	struct card_event e = { 0 };
	struct ref_reading r;
	uint32_t row = 0;
	int ret = ref_open(&r, "cards.csv", p, n, columns, C_COUNT, error, error_bytes);

	if (ret != 0)
		return ret;
	while ((ret = ref_next(&r)) == 1 && (ret = card_read(&r, pan, &e)) == 0) {
		if (t == NULL)
			continue;
		ret = room_check(t, &r, pan);
		if (ret != 0)
			break;
		change_key(pan, seq, row++, key);
		row_put(t, key, &e);
	}
	csv_close(r.csv);
	return ret != 0 || t == NULL ? ret : t->error;
}
