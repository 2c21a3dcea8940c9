/*
 * Keys of the demonstration: one keyring with 3DES and SM4 roots of the city's issuer, and the SM2
 * key tree of its QR codes (CA -> issuer -> user). All from the seed: worth nothing, and the file
 * says so.
 */
#include "city.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tools.h"

#define QR_CA_INDEX  1
#define QR_VALID_S   60
static const uint8_t issuer_ours[4] = {0x02, 0x18, 0x42, 0x80};

struct qr_user {
	struct qr_key *key;
	uint8_t auth[QR_BYTES_MAX];
	size_t auth_bytes;
};
struct city_qr {
	struct qr_key *ca, *issuer;
	uint8_t cert[117];
	struct qr_user user[QR_USERS_MAX];
	uint32_t users;
};

static int ring_fill(struct city *c)
{
	static const enum key_purpose purpose[] = {KEY_PURCHASE, KEY_LOAD, KEY_TAC};

	for (int alg = KEY_ALG_3DES; alg <= KEY_ALG_SM4; alg++)
		for (size_t i = 0; i < sizeof(purpose) / sizeof(purpose[0]); i++) {
			struct key_entry e = {.purpose = purpose[i],
					      .alg = (enum key_alg)alg,
					      .version = 1,
					      .flags = KEY_FLAG_TEST,
					      .levels = 2,
					      .valid_from_ms = 0,
					      .valid_to_ms = INT64_MAX};
			uint8_t key[KEY_BYTES];
			int ret;

			memcpy(e.issuer, issuer_ours, sizeof(e.issuer));
			city_random_bytes(&c->rng, key, sizeof(key));
			ret = keyring_add(c->ring, &e, key);
			key_wipe(key, sizeof(key));
			if (ret != 0)
				return ret;
		}
	return 0;
}

static int ring_save(struct city *c)
{
	char path[512], pass[33];
	uint8_t secret[16];
	FILE *f = city_create(c, "keyring.pass");
	int ret;

	if (f == NULL)
		return -1;
	city_random_bytes(&c->rng, secret, sizeof(secret));
	hex_encode(secret, sizeof(secret), pass);
	fprintf(f, "%s\n", pass);
	if (!city_close(c, "keyring.pass", f))
		return -1;
	city_path(c, "keyring.qfk", path, sizeof(path));
	ret = keyring_save(c->ring, path, pass);
	return ret;
}

static int qr_key_draw(struct city *c, struct qr_key **ret_key)
{
	uint8_t d[32];

	city_random_bytes(&c->rng, d, sizeof(d));
	d[0] = 0x11; /* below the order of the curve */
	return qr_key_of_secret(d, ret_key);
}

static int qr_authority(struct city *c)
{
	static const uint8_t expiry_mmyy[2] = {0x12, 0x45};
	uint8_t point[65];
	char text[131];
	FILE *f;
	int ret = qr_key_draw(c, &c->qr->ca);

	if (ret == 0)
		ret = qr_key_draw(c, &c->qr->issuer);
	if (ret == 0)
		ret = qr_make_cert(c->qr->ca, QR_CA_INDEX, issuer_ours, expiry_mmyy, c->qr->issuer,
				   c->qr->cert);
	if (ret != 0)
		return ret;
	f = city_create(c, "qr-ca.txt");
	if (f == NULL)
		return -1;
	qr_key_point(c->qr->ca, point);
	hex_encode(point, sizeof(point), text);
	fprintf(f, "# QR certificate authority of the demonstration city\n%d %s\n", QR_CA_INDEX,
		text);
	return city_close(c, "qr-ca.txt", f) ? 0 : -1;
}

int city_keys_make(struct city *c)
{
	int ret = mac_engine_new(&c->mac);

	c->qr = city_grow(NULL, sizeof(*c->qr), 1);
	if (ret == 0)
		ret = keyring_new(&c->ring);
	if (ret == 0)
		ret = ring_fill(c);
	if (ret == 0)
		ret = ring_save(c);
	if (ret == 0)
		ret = qr_authority(c);
	if (ret != 0)
		complain("sim city: keys: %s", clearing_strerror(ret));
	return ret;
}

void city_qr_free(struct city_qr *qr)
{
	if (qr == NULL)
		return;
	for (uint32_t i = 0; i < qr->users; i++)
		qr_key_free(qr->user[i].key);
	qr_key_free(qr->issuer);
	qr_key_free(qr->ca);
	free(qr);
}

/* A user's key and issuer-signed authorisation: once a user, used for all its codes. */
static int qr_user_new(struct city *c, struct city_card *card)
{
	struct qr_user *u = &c->qr->user[c->qr->users];
	struct qr_account a = {.pay_account = "0000000042800001",
			       .account_type = 1,
			       .ride_limit_fen = 20000,
			       .validity_s = QR_VALID_S,
			       .auth_expiry_s = (uint32_t)(c->midnight_ms / 1000) + 30 * 86400};
	int ret;

	city_card_number(c, card, a.pan);
	memcpy(a.issuer, issuer_ours, sizeof(a.issuer));
	memcpy(a.platform, issuer_ours, sizeof(a.platform));
	ret = qr_key_draw(c, &u->key);
	if (ret == 0)
		ret = qr_make_auth(c->qr->cert, c->qr->issuer, &a, u->key, u->auth, &u->auth_bytes);
	if (ret == 0)
		card->qr_user = ++c->qr->users;
	return ret;
}

int city_qr_code(struct city *c, struct city_card *card, int64_t time_ms, uint8_t *payload,
		 size_t *ret_bytes)
{
	const struct qr_user *u;
	int ret = 0;

	if (card->qr_user == 0 && c->qr->users == QR_USERS_MAX)
		return -ERANGE;
	if (card->qr_user == 0)
		ret = qr_user_new(c, card);
	if (ret != 0)
		return ret;
	u = &c->qr->user[card->qr_user - 1];
	return qr_make_code(u->auth, u->auth_bytes, u->key, (uint32_t)(time_ms / 1000) - 3, payload,
			    ret_bytes);
}
