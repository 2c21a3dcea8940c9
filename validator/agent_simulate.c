/*
 * agent_simulate - passengers for a validator without a reader: software cards presented to the gate, from a
 * seed, some torn away at the debit and presented again. Every record goes through the same spool as a real one.
 */
#include "validator/agent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CARDS_MAX 64
#define TORN_ONE_IN 10
#define APDUS_TO_DEBIT 7		/* select, 15, 17, 18, init, cache, debit: the answer to the last is lost */

struct passengers {
	struct agent *agent;
	struct keyring *ring;
	struct soft_psam *psam;
	struct gate *gate;
	struct soft_card *card[CARDS_MAX];
	size_t cards;
	uint64_t random;
	unsigned answers[GATE_ANSWER_COUNT];
};

static uint32_t below(struct passengers *p, uint32_t n)
{
	p->random = p->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(p->random >> 33) % n;
}

static int ring_open(const struct agent_conf *c, struct keyring **ret)
{
	char line[256] = "";
	FILE *f = c->keyring[0] != '\0' ? fopen(c->passphrase_file, "re") : NULL;
	int code;

	if (f == NULL || fgets(line, sizeof(line), f) == NULL) {
		agent_log("keyring", "reason=\"simulated taps need keyring and passphrase_file\"");
		if (f != NULL)
			fclose(f);
		return -ENOENT;
	}
	fclose(f);
	line[strcspn(line, "\r\n")] = '\0';
	code = keyring_open(c->keyring, line, ret);
	key_wipe(line, sizeof(line));
	if (code != 0)
		agent_log("keyring", "file=%s reason=\"%s\"", c->keyring, keys_strerror(code) != NULL ? keys_strerror(code) : strerror(-code));
	return code;
}

/* A card of the first purchase root's issuer. */
static int card_issue(struct passengers *p, size_t i)
{
	struct card_info info = { .pan = { 0x03, 0x10, 0x47, 0x30, 0x19, 0x90 }, .interop = 1, .card_class = 1,
				  .start = day_of_civil(2020, 1, 1), .expiry = day_of_civil(2049, 12, 31) };
	const struct key_entry *root = NULL;

	for (size_t k = 0; k < keyring_count(p->ring) && root == NULL; k++)
		if (keyring_entry(p->ring, k)->purpose == KEY_PURCHASE)
			root = keyring_entry(p->ring, k);
	if (root == NULL)
		return KEYS_E_NOT_FOUND;
	memcpy(info.issuer, root->issuer, sizeof(info.issuer));
	info.city = (uint16_t)(p->agent->conf.city[0] << 8 | p->agent->conf.city[1]);
	for (unsigned at = 9, n = below(p, 1000000); at > 5; at--, n /= 100)
		info.pan[at] = (uint8_t)((n / 10 % 10) << 4 | n % 10);
	return soft_card_new(p->ring, &info, root->version, (uint8_t)root->alg, 5000 + below(p, 15000), p->random | 1, &p->card[i]);
}

static void passengers_done(struct passengers *p)
{
	for (size_t i = 0; i < p->cards; i++)
		soft_card_free(p->card[i]);
	gate_free(p->gate);
	soft_psam_free(p->psam);
	keyring_free(p->ring);
}

static int passengers_init(struct passengers *p, unsigned taps)
{
	const struct agent *a = p->agent;
	int ret = ring_open(&a->conf, &p->ring);

	if (ret == 0)
		ret = soft_psam_new(p->ring, a->conf.terminal, a->serial, &p->psam);
	if (ret == 0)
		ret = gate_new(soft_psam_reader(p->psam), &p->gate);
	for (size_t i = 0; ret == 0 && i < CARDS_MAX && i < taps / 2 + 1; i++) {
		ret = card_issue(p, i);
		p->cards += ret == 0;
	}
	return ret;
}

struct gate_setting agent_setting(const struct agent *a)
{
	const struct agent_conf *c = &a->conf;
	struct gate_setting s = { .tariff = a->lists.tariff, .operator_id = (uint32_t)c->operator_id, .direction = (uint8_t)c->direction,
				  .stop = (uint16_t)c->stop, .inside = c->inside != 0, .event = (enum ride_event)(RIDE_SINGLE + c->ride_end),
				  .driver = (uint32_t)c->driver, .city = (uint16_t)(c->city[0] << 8 | c->city[1]),
				  .list_version = a->lists.list_version, .hotlist = a->lists.hotlist };

	memcpy(s.line, c->line, sizeof(s.line));
	memcpy(s.vehicle, c->vehicle, sizeof(s.vehicle));
	memcpy(s.acquirer, c->acquirer, sizeof(s.acquirer));
	return s;
}

static int present(struct passengers *p, struct soft_card *card, int64_t at_ms)
{
	struct gate_setting s = agent_setting(p->agent);
	struct tap taps[2];
	unsigned count;
	enum gate_answer answer = gate_tap(p->gate, soft_card_reader(card), &s, at_ms, taps, &count);
	int ret = 0;

	p->answers[answer]++;
	for (unsigned i = 0; i < count && ret == 0; i++) {
		if (taps[i].terminal_serial >= p->agent->serial)
			p->agent->serial = taps[i].terminal_serial + 1;
		ret = agent_record(p->agent, &taps[i]);
	}
	return ret;
}

static int ride(struct passengers *p, int64_t at_ms)
{
	struct soft_card *card = p->card[below(p, (uint32_t)p->cards)];
	int ret;

	if (below(p, TORN_ONE_IN) != 0)
		return present(p, card, at_ms);
	soft_card_tear_after(card, APDUS_TO_DEBIT);
	ret = present(p, card, at_ms);
	soft_card_tear_after(card, 0);
	return ret != 0 ? ret : present(p, card, at_ms + 400);
}

int agent_simulate(struct agent *a, unsigned taps, uint64_t seed)
{
	struct passengers p = { .agent = a, .random = seed };
	int64_t start = agent_clock_ms() + a->offset_ms - (int64_t)taps * 1000;
	int ret = passengers_init(&p, taps);

	/* serials used up to a crash are never used again */
	if (ret == 0)
		ret = agent_serial_save(a, taps + 1);
	for (unsigned i = 0; ret == 0 && i < taps; i++)
		ret = ride(&p, start + (int64_t)i * 1000);
	if (ret == 0)
		ret = agent_serial_save(a, 0);
	agent_log("simulated", "taps=%u seed=%llu code=%d", taps, (unsigned long long)seed, ret);
	for (int i = GATE_GO; i < GATE_ANSWER_COUNT; i++)
		if (p.answers[i] != 0)
			agent_log("gate", "answer=%s times=%u", gate_answer_name((enum gate_answer)i), p.answers[i]);
	passengers_done(&p);
	return ret;
}
