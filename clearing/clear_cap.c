/*
 * clear_cap - how much a device may bring that no key has proven. Its records are taken in the order of their time, each
 * is added to the day's sum, and once the sum is above the cap they are set aside: the day's verdict depends on what was
 * brought, not on when it arrived. A person looks at what is set aside and releases it, or does not.
 */
#include "clearing/clear.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/unproven.h"

static int cap_compare(const void *pa, const void *pb)
{
	const struct work *a = *(struct work *const *)pa, *b = *(struct work *const *)pb;
	int order = strncmp(a->from->device, b->from->device, DEVICE_BYTES_MAX + 1);

	if (order == 0 && work_time(a) != work_time(b))
		order = work_time(a) < work_time(b) ? -1 : 1;
	return order != 0 ? order : memcmp(a->key, b->key, TAP_KEY_BYTES);
}

static int64_t value_of(const struct job *j, const struct work *w)
{
	const struct terminal_row *terminal;
	uint8_t room[THIN_RECORD_ROOM];
	struct tap tap;

	if (!work_tap(w, room, &tap))
		return 0;
	terminal = refdata_terminal(j->ref, tap.terminal, tap.time_ms);
	return unproven_value(&tap, refdata_tariff(j->ref, tap.time_ms), terminal != NULL ? terminal->operator_id : tap.operator_id, j->day.day);
}

int judge_caps(struct job *j)
{
	const int64_t cap = refdata_cap_fen(j->ref);
	struct work **list;
	size_t n = 0;
	int64_t sum = 0;

	if (cap == 0)
		return 0;
	list = malloc((j->count + 1) * sizeof(struct work *));
	if (list == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < j->count; i++)
		if (!j->work[i].released && unproven_counts((enum verdict)j->work[i].verdict, (enum key_check)j->work[i].check))
			list[n++] = &j->work[i];
	if (n > 1)
		qsort(list, n, sizeof(struct work *), cap_compare);
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && strncmp(list[i - 1]->from->device, list[i]->from->device, DEVICE_BYTES_MAX + 1) != 0)
			sum = 0;
		sum += value_of(j, list[i]);
		if (sum > cap)
			list[i]->verdict = VERDICT_QUARANTINED;
	}
	free(list);
	return j->txn.error;
}

/* ---- told ------------------------------------------------------------------------------------------------ */

/* As judge_caps saw it: what is not rideable was found out later, by the fare. */
static bool counted(const struct cleared *row, const struct refdata *ref, const uint8_t key[TAP_KEY_BYTES])
{
	const struct release *release = refdata_release(ref, key);
	bool came_so_far = row->verdict == VERDICT_ACCEPTED || row->verdict == VERDICT_PENDING || row->verdict == VERDICT_QUARANTINED ||
			   row->verdict == VERDICT_NO_TARIFF || row->verdict == VERDICT_REPEAT_TAP;

	return came_so_far && check_unproven((enum key_check)row->check) && (release == NULL || release->seq != row->seq);
}

static bool not_after(const struct tap *a, const uint8_t a_key[TAP_KEY_BYTES], const struct tap *b, const uint8_t b_key[TAP_KEY_BYTES])
{
	return a->time_ms != b->time_ms ? a->time_ms < b->time_ms : memcmp(a_key, b_key, TAP_KEY_BYTES) <= 0;
}

int cap_explain(struct txn *t, const struct refdata *ref, const struct day_row *day, const char *device, const struct tap *tap,
		const uint8_t key[TAP_KEY_BYTES], struct cap_reached *ret)
{
	struct cap_reached r = { .cap_fen = refdata_cap_fen(ref) };
	struct row_iter it;

	rows_open_day(t, day->day, &it);
	while (rows_next(&it)) {
		const struct cleared row = it.row;
		const char *field;
		struct tap other;
		int64_t fen;

		if (it.key[4] != CLEARED_RIDE || strcmp(row.device, device) != 0 ||
		    !counted(&row, ref, it.key + 5) || tap_decode(row.raw, row.raw_bytes, &other, &field) != 0 || !not_after(&other, it.key + 5, tap, key))
			continue;
		fen = unproven_value(&other, refdata_tariff(ref, other.time_ms), row.operator_id, day->day);
		r.sum_fen += fen;
		r.value_fen = memcmp(it.key + 5, key, TAP_KEY_BYTES) == 0 ? fen : r.value_fen;
		r.records++;
	}
	rows_close(&it);
	*ret = r;
	return t->error;
}
