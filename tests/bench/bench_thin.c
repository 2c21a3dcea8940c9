/*
 * bench_thin [RUNS] - batches of a bus, 100 records each, made thin and read again: nanoseconds of processor time and bytes a tap. For
 * instructions, under callgrind: the difference between two numbers of runs (100) of one line's function.
 */
#include <stdlib.h>
#include <string.h>

#include "clearing/core/thin.h"
#include "keys/octets.h"
#include "tests/bench/bench.h"
#include "tests/unit/tap_sample.h"

#define BATCHES 100
#define RECORDS 100
#define HEAD_BYTES 22

static struct made {
	struct batch batch;
	uint8_t record[RECORDS][192], frame[RECORDS * 200], thin[RECORDS * 200], marks[2 * RECORDS];
	size_t frame_bytes, thin_bytes;
	uint16_t at[RECORDS];
} made[BATCHES];
static const uint8_t head[HEAD_BYTES] = "V-0001";
static struct thin thin;

/* Cards at random with their counters, balances and earlier rides, half a minute apart. */
static void batch_make(struct made *m, uint32_t serial)
{
	struct batch *b = &m->batch;
	int n;

	strcpy(b->device, "V-0001");
	b->file_serial = serial;
	for (b->count = 0; b->count < RECORDS; b->count++) {
		struct tap t = sample_tap();

		sample_bcd(t.pan + 3, 7);
		t.card_counter = 1 + sample_below(4000);
		t.prev_counter = (uint16_t)(t.card_counter - 1);
		t.balance_before = 1000 + (int32_t)sample_below(19000);
		t.balance_after = t.balance_before - 180;
		be32_put(t.random, (uint32_t)sample_random());
		be32_put(t.tac, (uint32_t)sample_random());
		t.time_ms += (int64_t)(serial * RECORDS + b->count) * 30000;
		t.prev_time_ms -= (int64_t)sample_below(432000) * 1000;
		t.prev_terminal[4] = (uint8_t)(sample_below(5) << 4);
		t.prev_terminal[5] = (uint8_t)(sample_below(10) << 4);
		t.terminal_serial += serial * RECORDS + b->count;
		t.stop = 1 + sample_below(27);
		n = tap_encode(&t, m->record[b->count], sizeof(m->record[0]));
		must(n > 0);
		b->tap[b->count].p = m->record[b->count];
		b->tap[b->count].n = (uint32_t)n;
		m->marks[2 * b->count] = 1;
	}
	must(batch_seal(b) == 0 && (n = batch_encode(b, m->frame, sizeof(m->frame))) > 0);
	m->frame_bytes = (size_t)n;
	must(batch_decode(m->frame, m->frame_bytes, b) == 0);
}

static void make_all(void)
{
	for (size_t i = 0; i < BATCHES; i++) {
		struct made *m = &made[i];
		const struct thin_of of = { head, HEAD_BYTES, m->marks, m->frame, m->frame_bytes, &m->batch };

		m->thin_bytes = thin_make(&of, m->thin);
		must(m->thin_bytes > 0);
	}
}

/* In no order: as a clear reads them. */
static unsigned records_all(void)
{
	uint8_t record[THIN_RECORD_ROOM];
	unsigned sum = 0;

	for (size_t i = 0; i < BATCHES * RECORDS; i++) {
		size_t at = i * 7919 % (BATCHES * RECORDS);

		thin_record(made[at / RECORDS].thin, made[at / RECORDS].at[at % RECORDS], record);
		sum += record[30];
	}
	return sum;
}

static unsigned bodies_all(void)
{
	static uint8_t body[RECORDS * 200 + THIN_SLACK];
	unsigned sum = 0;

	for (size_t i = 0; i < BATCHES; i++) {
		must(thin_open(made[i].thin, made[i].thin_bytes, &thin));
		thin_body(&thin, body);
		sum += body[thin.body_bytes - 1];
	}
	return sum;
}

int main(int argc, char **argv)
{
	unsigned runs = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 100, n = runs * BATCHES * RECORDS, sum = 0;
	size_t before = 0, after = 0;
	char more[80];
	double cpu;

	for (uint32_t i = 0; i < BATCHES; i++)
		batch_make(&made[i], i);
	cpu = cpu_now();
	for (unsigned i = 0; i < runs; i++)
		make_all();
	cpu = cpu_now() - cpu;
	for (size_t i = 0; i < BATCHES; i++) {
		must(thin_open(made[i].thin, made[i].thin_bytes, &thin));
		for (size_t k = 0; k < RECORDS; k++)
			made[i].at[k] = thin.record[k].at;
		before += thin.body_bytes;
		after += made[i].thin_bytes;
	}
	snprintf(more, sizeof(more), ",\"bytes_before\":%.1f,\"bytes_after\":%.1f", (double)before / (BATCHES * RECORDS), (double)after / (BATCHES * RECORDS));
	line("thin-make", "ns/tap", cpu * 1e9 / n, cpu, n, more);
	cpu = cpu_now();
	for (unsigned i = 0; i < runs; i++)
		sum += records_all();
	cpu = cpu_now() - cpu;
	line("thin-record", "ns/tap", cpu * 1e9 / n, cpu, n, "");
	cpu = cpu_now();
	for (unsigned i = 0; i < runs; i++)
		sum += bodies_all();
	cpu = cpu_now() - cpu;
	line("thin-body", "ns/tap", cpu * 1e9 / n, cpu, n, sum > 0 ? "" : ",\"read\":0");
	return 0;
}
