/*
 * taps_compare - rates foreign taps with a pack and says, tap by tap, whether the charged amount comes
 * back to the fen, and if not, why. The file may be a sample of a larger stream: where a record says
 * "transfer" and the ride before it is not in the file, that ride is assumed (the map says which), since
 * the mark is evidence that it happened. Nothing else of a record's outcome enters the rating.
 */
#include "tools/taps.h"

#include <stdlib.h>
#include <string.h>

/* In the order of the lists; DIFFER_NONE: given back. */
static const enum difference_reason listed[] = { DIFFER_NONE, DIFFER_TRANSFER_UNMARKED, DIFFER_TRANSFER_NOT_GIVEN, DIFFER_UNDISCOUNTED,
	DIFFER_AS_ORDINARY, DIFFER_REJECTED, DIFFER_ROUNDING, DIFFER_OTHER };
#define LISTED_COUNT (sizeof(listed) / sizeof(listed[0]))
#define SAMPLES_MAX 3
struct tally { uint64_t count; int64_t fen; const struct taps_row *sample[SAMPLES_MAX]; };
struct totals { struct tally by[2][DIFFERENCE_COUNT]; uint64_t entries, repeated; };	/* bus, metro */

uint32_t taps_operator_id(const struct tariff *t, const char *name)
{
	if (name[0] == '\0')
		return 0;
	for (size_t i = 0; i < tariff_operator_count(t); i++) {
		struct tariff_operator o;

		if (tariff_operator_at(t, i, &o) && (strcmp(o.title, name) == 0 || strcmp(o.code, name) == 0))
			return o.id;
	}
	return 0;
}

void taps_ride(const struct tariff *t, const struct taps_row *row, struct ride *ret_ride)
{
	struct ride ride = {
		.time_ms = row->time_ms, .event = row->event, .medium = MEDIUM_PURSE, .guest = GUEST_LOCAL,
		.card_class = 1, .operator_id = taps_operator_id(t, row->operator),
		.list = money_of_fen(row->list_fen), .in_ms = row->start_ms, .out_ms = row->end_ms, .inside = row->inside,
	};

	snprintf(ride.line, sizeof(ride.line), "%s", row->line);
	snprintf(ride.vehicle, sizeof(ride.vehicle), "%.15s", row->vehicle);
	snprintf(ride.product, sizeof(ride.product), "%s", row->product);
	*ret_ride = ride;
}

static int64_t rated_fen(const struct tariff *t, const struct rider_state *state, const struct ride *ride)
{
	static const struct rider nobody = { .birth = DAY_NONE, .issued = DAY_NONE };
	struct rider_state after;
	struct fare fare;

	rate(t, &nobody, state, ride, &after, &fare, NULL);
	return fare.reject == FARE_OK ? fare.paid.fen : -1;
}

/* The state as if a paid ride on the map's line had just happened before the ride (for the exit of a
 * metro ride: before its entry). */
static struct rider_state state_after_assumed(const struct tariff *t, const struct taps_map *map,
					      const struct rider_state *before, const struct taps_row *entry,
					      const struct ride *ride)
{
	static const struct rider nobody = { .birth = DAY_NONE, .issued = DAY_NONE };
	struct rider_state state = *before;
	struct ride assumed = *ride, on = *ride;
	struct fare fare;

	assumed.event = RIDE_SINGLE;
	assumed.operator_id = 0;
	assumed.list = money_of_fen(200);
	assumed.vehicle[0] = '\0';
	assumed.time_ms = (entry != NULL ? entry->time_ms : ride->time_ms) - map->assumed_before_ms;
	snprintf(assumed.line, sizeof(assumed.line), "%s", map->assumed_line);
	if (ride->event == RIDE_OFF)
		state = (struct rider_state){ 0 };
	rate(t, &nobody, &state, &assumed, &state, &fare, NULL);
	if (ride->event == RIDE_OFF) {
		on.event = RIDE_ON;
		on.time_ms = entry != NULL ? entry->time_ms : ride->time_ms - 1000;
		rate(t, &nobody, &state, &on, &state, &fare, NULL);
	}
	return state;
}

/* Foreign rows name no pack and no hold; what the file cannot tell of the ride before may be assumed where it has no mark. */
static enum difference_reason reason_of(const struct tariff *t, const struct taps_map *map, const struct rider_state *state,
					const struct taps_row *row, const struct taps_row *entry, const struct ride *ride)
{
	static const struct rider nobody = { .birth = DAY_NONE, .issued = DAY_NONE };
	struct rider_state assumed = state_after_assumed(t, map, state, entry, ride);
	struct difference_ask ask = { .t = t, .rider = &nobody, .state = state, .ride = ride, .charged_fen = row->charged_fen, .whole = true,
				      .assumed = row->mark ? NULL : &assumed };

	return tariff_differ(&ask).reason;
}

static void tally_add(struct tally *tally, const struct taps_row *row, int64_t rated)
{
	if (tally->count < SAMPLES_MAX)
		tally->sample[tally->count] = row;
	tally->count++;
	tally->fen += row->charged_fen - (rated > 0 ? rated : 0);
}

/* One card's rides, in time order. */
static void card_compare(const struct taps_map *map, const struct tariff *t, const struct taps_row *row, size_t count,
			 struct totals *totals)
{
	static const struct rider nobody = { .birth = DAY_NONE, .issued = DAY_NONE };
	struct rider_state state = { 0 };
	const struct taps_row *entry = NULL;

	for (size_t i = 0; i < count; i++) {
		struct rider_state at = state;
		struct ride ride;
		struct fare fare;
		int64_t rated;

		if (row[i].repeated) {
			totals->repeated++;
			continue;
		}
		taps_ride(t, &row[i], &ride);
		if (row[i].event == RIDE_ON) {
			totals->entries++;
			entry = &row[i];
			rate(t, &nobody, &state, &ride, &state, &fare, NULL);
			continue;
		}
		rated = rated_fen(t, &at, &ride);
		if (row[i].mark && map->mark_value != NULL) {
			struct rider_state assumed = state_after_assumed(t, map, &state, entry, &ride);
			int64_t with = rated_fen(t, &assumed, &ride);

			if (with >= 0 && with < rated) {
				at = assumed;
				rated = with;
			}
		}
		tally_add(&totals->by[row[i].event == RIDE_OFF][reason_of(t, map, &at, &row[i], entry, &ride)], &row[i], rated);
		rate(t, &nobody, &at, &ride, &state, &fare, NULL);
		entry = NULL;
	}
}

/* Percent with two decimals, rounded down so that it never says more than was given back. */
static void percent(uint64_t n, uint64_t m, char ret_text[32])
{
	uint64_t p = m != 0 ? n * 10000 / m : 0;

	snprintf(ret_text, 32, "%llu.%02llu", (unsigned long long)(p / 100), (unsigned long long)(p % 100));
}

static void print_reason(const char *mode, enum difference_reason reason, const struct tally *tally)
{
	const struct difference_info *info = difference_info(reason);

	if (tally->count == 0)
		return;
	printf("%-5s %-20s %8llu  %10.2f yuan  %s / %s", mode, info->name, (unsigned long long)tally->count, (double)tally->fen / 100,
	       info->zh, info->en);
	for (size_t i = 0; reason != DIFFER_NONE && i < SAMPLES_MAX && i < tally->count; i++)
		printf("%s%s", i == 0 ? "; e.g. " : " ", tally->sample[i]->id);
	putchar('\n');
}

static void print_reasons(const struct totals *totals)
{
	static const char *const modes[2] = { "bus", "metro" };

	for (size_t m = 0; m < 2; m++)
		for (size_t r = 0; r < LISTED_COUNT; r++)
			print_reason(modes[m], listed[r], &totals->by[m][listed[r]]);
	printf("entries %llu, repeated rows rated once %llu\n", (unsigned long long)totals->entries,
	       (unsigned long long)totals->repeated);
}

static void print_json(const struct totals *totals)
{
	static const char *const modes[2] = { "bus", "metro" };
	struct jsonw j;

	jsonw_init(&j, stdout, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "schema", "qingfen.taps-compare");
	jsonw_kint(&j, "version", 1);
	for (size_t m = 0; m < 2; m++) {
		jsonw_key(&j, modes[m]);
		jsonw_object(&j);
		for (size_t r = 0; r < LISTED_COUNT; r++)
			jsonw_kint(&j, difference_info(listed[r])->name, (int64_t)totals->by[m][listed[r]].count);
		jsonw_object_end(&j);
	}
	jsonw_kint(&j, "entries", (int64_t)totals->entries);
	jsonw_kint(&j, "repeated", (int64_t)totals->repeated);
	jsonw_object_end(&j);
	putchar('\n');
}

int taps_compare(const struct taps_map *map, const struct tariff *t, const struct taps_file *file, bool json)
{
	struct totals totals = { 0 };
	uint64_t all[2] = { 0 };
	char text[2][32];

	for (size_t i = 0, n; i < file->count; i += n) {
		for (n = 1; i + n < file->count && strcmp(file->row[i].card, file->row[i + n].card) == 0;)
			n++;
		card_compare(map, t, &file->row[i], n, &totals);
	}
	for (size_t m = 0; m < 2; m++) {
		for (size_t r = 0; r < DIFFERENCE_COUNT; r++)
			all[m] += totals.by[m][r].count;
		percent(totals.by[m][DIFFER_NONE].count, all[m], text[m]);
	}
	if (json) {
		print_json(&totals);
		return EXIT_OK;
	}
	print_reasons(&totals);
	printf("given back: bus %s %% (%llu of %llu), metro %s %% (%llu of %llu)\n", text[0],
	       (unsigned long long)totals.by[0][DIFFER_NONE].count, (unsigned long long)all[0], text[1],
	       (unsigned long long)totals.by[1][DIFFER_NONE].count, (unsigned long long)all[1]);
	return EXIT_OK;
}
