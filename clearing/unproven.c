#include "clearing/unproven.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clearing/clear.h"
#include "clearing/table.h"

int64_t unproven_value(const struct tap *tap, const struct tariff *tariff, uint32_t operator_id, int32_t day)
{
	int64_t fen = tap->amount_fen > tap->list_fen ? tap->amount_fen : tap->list_fen;
	struct rider_state state = { 0 };
	struct rider rider = { 0 };
	struct fare fare;
	struct ride ride;

	if (tariff == NULL)
		return fen;
	ride = ride_of(tap, tariff, operator_id, day);
	rate(tariff, &rider, &state, &ride, &state, &fare, NULL);
	return fare.reject == FARE_OK && fare.published.fen > fen ? fare.published.fen : fen;
}

bool unproven_counts(enum verdict verdict, enum key_check check)
{
	return (verdict == VERDICT_ACCEPTED || verdict == VERDICT_PENDING) && check_unproven(check);
}

/* ---- sums by device ------------------------------------------------------------------------------------ */

struct sum { char device[DEVICE_BYTES_MAX + 1]; uint8_t used; int64_t fen; };
struct unproven { struct table sum; };

int unproven_new(struct unproven **ret_unproven)
{
	struct unproven *u = calloc(1, sizeof(*u));

	if (u == NULL || table_open(&u->sum, DEVICE_BYTES_MAX + 1, sizeof(struct sum)) != 0) {
		free(u);
		return -ENOMEM;
	}
	*ret_unproven = u;
	return 0;
}

void unproven_free(struct unproven *u)
{
	if (u == NULL)
		return;
	table_close(&u->sum);
	free(u);
}

void unproven_reset(struct unproven *u) { table_clear(&u->sum); }

int unproven_room(struct unproven *u) { return table_room(&u->sum, 1); }

static struct sum *sum_of(struct unproven *u, const char *device)
{
	char key[DEVICE_BYTES_MAX + 1] = "";
	bool new;

	memcpy(key, device, strnlen(device, DEVICE_BYTES_MAX));
	return table_at(&u->sum, key, &new);
}

int64_t unproven_add(struct unproven *u, const char *device, int64_t fen) { return sum_of(u, device)->fen += fen; }

void unproven_set(struct unproven *u, const char *device, int64_t fen) { sum_of(u, device)->fen = fen; }

bool unproven_walk(const struct unproven *u, struct table_walk *w, const char **ret_device, int64_t *ret_fen)
{
	const struct sum *s = table_walk(&u->sum, w);

	if (s == NULL)
		return false;
	*ret_device = s->device;
	*ret_fen = s->fen;
	return true;
}
