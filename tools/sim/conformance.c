/* conformance - see conformance.h: signing the object as it stands, and the checks that need nothing else. */
#include "tools/sim/conformance.h"

#include "tools/tools.h"

#include <errno.h>
#include <string.h>

#include <jansson.h>

#define HEAD "{\"certificate\":"
#define SIGNER ",\"signer\":\""
#define SIGNATURE "\",\"signature\":\""
#define TAIL "\"}\n"
#define POINT_BYTES 65
#define SIG_BYTES 64
/* What follows the signed object: of one length always. */
#define FOOT_BYTES (sizeof(SIGNER) - 1 + 2 * POINT_BYTES + sizeof(SIGNATURE) - 1 + 2 * SIG_BYTES + sizeof(TAIL) - 1)

int conformance_sign(FILE *out, const char *object, const struct qr_key *key)
{
	char point_hex[2 * POINT_BYTES + 1], sig_hex[2 * SIG_BYTES + 1];
	uint8_t point[POINT_BYTES], sig[SIG_BYTES];

	if (key == NULL)
		return fprintf(out, HEAD "%s}\n", object) < 0 ? -EIO : 0;
	if (sm2_sign(key, object, strlen(object), sig) != 0)
		return -EIO;
	qr_key_point(key, point);
	hex_encode(point, sizeof(point), point_hex);
	hex_encode(sig, sizeof(sig), sig_hex);
	return fprintf(out, HEAD "%s" SIGNER "%s" SIGNATURE "%s" TAIL, object, point_hex, sig_hex) < 0 ? -EIO : 0;
}

bool conformance_is(const void *p, size_t n) { return n > sizeof(HEAD) && memcmp(p, HEAD, sizeof(HEAD) - 1) == 0; }

struct paper { const char *object; size_t bytes; uint8_t point[POINT_BYTES], sig[SIG_BYTES]; bool is_signed; };

static bool hex_at(const char *p, uint8_t *ret, size_t n)
{
	char text[2 * POINT_BYTES + 1];

	memcpy(text, p, 2 * n);
	text[2 * n] = '\0';
	return hex_decode(text, ret, n);
}

/* The signed object and what stands behind it; an unsigned certificate ends with "}\n". */
static bool paper_split(const char *p, size_t n, struct paper *ret)
{
	size_t head = sizeof(HEAD) - 1, foot = FOOT_BYTES;
	const char *at;

	*ret = (struct paper){ .object = p + head };
	ret->is_signed = n > head + foot && memcmp(p + n - foot, SIGNER, sizeof(SIGNER) - 1) == 0;
	if (!ret->is_signed) {
		ret->bytes = n > head + 2 ? n - head - 2 : 0;
		return n > head + 2 && memcmp(p + n - 2, "}\n", 2) == 0;
	}
	ret->bytes = n - head - foot;
	at = p + n - foot + sizeof(SIGNER) - 1;
	if (!hex_at(at, ret->point, POINT_BYTES) || memcmp(at + 2 * POINT_BYTES, SIGNATURE, sizeof(SIGNATURE) - 1) != 0)
		return false;
	at += 2 * POINT_BYTES + sizeof(SIGNATURE) - 1;
	return hex_at(at, ret->sig, SIG_BYTES) && memcmp(at + 2 * SIG_BYTES, TAIL, sizeof(TAIL) - 1) == 0;
}

static int check(FILE *out, int number, const char *what, bool holds)
{
	fprintf(out, "%d %s %s\n", number, holds ? "ok" : "NOT", what);
	return holds ? 0 : CLEARING_E_DIFFERS;
}

/* Every rule of the certificate has a result, and the one of the whole follows from them. */
static bool results_agree(const json_t *certificate, bool *ret_passed)
{
	const char *whole = json_string_value(json_object_get(certificate, "result"));
	const json_t *rules = json_object_get(certificate, "rules"), *rule;
	bool failed = false, partly = false;
	size_t i;

	if (whole == NULL || json_array_size(rules) == 0)
		return false;
	json_array_foreach(rules, i, rule) {
		const char *result = json_string_value(json_object_get(rule, "result"));

		if (result == NULL)
			return false;
		failed = failed || strcmp(result, "failed") == 0;
		partly = partly || (strcmp(result, "passed") != 0 && !json_is_true(json_object_get(rule, "optional")));
	}
	*ret_passed = strcmp(whole, "passed") == 0;
	return strcmp(whole, failed ? "failed" : partly ? "incomplete" : "passed") == 0;
}

static bool schema_known(const json_t *c)
{
	const char *schema = json_string_value(json_object_get(c, "schema"));

	return schema != NULL && strcmp(schema, "qingfen.conformance") == 0 && json_integer_value(json_object_get(c, "version")) == 1;
}

int conformance_verify(const void *p, size_t n, const uint8_t *point, FILE *out)
{
	json_t *c = NULL;
	struct paper paper;
	bool passed = false;
	int ret = check(out, 1, "the file is a certificate as it was written", paper_split(p, n, &paper));

	if (ret == 0) {
		c = json_loadb(paper.object, paper.bytes, JSON_REJECT_DUPLICATES, NULL);
		ret = check(out, 2, "the certificate can be read", c != NULL && schema_known(c));
	}
	if (ret == 0)
		ret = check(out, 3, "it is signed by the key it names", paper.is_signed && sm2_verify(paper.point, paper.object, paper.bytes, paper.sig));
	if (ret == 0 && point != NULL)
		ret = check(out, 4, "the signer is the one trusted", memcmp(point, paper.point, POINT_BYTES) == 0);
	if (ret == 0)
		ret = check(out, 5, "its result follows from the rules", results_agree(c, &passed));
	if (ret == 0)
		ret = check(out, 6, "the terminal passed", passed);
	if (ret == 0 && point == NULL)
		fprintf(out, "- whose key it is was not asked: --trust names the signer\n");
	json_decref(c);
	return ret;
}
