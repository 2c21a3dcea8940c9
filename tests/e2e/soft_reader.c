/* soft_reader - the reader and PSAM of docs/example-terminal.c for the tests: software cards of a made-up city, one of them
 * in the field each time, one in ten taken away at the debit and presented again. Linked beside the library, whose own
 * copies of this code are not visible. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "validator/validator.h"

#define CARDS 40
#define APDUS_TO_DEBIT 7

int reader_card_here(void);
int reader_card_transmit(void *arg, const uint8_t *apdu, size_t n, uint8_t *ret, size_t ret_bytes);
int reader_psam_transmit(void *arg, const uint8_t *apdu, size_t n, uint8_t *ret, size_t ret_bytes);

static struct soft_psam *psam;
static struct soft_card *card[CARDS];
static unsigned shown;

static const char *setting(const char *name)
{
	const char *text = getenv(name);

	if (text == NULL)
		exit(3);
	return text;
}

static void cards_issue(const struct keyring *ring, const struct key_entry *root, uint32_t seed)
{
	struct card_info info = { .pan = { 0x03, 0x10, 0x47, 0x30, 0x19, 0x91 }, .interop = 1, .card_class = 1, .city = 0x4280,
				  .start = day_of_civil(2020, 1, 1), .expiry = day_of_civil(2049, 12, 31) };

	memcpy(info.issuer, root->issuer, sizeof(info.issuer));
	for (uint32_t i = 0; i < CARDS; i++) {
		uint32_t n = (seed * CARDS + i) % 1000000;

		for (unsigned at = 9; at > 6; at--, n /= 100)
			info.pan[at] = (uint8_t)((n / 10 % 10) << 4 | n % 10);
		if (soft_card_new(ring, &info, root->version, (uint8_t)root->alg, 90000, seed + i + 1, &card[i]) != 0)
			exit(3);
	}
}

/* Serials and cards from the clock: a terminal that was restarted uses none of them again. */
static void start(void)
{
	const struct key_entry *root = NULL;
	uint32_t now = (uint32_t)time(NULL);
	struct keyring *ring;
	uint8_t terminal[6];
	char line[128] = "";
	FILE *f = fopen(setting("READER_PASSPHRASE"), "re");

	if (f == NULL || fgets(line, sizeof(line), f) == NULL)
		exit(3);
	fclose(f);
	line[strcspn(line, "\n")] = '\0';
	if (keyring_open(setting("READER_KEYRING"), line, &ring) != 0 || !hex_decode(setting("READER_TERMINAL"), terminal, 6) ||
	    soft_psam_new(ring, terminal, now, &psam) != 0)
		exit(3);
	for (size_t k = 0; k < keyring_count(ring) && root == NULL; k++)
		if (keyring_entry(ring, k)->purpose == KEY_PURCHASE)
			root = keyring_entry(ring, k);
	if (root == NULL)
		exit(3);
	cards_issue(ring, root, now);
}

/* A card each READER_EVERY_MS. */
int reader_card_here(void)
{
	static int64_t next_ms;
	struct timespec t;
	int64_t now;

	clock_gettime(CLOCK_MONOTONIC, &t);
	now = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
	if (now < next_ms)
		return 0;
	next_ms = now + atoi(setting("READER_EVERY_MS"));
	shown++;
	soft_card_tear_after(card[shown / 2 % CARDS], shown % 20 == 8 ? APDUS_TO_DEBIT : 0);
	return 1;
}

int reader_card_transmit(void *arg, const uint8_t *apdu, size_t n, uint8_t *ret, size_t ret_bytes)
{
	struct reader *r = soft_card_reader(card[shown / 2 % CARDS]);

	(void)arg;
	return r->transmit(r, apdu, n, ret, ret_bytes);
}

int reader_psam_transmit(void *arg, const uint8_t *apdu, size_t n, uint8_t *ret, size_t ret_bytes)
{
	struct reader *r;

	(void)arg;
	if (psam == NULL)
		start();
	r = soft_psam_reader(psam);
	return r->transmit(r, apdu, n, ret, ret_bytes);
}
