/*
 * refdata_publish - tariffs that two persons put in force, and one takes out again. The first signature over a pack's
 * digest and its first moment makes a proposal, the same signed by a second person makes it the tariff from then on;
 * a withdrawal ends it, and the one before holds again. Each is an event: nothing that was in force is ever edited,
 * and every signature is verified again whenever the inbox is replayed.
 */
#include "clearing/refdata.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- persons ------------------------------------------------------------------------------------------ */

static const char *const person_columns[] = { "name", "title", "key" };

static int person_read(const struct ref_reading *r, struct person_row *ret)
{
	struct person_row row = { 0 };

	if (ref_cell(r, 0)[0] == '\0' || strlen(ref_cell(r, 0)) > PERSON_NAME_BYTES_MAX)
		return ref_refuse(r, 0, "a name of 1 to 31 bytes is needed");
	if (strlen(ref_cell(r, 2)) != 130 || !hex_decode(ref_cell(r, 2), row.key, 65) || row.key[0] != 4)
		return ref_refuse(r, 2, "an SM2 public key 04|x|y of 130 hex digits is needed");
	strcpy(row.name, ref_cell(r, 0));
	snprintf(row.title, sizeof(row.title), "%s", ref_cell(r, 1));
	*ret = row;
	return 0;
}

const struct person_row *person_find(const struct person_row *list, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(list[i].name, name) == 0)
			return &list[i];
	return NULL;
}

int persons_apply(struct refdata *ref, const void *p, size_t n, bool dry, char *error, size_t error_bytes)
{
	struct person_row *list = calloc(PERSONS_MAX, sizeof(*list)), row;
	struct ref_reading r;
	size_t count = 0;
	int ret = list == NULL ? -ENOMEM : ref_open(&r, "persons.csv", p, n, person_columns, 3, error, error_bytes);

	if (ret != 0) {
		free(list);
		return ret;
	}
	while ((ret = ref_next(&r)) == 1 && (ret = person_read(&r, &row)) == 0) {
		if (count == PERSONS_MAX || person_find(list, count, row.name) != NULL) {
			ret = ref_refuse(&r, 0, count == PERSONS_MAX ? "more than 64 persons" : "the name stands here twice");
			break;
		}
		for (size_t i = 0; ret == 0 && i < count; i++)
			if (memcmp(list[i].key, row.key, 65) == 0)
				ret = ref_refuse(&r, 2, "the key is another person's");
		if (ret != 0)
			break;
		list[count++] = row;
	}
	csv_close(r.csv);
	if (ret == 0 && !dry) {
		memcpy(ref->person, list, count * sizeof(*list));
		ref->person_count = count;
	}
	free(list);
	return ret;
}

/* ---- what is signed ----------------------------------------------------------------------------------------- */

size_t publish_text(const uint8_t digest[DIGEST_BYTES], int64_t from_ms, char ret_text[PUBLISH_TEXT_BYTES])
{
	char hex[2 * DIGEST_BYTES + 1];

	hex_encode(digest, DIGEST_BYTES, hex);
	return (size_t)snprintf(ret_text, PUBLISH_TEXT_BYTES, "qingfen tariff publish\nsha256 %s\nfrom_ms %" PRId64 "\n",
				hex, from_ms);
}

size_t withdraw_text(uint32_t version, int64_t from_ms, char ret_text[PUBLISH_TEXT_BYTES])
{
	return (size_t)snprintf(ret_text, PUBLISH_TEXT_BYTES,
				"qingfen tariff withdraw\nversion %" PRIu32 "\nfrom_ms %" PRId64 "\n", version, from_ms);
}

static int refuse(char *error, size_t error_bytes, const char *text, const char *name)
{
	snprintf(error, error_bytes, "%s%s%s", text, name[0] != '\0' ? ": " : "", name);
	return CLEARING_E_REFERENCE;
}

static int refuse_of(char *error, size_t error_bytes, const char *what, const char *text, const char *name)
{
	snprintf(error, error_bytes, "%s: %s%s%s", what, text, name[0] != '\0' ? ": " : "", name);
	return CLEARING_E_REFERENCE;
}

int signature_check(const struct refdata *ref, const char *what, const uint8_t *p, const char *text, size_t n, char *error, size_t error_bytes)
{
	const struct person_row *person;

	if (p[8 + PERSON_NAME_BYTES_MAX] != '\0')
		return refuse_of(error, error_bytes, what, "the name is too long", "");
	person = person_find(ref->person, ref->person_count, (const char *)p + 8);
	if (person == NULL)
		return refuse_of(error, error_bytes, what, "not a person who may publish", (const char *)p + 8);
	if (!sm2_verify(person->key, text, n, p + 40))
		return refuse_of(error, error_bytes, what, "the signature is not this person's over what was sent", person->name);
	return 0;
}

/* ---- publishing ------------------------------------------------------------------------------------------------ */

static size_t proposal_find(const struct refdata *r, const uint8_t digest[DIGEST_BYTES], int64_t from_ms)
{
	size_t i = 0;

	while (i < r->proposal_count &&
	       (r->proposal[i].from_ms != from_ms || memcmp(r->proposal[i].digest, digest, DIGEST_BYTES) != 0))
		i++;
	return i;
}

bool refdata_signed(const struct refdata *r) { return r->person_count > 0 && r->pack_count > 0; }

bool refdata_proposed(const struct refdata *r, const uint8_t digest[DIGEST_BYTES], int64_t from_ms)
{
	return proposal_find(r, digest, from_ms) < r->proposal_count;
}

static void proposal_drop(struct refdata *r, size_t i)
{
	free(r->proposal[i].blob);
	memmove(&r->proposal[i], &r->proposal[i + 1], (--r->proposal_count - i) * sizeof(r->proposal[0]));
}

static int proposal_add(struct refdata *ref, const uint8_t *p, const uint8_t *blob, size_t n)
{
	struct proposal x = { .from_ms = (int64_t)be64_get(p), .blob = malloc(n + 1), .bytes = n };

	if (x.blob == NULL)
		return -ENOMEM;
	memcpy(x.blob, blob, n);
	memcpy(x.digest, p + 104, DIGEST_BYTES);
	memcpy(x.by, p + 8, sizeof(x.by));
	memcpy(x.key, person_find(ref->person, ref->person_count, x.by)->key, sizeof(x.key));
	if (ref->proposal_count == PROPOSALS_MAX)
		proposal_drop(ref, 0);		/* the oldest that found no second signature */
	ref->proposal[ref->proposal_count++] = x;
	return 0;
}

static int blob_suits(struct refdata *ref, const uint8_t *p, const uint8_t *blob, size_t n, char *error, size_t error_bytes)
{
	int64_t from_ms = (int64_t)be64_get(p), valid_ms;
	uint8_t digest[DIGEST_BYTES];
	struct tariff *t;
	uint64_t *copy;
	int ret = digest_sha256(blob, n, digest);

	if (ret == 0 && memcmp(digest, p + 104, DIGEST_BYTES) != 0)
		return refuse(error, error_bytes, "tariff: the pack is not the one that was signed", "");
	if (ret == 0)
		ret = packs_add(ref, from_ms, blob, n, true, error, error_bytes);
	copy = malloc(n + 8);			/* aligned, as tariff_open asks */
	if (ret != 0 || copy == NULL) {
		free(copy);
		return ret != 0 ? ret : -ENOMEM;
	}
	memcpy(copy, blob, n);
	ret = tariff_open(copy, n, &t);
	valid_ms = ret == 0 ? tariff_valid_from_ms(t) : 0;
	if (ret == 0)
		tariff_close(t);
	free(copy);
	return ret == 0 && from_ms < valid_ms
		       ? refuse(error, error_bytes, "tariff: from lies before the pack's own valid_from", "")
		       : ret;
}

/* The first signer, still on the list with the key that signed? */
static bool proposer_stands(const struct refdata *ref, const struct proposal *x)
{
	const struct person_row *person = person_find(ref->person, ref->person_count, x->by);

	return person != NULL && memcmp(person->key, x->key, sizeof(x->key)) == 0;
}

int publish_apply(struct refdata *ref, const uint8_t *p, size_t n, bool dry, char *error, size_t error_bytes)
{
	char text[PUBLISH_TEXT_BYTES];
	size_t i;
	int ret;

	if (n < PUBLISH_HEAD_BYTES)
		return refuse(error, error_bytes, "tariff: the event is too short", "");
	ret = signature_check(ref, "tariff", p, text, publish_text(p + 104, (int64_t)be64_get(p), text), error, error_bytes);
	if (ret != 0)
		return ret;
	i = proposal_find(ref, p + 104, (int64_t)be64_get(p));
	if (i == ref->proposal_count) {
		if (n == PUBLISH_HEAD_BYTES)
			return refuse(error, error_bytes, "tariff: no such proposal", "");
		ret = blob_suits(ref, p, p + PUBLISH_HEAD_BYTES, n - PUBLISH_HEAD_BYTES, error, error_bytes);
		return ret != 0 || dry ? ret : proposal_add(ref, p, p + PUBLISH_HEAD_BYTES, n - PUBLISH_HEAD_BYTES);
	}
	if (strcmp(ref->proposal[i].by, (const char *)p + 8) == 0)
		return refuse(error, error_bytes, "tariff: signed by this person already, a second person is needed",
			      ref->proposal[i].by);
	if (!proposer_stands(ref, &ref->proposal[i]))
		return refuse(error, error_bytes,
			      "tariff: the first signer is no longer on the list, sign anew with another time",
			      ref->proposal[i].by);
	ret = packs_add(ref, ref->proposal[i].from_ms, ref->proposal[i].blob, ref->proposal[i].bytes, dry, error, error_bytes);
	if (ret == 0 && !dry)
		proposal_drop(ref, i);
	return ret;
}

/* ---- withdrawing -------------------------------------------------------------------------------------------------- */

int withdraw_apply(struct refdata *ref, const uint8_t *p, size_t n, bool dry, char *error, size_t error_bytes)
{
	struct ref_pack *pack = NULL;
	char text[PUBLISH_TEXT_BYTES];
	int64_t from_ms, to_ms;
	bool another;
	int ret;

	if (n != WITHDRAW_BYTES)
		return refuse(error, error_bytes, "tariff: the event has another length", "");
	from_ms = (int64_t)be64_get(p);
	ret = signature_check(ref, "tariff", p, text, withdraw_text(be32_get(p + 104), from_ms, text), error, error_bytes);
	if (ret != 0)
		return ret;
	for (size_t i = 0; i < ref->pack_count; i++)
		if (tariff_version(ref->pack[i].tariff) == be32_get(p + 104) && ref->pack[i].to_ms == INT64_MAX)
			pack = &ref->pack[i];
	if (pack == NULL)
		return refuse(error, error_bytes, "tariff: no such version is in force or waits for its day", "");
	to_ms = pack->to_ms;
	pack->to_ms = from_ms;
	another = refdata_tariff(ref, from_ms) != NULL;
	if (dry || !another)
		pack->to_ms = to_ms;
	return another ? 0 : refuse(error, error_bytes, "tariff: no other version would be in force", "");
}

bool refdata_tariff_state(const struct refdata *r, size_t i, struct tariff_state *ret)
{
	if (i < r->pack_count) {
		const struct ref_pack *p = &r->pack[i];

		*ret = (struct tariff_state){ tariff_version(p->tariff), tariff_name(p->tariff), p->valid_from_ms, p->to_ms, NULL };
		return true;
	}
	i -= r->pack_count;
	if (i >= r->proposal_count)
		return false;
	*ret = (struct tariff_state){ 0, "", r->proposal[i].from_ms, INT64_MAX, r->proposal[i].by };
	return true;
}
