#include "tools/waiting_list.h"

#include <inttypes.h>
#include <stdio.h>

/* The day's cubes tell whether it is worth looking at its rows. */
static bool day_has_some(struct txn *t, int32_t day, enum verdict verdict)
{
	uint8_t prefix[5];
	struct iter it;
	bool found;

	be32_put(prefix, (uint32_t)day ^ 0x80000000u);
	prefix[4] = (uint8_t)verdict;
	iter_open(t, DB_CUBE, prefix, sizeof(prefix), &it);
	found = iter_next(&it);
	iter_close(&it);
	return found;
}

static int day_list(struct waiting_list *l, int32_t day, const struct waiting_kind *kind)
{
	char id[TAP_ID_BYTES], date[11];
	struct row_iter it;

	day_format(day, date);
	rows_open_day(l->t, day, &it);
	while (rows_next(&it)) {
		if (!kind->waits(l->ref, it.key + 5, &it.row))
			continue;
		tap_id_format(it.key + 5, id);
		l->count++;
		l->fen += it.row.priced.charged.fen;
		kind->print(l, id, date, it.key + 5, &it.row);
	}
	rows_close(&it);
	return l->t->error;
}

static int days_list(struct waiting_list *l, int32_t only, const struct waiting_kind *kind)
{
	struct iter it;
	int ret = 0;

	iter_open(l->t, DB_DAY, NULL, 0, &it);
	while (ret == 0 && iter_next(&it)) {
		struct day_row day;

		if (!day_decode(it.val, it.val_bytes, &day))
			ret = CLEARING_E_STORE;
		else if ((only == DAY_NONE || only == day.day) && day.state >= DAY_CLEARED && day_has_some(l->t, day.day, kind->verdict))
			ret = day_list(l, day.day, kind);
	}
	iter_close(&it);
	return ret != 0 ? ret : l->t->error;
}

int waiting_list(const struct options *o, const char *usage, const struct waiting_kind *kind)
{
	struct waiting_list l = { .json = o->json };
	struct refdata *ref = NULL;
	int32_t only = DAY_NONE;
	struct store *s;
	struct txn t;
	int ret;

	if (o->date != NULL && !day_parse(o->date, &only)) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (store_open_reading(o, &s) != 0)
		return EXIT_STORE;
	ret = txn_begin(s, false, &t);
	if (ret == 0) {
		ret = refdata_new(&ref);
		if (ret == 0)
			ret = refdata_replay(ref, &t, inbox_last(&t));
		l.t = &t;
		l.ref = ref;
		if (ret == 0)
			ret = days_list(&l, only, kind);
		refdata_free(ref);
		txn_abort(&t);
	}
	store_close(s);
	if (ret != 0)
		complain("%s", clearing_strerror(ret));
	else if (!o->json)
		printf("%" PRIu64 " %s %" PRId64 " %s\n", l.count, kind->total, l.fen, kind->end);
	return exit_of_error(ret);
}
