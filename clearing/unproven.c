#include "clearing/unproven.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "clearing/clear.h"

#define SLOTS_FIRST 1024

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

struct slot { char device[DEVICE_BYTES_MAX + 1]; int64_t fen; };
struct unproven { struct slot *slot; size_t count, mask; };

int unproven_new(struct unproven **ret_unproven)
{
	struct unproven *u = calloc(1, sizeof(*u));

	if (u == NULL)
		return -ENOMEM;
	u->mask = SLOTS_FIRST - 1;
	u->slot = calloc(SLOTS_FIRST, sizeof(*u->slot));
	if (u->slot == NULL) {
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
	free(u->slot);
	free(u);
}

void unproven_reset(struct unproven *u)
{
	memset(u->slot, 0, (u->mask + 1) * sizeof(*u->slot));
	u->count = 0;
}

static struct slot *slot_of(struct slot *table, size_t mask, const char *device)
{
	size_t at = XXH3_64bits(device, strlen(device)) & mask;

	while (table[at].device[0] != '\0' && strcmp(table[at].device, device) != 0)
		at = (at + 1) & mask;
	return &table[at];
}

int unproven_room(struct unproven *u)
{
	size_t mask = u->mask * 2 + 1;
	struct slot *wide;

	if (u->count * 2 < u->mask)
		return 0;
	wide = calloc(mask + 1, sizeof(*wide));
	if (wide == NULL)
		return -ENOMEM;
	for (size_t i = 0; i <= u->mask; i++)
		if (u->slot[i].device[0] != '\0')
			*slot_of(wide, mask, u->slot[i].device) = u->slot[i];
	free(u->slot);
	u->slot = wide;
	u->mask = mask;
	return 0;
}

int64_t unproven_add(struct unproven *u, const char *device, int64_t fen)
{
	struct slot *s = slot_of(u->slot, u->mask, device);

	if (s->device[0] == '\0') {
		snprintf(s->device, sizeof(s->device), "%s", device);
		u->count++;
	}
	s->fen += fen;
	return s->fen;
}
