/*
 * verify - what the key check of each record of a batch finds: a function of the records and the keys alone, one ring
 * for all records of a batch. The purse codes of a batch are verified together, since that is many times cheaper than one by one.
 */
#include "clearing/daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct verifier {
	struct daemon *daemon;
	const struct secrets *secrets;	/* held */
	struct tac_batch *tacs;
	int64_t deadline_ms;
	struct qr_verifier *qr;
	struct code_formats formats;
	struct oda_keys *schemes;	/* of bank cards; NULL: no list */
	/* the purse records of one batch; questions point into the taps */
	size_t count;
	uint16_t at[BATCH_TAPS_MAX];
	struct purchase purchase[BATCH_TAPS_MAX];
	struct tac_question question[BATCH_TAPS_MAX];
	enum key_check answer[BATCH_TAPS_MAX];
};

#define SCHEMES_BYTES_MAX (1u << 20)

static int schemes_load(const char *path, struct oda_keys **ret)
{
	char *text = malloc(SCHEMES_BYTES_MAX), error[256] = "cannot be read";
	FILE *f = fopen(path, "re");
	size_t n = f != NULL && text != NULL ? fread(text, 1, SCHEMES_BYTES_MAX, f) : 0;
	int code = n > 0 && n < SCHEMES_BYTES_MAX ? oda_keys_parse(path, text, n, ret, error, sizeof(error)) : -EIO;

	if (f != NULL)
		fclose(f);
	if (code != 0)
		log_event("bank-scheme-keys", "file=%s reason=\"%s\"", path, error);
	free(text);
	return code;
}

static int formats_load(const char *path, struct code_formats *ret)
{
	char text[8192], error[400] = "cannot be read";
	FILE *f = fopen(path, "re");
	size_t n = f != NULL ? fread(text, 1, sizeof(text), f) : 0;
	int code = f != NULL && n < sizeof(text) ? code_formats_parse(path, text, n, ret, error, sizeof(error)) : -EIO;

	if (f != NULL)
		fclose(f);
	if (code != 0)
		log_event("code-formats", "file=%s reason=\"%s\"", path, error);
	return code;
}

int verifier_new(struct daemon *d, struct verifier **ret_verifier)
{
	const struct conf *conf = &d->conf;
	struct verifier *v = calloc(1, sizeof(*v));
	char error[256];
	int ret = v == NULL ? -ENOMEM : tac_batch_new(conf->verify_lanes != 0, &v->tacs);

	if (ret == 0)
		ret = qr_verifier_new(&v->qr);
	if (ret == 0 && conf->qr_ca[0] != '\0')
		ret = qr_verifier_load_ca(v->qr, conf->qr_ca, error, sizeof(error));
	if (ret == 0 && conf->bank_scheme_keys[0] != '\0')
		ret = schemes_load(conf->bank_scheme_keys, &v->schemes);
	if (ret == 0 && conf->code_formats[0] != '\0')
		ret = formats_load(conf->code_formats, &v->formats);
	if (ret != 0) {
		verifier_free(v);
		return ret;
	}
	v->daemon = d;
	v->deadline_ms = conf->key_deadline_ms;
	v->secrets = secrets_take(d);
	*ret_verifier = v;
	return 0;
}

void verifier_free(struct verifier *v)
{
	if (v == NULL)
		return;
	tac_batch_free(v->tacs);
	secrets_give(v->daemon, v->secrets);
	qr_verifier_free(v->qr);
	oda_keys_free(v->schemes);
	free(v);
}

void verifier_follow(struct verifier *v)
{
	if (secrets_in_force(v->daemon, v->secrets))
		return;
	tac_batch_forget(v->tacs);
	secrets_give(v->daemon, v->secrets);
	v->secrets = secrets_take(v->daemon);
}

const char *verifier_path(const struct verifier *v, enum key_alg alg) { return tac_batch_path(v->tacs, alg); }

static void question_add(struct verifier *v, const struct tap *tap, uint16_t at)
{
	tap_purchase(tap, &v->purchase[v->count]);
	v->question[v->count] = (struct tac_question){ .purchase = &v->purchase[v->count], .issuer = tap->issuer, .pan = tap->pan,
		.key_version = (uint8_t)tap->key_version, .key_index = (uint8_t)tap->key_index, .alg_id = (uint8_t)tap->alg_id, .at_ms = tap->time_ms, .tac = tap->tac };
	v->at[v->count++] = at;
}

static enum key_check qr_check(struct verifier *v, const struct tap *tap)
{
	struct qr_code code;
	enum qr_verdict verdict = qr_verify(v->qr, tap->qr.p, tap->qr.n, tap->time_ms / 1000, &code);

	if (verdict == QR_UNKNOWN_CA)
		return KEY_CHECK_FOREIGN;
	return verdict == QR_GOOD && memcmp(code.pan, tap->pan, sizeof(code.pan)) == 0 && memcmp(code.issuer, tap->issuer, 4) == 0 ? KEY_CHECK_GOOD : KEY_CHECK_BAD;
}

/* The terminal authenticated the card; its word counts when the record carries the proof, and the scheme key it believed
 * is one of ours, if we have a list. */
static enum key_check bank_check(const struct verifier *v, const struct tap *tap)
{
	uint8_t rid[5], index;

	if (bank_proof_fault(tap, rid, &index) != NULL || (v->schemes != NULL && !oda_keys_has(v->schemes, rid, index, tap->time_ms)))
		return KEY_CHECK_BAD;
	return KEY_CHECK_DEVICE;
}

/* Its platform judges; what can be known without asking is looked at when the formats are here. */
static enum key_check platform_code_check(const struct verifier *v, const struct tap *tap)
{
	const struct code_format *f;
	uint8_t pan[10];

	if (tap->qr.n == 0)
		return KEY_CHECK_BAD;
	if (v->formats.count == 0)
		return KEY_CHECK_FOREIGN;
	f = code_format_of(&v->formats, tap->qr.p, tap->qr.n);
	return f != NULL && f->kind == tap->kind && code_format_check(f, tap->qr.p, tap->time_ms / 1000, pan) == CODE_SOUND &&
	       memcmp(pan, tap->pan, sizeof(pan)) == 0 ? KEY_CHECK_FOREIGN : KEY_CHECK_BAD;
}

/* A record that is not asked about with others. */
static enum key_check check_alone(struct verifier *v, const struct tap *tap)
{
	switch ((enum tap_kind)tap->kind) {
	case TAP_QR: return qr_check(v, tap);
	case TAP_BANK: return bank_check(v, tap);
	case TAP_BANK_QR:
	case TAP_IDENTITY:
		return platform_code_check(v, tap);
	case TAP_MANUAL:
		return KEY_CHECK_DEVICE;
	case TAP_PURCHASE:
	case TAP_BOARD:
	case TAP_ALIGHT:
	case TAP_PRODUCT:
	case TAP_LOCK:
	case TAP_SIGN_ON:
	case TAP_SIGN_OFF:
	case TAP_LINE_ON:
		break;
	}
	return KEY_CHECK_NONE;
}

static bool in_purse(const struct tap *tap)
{
	return tap->kind == TAP_PURCHASE || tap->kind == TAP_BOARD || tap->kind == TAP_ALIGHT || tap->kind == TAP_PRODUCT;
}

void verifier_marks(struct verifier *v, const struct batch_taps *taps, uint32_t count, int64_t received_ms, uint8_t *ret_marks)
{
	verifier_follow(v);
	v->count = 0;
	for (uint32_t i = 0; i < count; i++) {
		const struct tap *tap = &taps->tap[i];

		ret_marks[2 * i] = KEY_CHECK_NONE;
		ret_marks[2 * i + 1] = 0;
		if (!taps->good[i])
			continue;
		if (tap->time_ms > received_ms + judge_limits_default.future_ms_max)
			ret_marks[2 * i + 1] |= EVENT_BIT_FUTURE;
		if (in_purse(tap))
			question_add(v, tap, (uint16_t)i);
		else
			ret_marks[2 * i] = (uint8_t)check_alone(v, tap);
	}
	tac_batch_verify(v->tacs, v->secrets->ring, v->question, v->count, v->answer);
	if (v->secrets->device != NULL)
		key_device_verify(v->secrets->device, v->question, v->count, v->deadline_ms, v->answer);
	for (size_t i = 0; i < v->count; i++)
		ret_marks[2 * v->at[i]] = (uint8_t)v->answer[i];
}
