/*
 * bankcards - a bank card scheme in a box: scheme, bank and card keys, kept in a folder, with what terminals and the
 * centre need of it written beside: the scheme key list, the city's token key, the key that signs the deny list.
 *
 * DIR/cards.pem holds secrets of simulated cards: never real ones.
 */
#include "tools/tools.h"

#include "tools/sim/sim.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define CARDS_MAX 256
#define CA_BYTES 144
#define BANK_BYTES 128
#define CARD_BYTES 96

static const char usage[] = "用法 usage: qingfen sim bankcards --out DIR [--cards N]\n"
			    "  卡种依次为 SDA, DDA, 快速 DDA, CDA methods in turn; cards.csv: pan,method,fast\n"
			    "  机具 validatord: keys.txt token.key list.point; 清分 clearingd: keys.txt token.key list.key\n";

static FILE *file_new(const char *dir, const char *name)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%.4000s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		complain("%s: %s", path, strerror(errno));
	return fd < 0 ? NULL : fdopen(fd, "w");
}

static int text_write(const char *dir, const char *name, const char *text)
{
	FILE *f = file_new(dir, name);
	int ret = f != NULL && fprintf(f, "%s\n", text) > 0 ? 0 : -EIO;

	return f != NULL && fclose(f) != 0 ? -EIO : ret;
}

/* Scheme key list, and the scheme's and the bank's pairs as the first two of the PEM file. */
static int scheme_write(const char *dir, FILE *pem)
{
	static const uint8_t rid[5] = { 0xA0, 0x00, 0x00, 0x03, 0x33 };
	struct oda_signer *ca = NULL, *bank = NULL;
	char line[ODA_LINE_BYTES];
	struct oda_key key;
	int ret = oda_signer_new(CA_BYTES, 3, &ca);

	if (ret == 0)
		ret = oda_signer_new(BANK_BYTES, 3, &bank);
	if (ret == 0)
		ret = oda_signer_write(ca, pem);
	if (ret == 0)
		ret = oda_signer_write(bank, pem);
	if (ret == 0) {
		oda_signer_key(ca, &key);
		ret = oda_key_line(rid, 8, &key, "2049-12-31", line);
	}
	if (ret == 0)
		ret = text_write(dir, "keys.txt", line);
	oda_signer_free(ca);
	oda_signer_free(bank);
	return ret;
}

static int cards_write(const char *dir, FILE *pem, unsigned cards)
{
	static const struct { unsigned method, fast; } kinds[] = { { ODA_SDA, 0 }, { ODA_DDA, 0 }, { ODA_DDA, 1 }, { ODA_CDA, 0 } };
	FILE *csv = file_new(dir, "cards.csv");
	int ret = csv != NULL ? 0 : -EIO;

	if (ret == 0)
		fputs("pan,method,fast\n", csv);
	for (unsigned i = 0; ret == 0 && i < cards; i++) {
		struct oda_signer *card = NULL;

		ret = oda_signer_new(CARD_BYTES, 3, &card);
		if (ret == 0)
			ret = oda_signer_write(card, pem);
		oda_signer_free(card);
		fprintf(csv, "6217999900%06u,%u,%u\n", i, kinds[i % 4].method, kinds[i % 4].fast);
	}
	return csv != NULL && fclose(csv) != 0 ? -EIO : ret;
}

/* The city's side: what names cards on the deny list, and who signs it. */
static int city_write(const char *dir)
{
	char hex[2 * 65 + 1];
	uint8_t secret[32], token[BANK_TOKEN_KEY_BYTES], point[65];
	struct qr_key *key = NULL;
	int ret;

	if (getrandom(secret, sizeof(secret), 0) != (ssize_t)sizeof(secret) || getrandom(token, sizeof(token), 0) != (ssize_t)sizeof(token))
		return -EIO;
	secret[0] &= 0x7F;		/* below the order of the curve */
	ret = qr_key_of_secret(secret, &key);
	if (ret != 0)
		return ret;
	qr_key_point(key, point);
	qr_key_free(key);
	hex_encode(secret, sizeof(secret), hex);
	ret = text_write(dir, "list.key", hex);
	hex_encode(point, sizeof(point), hex);
	if (ret == 0)
		ret = text_write(dir, "list.point", hex);
	hex_encode(token, sizeof(token), hex);
	return ret == 0 ? text_write(dir, "token.key", hex) : ret;
}

int sim_bankcards(int argc, char **argv)
{
	static const struct option longs[] = { { "out", required_argument, NULL, 'o' }, { "cards", required_argument, NULL, 'n' }, { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 } };
	const char *dir = NULL;
	unsigned long cards = 8;
	FILE *pem;
	int c, ret;

	optind = 1;
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (c) {
		case 'o': dir = optarg; break;
		case 'n': cards = strtoul(optarg, NULL, 10); break;
		default: fputs(usage, c == 'h' ? stdout : stderr); return c == 'h' ? EXIT_OK : EXIT_USAGE;
		}
	}
	if (dir == NULL || cards < 1 || cards > CARDS_MAX || optind != argc) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	mkdir(dir, 0700);
	pem = file_new(dir, "cards.pem");
	ret = pem != NULL ? scheme_write(dir, pem) : -EIO;
	if (ret == 0)
		ret = cards_write(dir, pem, (unsigned)cards);
	if (pem != NULL && fclose(pem) != 0 && ret == 0)
		ret = -EIO;
	if (ret == 0)
		ret = city_write(dir);
	if (ret != 0)
		complain("sim bankcards: %s: %s", dir, clearing_strerror(ret));
	return exit_of_error(ret);
}
