/*
 * bench_city - what benchmarks put into a store's inbox as if a daemon had received it: the Ganzhou pack, one operator's
 * terminals, and their batches, sealed as a validator does and verified.
 */
#ifndef TESTS_BENCH_CITY_H
#define TESTS_BENCH_CITY_H

#include <string.h>

#include "clearing/clearing.h"
#include "tests/bench/bench.h"

#define DAY 20395		/* 2025-11-03 */
#define TERMINALS 1000
#define RECORDS 128		/* of a batch, at most */
#define EVENTS_PER_COMMIT 512

struct terminal { struct batch batch; uint32_t serial; uint8_t record[RECORDS][192]; };
struct city { int32_t day; struct store *store; struct refdata *ref; struct txn txn; struct tariff *tariff; struct terminal *terminal; size_t events;
	char line[LINE_BYTES_MAX + 1]; };	/* of the pack */

static inline void city_commit(struct city *c) { must(c->txn.mdb == NULL || txn_commit(&c->txn) == 0); }

static inline void city_event(struct city *c, uint8_t type, const void *head, size_t head_bytes, const void *body, size_t n)
{
	char error[256] = "";

	if (c->txn.mdb == NULL)
		must(txn_begin(c->store, true, &c->txn) == 0);
	must(inbox_append(&c->txn, type, (int64_t)c->day * 86400000, (const void *[]){ head, body }, (const size_t[]){ head_bytes, n }, 2) > 0);
	if (type != EVENT_BATCH) {
		char *whole = malloc(head_bytes + n + 1);
		struct event e = { .seq = inbox_last(&c->txn), .type = type, .body = (const uint8_t *)whole, .bytes = head_bytes + n };

		must(whole != NULL);
		memcpy(whole, head, head_bytes);
		memcpy(whole + head_bytes, body, n);
		must(refdata_apply(c->ref, &e, &c->txn, error, sizeof(error)) == 0);
		free(whole);
	}
	if (++c->events % EVENTS_PER_COMMIT == 0)
		city_commit(c);
}

static inline void city_reference(struct city *c)
{
	static const char issuers[] = "issuer,ours,valid_from,valid_to,name\n02184280,yes,2000-01-01,,ours\n";
	struct tariff_line where;
	uint8_t head[8];
	char *csv = NULL;
	size_t n = 0, bytes = 0;
	void *blob = NULL;
	FILE *f = open_memstream(&csv, &n);

	must(f != NULL && tariff_compile("tariffs/packs/ganzhou", fault_tell, NULL, &blob, &bytes) == 0 && tariff_open(blob, bytes, &c->tariff) == 0);
	be64_put(head, (uint64_t)tariff_valid_from_ms(c->tariff));
	city_event(c, EVENT_TARIFF, head, sizeof(head), blob, bytes);
	fprintf(f, "terminal,psam,device,operator,valid_from,valid_to\n");
	for (int i = 0; i < TERMINALS; i++)
		fprintf(f, "42800000%04d,42800000%04d,V-%04d,101,2000-01-01,\n", i, i, i);
	must(fclose(f) == 0);
	city_event(c, EVENT_TERMINALS, "", 0, csv, n);
	city_event(c, EVENT_ISSUERS, "", 0, issuers, strlen(issuers));
	free(csv);
	must(tariff_line_at(c->tariff, 0, (int64_t)DAY * 86400000, &where));
	snprintf(c->line, sizeof(c->line), "%s", where.line);
}

/* A store in a folder that is there, for so many taps in all, its first day open. */
static inline void city_open(struct city *c, const char *dir, uint64_t taps)
{
	c->day = DAY;
	c->terminal = calloc(TERMINALS, sizeof(c->terminal[0]));
	must(c->terminal != NULL && store_open(dir, false, (4ULL << 30) + taps * 1024, &c->store) == 0 && refdata_new(&c->ref) == 0);
	must(txn_begin(c->store, true, &c->txn) == 0);
	day_open_init(&c->txn, DAY);
	city_reference(c);
}

static inline void city_close(struct city *c)
{
	txn_abort(&c->txn);
	refdata_free(c->ref);
	tariff_close(c->tariff);
	store_close(c->store);
	free(c->terminal);
}

static inline void city_batch(struct city *c, struct terminal *t)
{
	static uint8_t out[BATCH_BYTES_MAX];
	uint8_t head[EVENT_BATCH_HEAD_BYTES + 2 * RECORDS] = "";
	int n;

	t->batch.file_serial++;
	must(batch_seal(&t->batch) == 0 && (n = batch_encode(&t->batch, out, sizeof(out))) > 0);
	memcpy(head, t->batch.device, sizeof(t->batch.device));
	be32_put(head + 16, t->batch.file_serial);
	be16_put(head + 20, (uint16_t)t->batch.count);
	for (uint32_t i = 0; i < t->batch.count; i++)
		head[EVENT_BATCH_HEAD_BYTES + 2 * i] = KEY_CHECK_GOOD;
	city_event(c, EVENT_BATCH, head, EVENT_BATCH_HEAD_BYTES + 2 * t->batch.count, out, (size_t)n);
	t->batch.count = 0;
}

static inline void city_terminal(unsigned at, struct tap *tap)
{
	tap->terminal[4] = tap->psam[4] = (uint8_t)(at / 1000 << 4 | at / 100 % 10);
	tap->terminal[5] = tap->psam[5] = (uint8_t)(at % 100 / 10 << 4 | at % 10);
}

/* A record of terminal number at, which numbers it, sent when there are so many. */
static inline void city_tap(struct city *c, unsigned at, struct tap *tap, uint32_t batch_records)
{
	struct terminal *t = &c->terminal[at];
	int n;

	snprintf(t->batch.device, sizeof(t->batch.device), "V-%04u", at);
	city_terminal(at, tap);
	tap->terminal_serial = ++t->serial;
	n = tap_encode(tap, t->record[t->batch.count], sizeof(t->record[0]));
	must(n > 0);
	t->batch.tap[t->batch.count].p = t->record[t->batch.count];
	t->batch.tap[t->batch.count++].n = (uint32_t)n;
	if (t->batch.count == batch_records)
		city_batch(c, t);
}

/* What is left of every terminal's. */
static inline void city_send(struct city *c)
{
	for (int i = 0; i < TERMINALS; i++)
		if (c->terminal[i].batch.count > 0)
			city_batch(c, &c->terminal[i]);
	city_commit(c);
}

/* What the terminal takes, which knows of no earlier ride: the clear seldom finds another fare. */
static inline void city_price(const struct city *c, const struct rider *rider, struct tap *tap)
{
	struct rider_state state = { 0 };
	struct ride ride;
	struct fare fare;

	tap_ride(tap, c->tariff, &ride);
	rate(c->tariff, rider, &state, &ride, &state, &fare, NULL);
	tap->list_fen = (uint32_t)fare.published.fen;
	tap->amount_fen = (uint32_t)fare.paid.fen;
	tap->balance_after = tap->balance_before - fare.paid.fen;
}

#endif
