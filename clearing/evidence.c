/*
 * evidence - a closed day as one file that proves itself: what it holds is listed with SHA-256 and SM3, the taps
 * are the leaves of a tree whose root is in the manifest, the reports' totals must follow from the taps, and the
 * manifest may be signed. Same day, same bytes.
 */
#include "clearing/clearing.h"
#include "clearing/evidence.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#define BLOCK 512
#define PARTS_MAX 32
#define TREE_DEPTH_MAX 48

struct pack_part { char name[64]; const char *p; size_t n; };

/* ---- tree ---------------------------------------------------------------------------------------- */

static int leaf_hash(struct digest *d, const char *p, size_t n, uint8_t ret[32])
{
	digest_reset(d);
	digest_add(d, "\0", 1);
	digest_add(d, p, n);
	digest_end(d, ret);
	return 0;
}

static void node_hash(struct digest *d, const uint8_t *left, const uint8_t *right, uint8_t ret[32])
{
	uint8_t both[64];

	memcpy(both, left, 32);
	memcpy(both + 32, right, 32);
	digest_reset(d);
	digest_add(d, "\1", 1);
	digest_add(d, both, sizeof(both));
	digest_end(d, ret);
}

int merkle_root(const char *p, size_t n, uint8_t ret_root[32], uint64_t *ret_leaves)
{
	uint8_t stack[TREE_DEPTH_MAX][32];
	uint64_t leaves = 0;
	struct digest *d = NULL;
	size_t depth = 0;
	int ret = digest_new(&d);

	if (ret != 0)
		return ret;
	for (const char *end = p + n; p < end; leaves++) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));
		size_t bytes = (size_t)((stop != NULL ? stop : end) - p);

		leaf_hash(d, p, bytes, stack[depth++]);
		/* complete subtrees merge: as many as the leaf count has trailing ones */
		for (uint64_t k = leaves; (k & 1) != 0; k >>= 1, depth--)
			node_hash(d, stack[depth - 2], stack[depth - 1], stack[depth - 2]);
		p = stop != NULL ? stop + 1 : end;
	}
	for (; depth > 1; depth--)
		node_hash(d, stack[depth - 2], stack[depth - 1], stack[depth - 2]);
	if (depth == 0) {
		digest_reset(d);
		digest_end(d, stack[0]);
	}
	memcpy(ret_root, stack[0], 32);
	*ret_leaves = leaves;
	digest_free(d);
	return 0;
}

/* ---- tar --------------------------------------------------------------------------------------------- */

static void tar_write(FILE *out, const char *name, const char *p, size_t n)
{
	static const char zero[BLOCK];
	char head[BLOCK] = { 0 };
	unsigned sum = 0;

	snprintf(head, 100, "%s", name);
	memcpy(head + 100, "0000644", 7);
	memcpy(head + 108, "0000000", 7);
	memcpy(head + 116, "0000000", 7);
	snprintf(head + 124, 12, "%011" PRIo64, (uint64_t)n);
	memcpy(head + 136, "00000000000", 11);
	memset(head + 148, ' ', 8);
	head[156] = '0';
	memcpy(head + 257, "ustar\00000", 8);
	for (size_t i = 0; i < BLOCK; i++)
		sum += (unsigned char)head[i];
	snprintf(head + 148, 8, "%06o", sum);
	fwrite(head, 1, BLOCK, out);
	fwrite(p, 1, n, out);
	fwrite(zero, 1, (BLOCK - n % BLOCK) % BLOCK, out);
}

/* Parts of a tar as we write it; anything else is refused. */
static bool tar_read(const char *p, size_t n, struct pack_part *part, size_t *ret_count)
{
	size_t count = 0, at = 0;

	while (n - at >= BLOCK && p[at] != '\0') {
		char size_text[13] = "", *end;
		char check[BLOCK];
		unsigned sum = 0;
		uint64_t size;

		memcpy(size_text, p + at + 124, 11);
		size = strtoull(size_text, &end, 8);
		memcpy(check, p + at, BLOCK);
		memset(check + 148, ' ', 8);
		for (size_t i = 0; i < BLOCK; i++)
			sum += (unsigned char)check[i];
		snprintf(check, 8, "%06o", sum);
		if (count == PARTS_MAX || *end != '\0' || memcmp(check, p + at + 148, 7) != 0 || p[at + 99] != '\0' || strlen(p + at) >= sizeof(part[0].name) ||
		    size > n - at - BLOCK)
			return false;
		snprintf(part[count].name, sizeof(part[count].name), "%s", p + at);
		part[count].p = p + at + BLOCK;
		part[count++].n = size;
		at += BLOCK + (size + BLOCK - 1) / BLOCK * BLOCK;
		if (at > n)
			return false;
		for (size_t i = size; i % BLOCK != 0; i++)
			if (part[count - 1].p[i] != '\0')
				return false;
	}
	for (size_t i = at; i < n; i++)
		if (p[i] != '\0')
			return false;
	*ret_count = count;
	return n == at + 2 * BLOCK;
}

static const struct pack_part *part_find(const struct pack_part *part, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(part[i].name, name) == 0)
			return &part[i];
	return NULL;
}

/* ---- write --------------------------------------------------------------------------------------------- */

static int part_memory(struct pack_part *part, const char *name, int (*fill)(struct store *, int32_t, const char *, FILE *), struct store *s, int32_t day, const char *arg)
{
	char *p = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&p, &n);
	int ret = f == NULL ? -ENOMEM : fill(s, day, arg, f);

	if (f != NULL)
		fclose(f);
	if (ret != 0) {
		free(p);
		return ret;
	}
	snprintf(part->name, sizeof(part->name), "%s", name);
	part->p = p;
	part->n = n;
	return 0;
}

static int fill_taps(struct store *s, int32_t day, const char *arg, FILE *out)
{
	(void)arg;
	return dump_canonical(s, day, out);
}

static int fill_report(struct store *s, int32_t day, const char *form, FILE *out) { return report_write(s, day, form, "json", out); }

static int fill_day(struct store *s, int32_t day, const char *arg, FILE *out)
{
	char text[11], hex[2 * DIGEST_BYTES + 1];
	struct day_row row;
	struct jsonw j;
	struct txn t;
	int ret = txn_begin(s, false, &t);

	(void)arg;
	if (ret != 0)
		return ret;
	ret = day_get(&t, day, &row) ? row.state >= DAY_CLEARED ? 0 : CLEARING_E_STATE : CLEARING_E_NO_DAY;
	txn_abort(&t);
	if (ret != 0)
		return ret;
	day_format(day, text);
	hex_encode(row.digest, DIGEST_BYTES, hex);
	jsonw_init(&j, out, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "day", text);
	jsonw_kint(&j, "taps", (int64_t)row.tap_count);
	jsonw_kint(&j, "first_seq", (int64_t)row.first_seq);
	jsonw_kint(&j, "cut_seq", (int64_t)row.cut_seq);
	jsonw_kstr(&j, row.seal == DAY_SEAL_TEXT ? "dump_sha256" : "rows_sha256", hex);
	jsonw_object_end(&j);
	fputc('\n', out);
	return 0;
}

static int manifest_make(const struct pack_part *part, size_t count, char **ret_p, size_t *ret_n)
{
	FILE *f = open_memstream(ret_p, ret_n);
	uint8_t digest[DIGEST_BYTES];
	char hex[2 * DIGEST_BYTES + 1];
	uint64_t leaves;
	struct jsonw j;
	int ret = f == NULL ? -ENOMEM : merkle_root(part[1].p, part[1].n, digest, &leaves);

	if (ret != 0)
		return ret;
	jsonw_init(&j, f, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "schema", "qingfen.evidence");
	jsonw_kint(&j, "version", 1);
	hex_encode(digest, DIGEST_BYTES, hex);
	jsonw_kstr(&j, "taps_root", hex);
	jsonw_kint(&j, "leaves", (int64_t)leaves);
	jsonw_key(&j, "parts");
	jsonw_array(&j);
	for (size_t i = 0; ret == 0 && i < count; i++) {
		jsonw_object(&j);
		jsonw_kstr(&j, "name", part[i].name);
		jsonw_kint(&j, "bytes", (int64_t)part[i].n);
		ret = digest_sha256(part[i].p, part[i].n, digest);
		hex_encode(digest, DIGEST_BYTES, hex);
		jsonw_kstr(&j, "sha256", hex);
		if (ret == 0)
			ret = digest_sm3(part[i].p, part[i].n, digest);
		hex_encode(digest, DIGEST_BYTES, hex);
		jsonw_kstr(&j, "sm3", hex);
		jsonw_object_end(&j);
	}
	jsonw_array_end(&j);
	jsonw_object_end(&j);
	fputc('\n', f);
	fclose(f);
	return ret;
}

int evidence_write(struct store *s, int32_t day, const struct qr_key *key, FILE *out)
{
	static const char zero[2 * BLOCK];
	struct pack_part part[PARTS_MAX] = { 0 };
	char *manifest = NULL, name[64];
	uint8_t signature[64];
	size_t count = 2, manifest_bytes = 0;
	int ret = part_memory(&part[0], "day.json", fill_day, s, day, NULL);

	if (ret == 0)
		ret = part_memory(&part[1], "taps.ndjson", fill_taps, s, day, NULL);
	for (size_t i = 0; ret == 0 && i < report_form_count; i++) {
		snprintf(name, sizeof(name), "report/%s.json", report_forms[i]);
		ret = part_memory(&part[count], name, fill_report, s, day, report_forms[i]);
		count += ret == 0;
	}
	if (ret == 0)
		ret = manifest_make(part, count, &manifest, &manifest_bytes);
	if (ret == 0 && key != NULL)
		ret = sm2_sign(key, manifest, manifest_bytes, signature);
	if (ret == 0) {
		tar_write(out, "MANIFEST.json", manifest, manifest_bytes);
		for (size_t i = 0; i < count; i++)
			tar_write(out, part[i].name, part[i].p, part[i].n);
		if (key != NULL)
			tar_write(out, "sm2.sig", (const char *)signature, sizeof(signature));
		fwrite(zero, 1, sizeof(zero), out);
		ret = ferror(out) ? -EIO : 0;
	}
	for (size_t i = 0; i < count; i++)
		free((void *)(uintptr_t)part[i].p);
	free(manifest);
	return ret;
}

/* ---- verify ------------------------------------------------------------------------------------------------ */

struct verifying { FILE *out; unsigned number; int ret; };

static bool say(struct verifying *v, bool holds, const char *what, const char *detail)
{
	fprintf(v->out, "%2u  %s .. %s%s%s\n", ++v->number, what, holds ? "一致 holds" : "不一致 DOES NOT HOLD", detail[0] != '\0' ? ": " : "", detail);
	if (!holds)
		v->ret = CLEARING_E_DIFFERS;
	return holds;
}

static bool digest_matches(const json_t *entry, const char *key, int (*make)(const void *, size_t, uint8_t *), const struct pack_part *p)
{
	const char *stated = json_string_value(json_object_get(entry, key));
	uint8_t digest[DIGEST_BYTES];
	char hex[2 * DIGEST_BYTES + 1];

	if (stated == NULL || make(p->p, p->n, digest) != 0)
		return false;
	hex_encode(digest, DIGEST_BYTES, hex);
	return strcmp(hex, stated) == 0;
}

static bool verify_parts(struct verifying *v, const json_t *manifest, const struct pack_part *part, size_t count)
{
	const json_t *list = json_object_get(manifest, "parts");
	size_t i, listed = json_array_size(list);
	char detail[96] = "";
	bool holds = true;

	for (i = 0; holds && i < listed; i++) {
		const json_t *entry = json_array_get(list, i);
		const char *name = json_string_value(json_object_get(entry, "name"));
		const struct pack_part *p = name != NULL ? part_find(part, count, name) : NULL;

		holds = p != NULL && (size_t)json_integer_value(json_object_get(entry, "bytes")) == p->n && digest_matches(entry, "sha256", digest_sha256, p) &&
			digest_matches(entry, "sm3", digest_sm3, p);
		if (!holds)
			snprintf(detail, sizeof(detail), "%s", name != NULL ? name : "?");
	}
	return say(v, holds && listed + 1 + (part_find(part, count, "sm2.sig") != NULL) == count, "清单与文件摘要 manifest and digests SHA-256, SM3", detail);
}

static bool verify_root(struct verifying *v, const json_t *manifest, const struct pack_part *taps)
{
	const char *stated = json_string_value(json_object_get(manifest, "taps_root"));
	char hex[2 * DIGEST_BYTES + 1], detail[64];
	uint8_t root[32];
	uint64_t leaves = 0;
	bool holds = merkle_root(taps->p, taps->n, root, &leaves) == 0;

	hex_encode(root, 32, hex);
	snprintf(detail, sizeof(detail), "%" PRIu64 " 叶 leaves", leaves);
	return say(v, holds && stated != NULL && strcmp(stated, hex) == 0 && (uint64_t)json_integer_value(json_object_get(manifest, "leaves")) == leaves,
		   "刷卡叶子与树根 tree root over the taps", detail);
}

/* What the day was closed with: by its rows, or, as days were closed before, by the text of its dump. */
static bool verify_seal(struct verifying *v, const struct pack_part *day_part, const struct pack_part *taps)
{
	json_t *json = json_loadb(day_part->p, day_part->n, JSON_REJECT_DUPLICATES, NULL);
	const char *stated = json_string_value(json_object_get(json, "rows_sha256")), *date = json_string_value(json_object_get(json, "day"));
	char hex[2 * DIGEST_BYTES + 1] = "";
	uint8_t digest[DIGEST_BYTES];
	int32_t day;
	bool holds;

	if (stated == NULL) {
		holds = digest_matches(json, "dump_sha256", digest_sha256, taps);
	} else {
		holds = date != NULL && day_parse(date, &day) && seal_of_lines(day, taps->p, taps->n, digest);
		if (holds)
			hex_encode(digest, DIGEST_BYTES, hex);
		holds = holds && strcmp(hex, stated) == 0;
	}
	json_decref(json);
	return say(v, holds, "关账摘要 = 逐笔 the day's digest follows from the taps", "");
}

/* splits: every fare does, and no sum has left what a number can hold. */
struct tap_sums { int64_t taps, all, published, charged, rated, absorbed, subsidy, differing, over, under, kept; bool splits; };

static void sum_add(struct tap_sums *s, int64_t *sum, int64_t fen) { s->splits = !__builtin_add_overflow(*sum, fen, sum) && s->splits; }

static int64_t member(const json_t *of, const char *key) { return json_integer_value(json_object_get(of, key)); }

static int64_t funders_sum(struct tap_sums *s, const json_t *of)
{
	const json_t *funders = json_object_get(of, "funders");
	int64_t sum = 0;

	for (size_t i = 0; i < json_array_size(funders); i++)
		sum_add(s, &sum, json_integer_value(json_array_get(json_array_get(funders, i), 1)));
	return sum;
}

/* Published = rated + absorbed + subsidies, of a fare or of one side of an adjustment. */
static void split_check(struct tap_sums *s, const json_t *of, int64_t subsidy)
{
	int64_t parts = subsidy;

	sum_add(s, &parts, member(of, "rated_fen"));
	sum_add(s, &parts, member(of, "absorbed_fen"));
	s->splits = s->splits && parts == member(of, "published_fen");
}

static void sum_line(struct tap_sums *s, const json_t *tap)
{
	const json_t *before = json_object_get(tap, "before"), *after = json_object_get(tap, "after");
	const char *verdict = json_string_value(json_object_get(tap, "verdict"));
	int64_t subsidy;

	if (json_object_get(tap, "adjusts") != NULL) {
		split_check(s, before, funders_sum(s, before));
		split_check(s, after, funders_sum(s, after));
	}
	if (verdict == NULL)
		return;		/* an adjustment or a posting */
	s->all++;
	subsidy = funders_sum(s, tap);
	split_check(s, tap, subsidy);
	if (strcmp(verdict, "accepted") != 0 && strcmp(verdict, "pending") != 0)
		return;
	s->taps++;
	sum_add(s, &s->published, member(tap, "published_fen"));
	sum_add(s, &s->charged, member(tap, "charged_fen"));
	sum_add(s, &s->rated, member(tap, "rated_fen"));
	sum_add(s, &s->absorbed, member(tap, "absorbed_fen"));
	sum_add(s, &s->subsidy, subsidy);
	s->differing += json_object_get(tap, "difference") != NULL;
	sum_add(s, &s->over, member(tap, "overcharge_fen"));
	sum_add(s, &s->under, member(tap, "undercharge_fen"));
	sum_add(s, &s->kept, member(tap, "kept_fen"));
}

static bool sum_taps(const struct pack_part *taps, struct tap_sums *ret)
{
	*ret = (struct tap_sums){ .splits = true };
	for (const char *p = taps->p, *end = p + taps->n; p < end;) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));
		json_t *tap = json_loadb(p, (size_t)((stop != NULL ? stop : end) - p), JSON_REJECT_DUPLICATES, NULL);

		if (!json_is_object(tap)) {
			json_decref(tap);
			return false;
		}
		sum_line(ret, tap);
		json_decref(tap);
		p = stop != NULL ? stop + 1 : end;
	}
	return true;
}

static bool report_agrees(const json_t *report, const struct tap_sums *s)
{
	const json_t *total = json_object_get(report, "total");

	return json_integer_value(json_object_get(total, "taps")) == s->taps && json_integer_value(json_object_get(total, "published_fen")) == s->published &&
	       json_integer_value(json_object_get(total, "charged_fen")) == s->charged && json_integer_value(json_object_get(total, "rated_fen")) == s->rated &&
	       json_integer_value(json_object_get(total, "subsidy_fen")) == s->subsidy && json_integer_value(json_object_get(total, "absorbed_fen")) == s->absorbed;
}

static bool differences_agree(const json_t *report, const struct tap_sums *s)
{
	const json_t *total = json_object_get(report, "total");

	return json_integer_value(json_object_get(total, "taps")) == s->differing && json_integer_value(json_object_get(total, "overcharge_fen")) == s->over &&
	       json_integer_value(json_object_get(total, "undercharge_fen")) == s->under && json_integer_value(json_object_get(total, "kept_fen")) == s->kept;
}

static void verify_reports(struct verifying *v, const struct pack_part *part, size_t count, const struct tap_sums *sums)
{
	size_t relations = 0, kept = 0;
	char detail[64];
	bool agree = true;

	for (size_t i = 0; i < count; i++) {
		const json_t *list;
		json_t *report;

		if (strncmp(part[i].name, "report/", 7) != 0)
			continue;
		report = json_loadb(part[i].p, part[i].n, JSON_REJECT_DUPLICATES, NULL);
		if (strncmp(part[i].name + 7, "D-01", 4) == 0 || strncmp(part[i].name + 7, "D-02", 4) == 0 || strncmp(part[i].name + 7, "D-03", 4) == 0)
			agree = agree && report_agrees(report, sums);
		if (strncmp(part[i].name + 7, "D-07", 4) == 0)
			agree = agree && differences_agree(report, sums);
		list = json_object_get(report, "relations");
		for (size_t k = 0; k < json_array_size(list); k++) {
			const json_t *one = json_array_get(list, k);

			relations++;
			kept += json_integer_value(json_object_get(one, "left")) == json_integer_value(json_object_get(one, "right"));
		}
		json_decref(report);
	}
	say(v, agree, "报表合计 = 逐笔之和 report totals are the sums of the taps", "");
	snprintf(detail, sizeof(detail), "%zu/%zu", kept, relations);
	say(v, relations > 0 && kept == relations, "审核关系 balance relations", detail);
}

static void verify_signature(struct verifying *v, const struct pack_part *manifest, const struct pack_part *signature, const uint8_t *point)
{
	if (point == NULL) {
		fprintf(v->out, "%2u  SM2 签名 signature .. %s\n", ++v->number, signature != NULL ? "未核对 (无信任公钥) not checked, give --trust" : "无 none");
		return;
	}
	say(v, signature != NULL && signature->n == 64 && sm2_verify(point, manifest->p, manifest->n, (const uint8_t *)signature->p), "清单签名 SM2 signature of the manifest", "");
}

int evidence_verify(const uint8_t *p, size_t n, const uint8_t *point, FILE *out)
{
	struct verifying v = { .out = out };
	struct pack_part part[PARTS_MAX];
	const struct pack_part *manifest_part, *taps, *day;
	struct tap_sums sums;
	json_t *manifest = NULL;
	size_t count = 0;

	if (!say(&v, tar_read((const char *)p, n, part, &count), "文件结构 container", ""))
		return v.ret;
	manifest_part = part_find(part, count, "MANIFEST.json");
	taps = part_find(part, count, "taps.ndjson");
	day = part_find(part, count, "day.json");
	if (manifest_part != NULL)
		manifest = json_loadb(manifest_part->p, manifest_part->n, JSON_REJECT_DUPLICATES, NULL);
	if (!say(&v, json_is_object(manifest) && taps != NULL && day != NULL, "清单可读 manifest can be read", ""))
		goto out;
	verify_parts(&v, manifest, part, count);
	verify_signature(&v, manifest_part, part_find(part, count, "sm2.sig"), point);
	verify_root(&v, manifest, taps);
	verify_seal(&v, day, taps);
	if (say(&v, sum_taps(taps, &sums) && sums.splits, "每笔应收 = 应付 + 补贴 + 企业承担 each fare splits exactly", ""))
		verify_reports(&v, part, count, &sums);
	fprintf(out, "结论 result: %s; TAC 为对称密钥, 不能在此核对 TACs are symmetric and cannot be checked here\n", v.ret == 0 ? "一致 all hold" : "不一致 a check does not hold");
out:
	json_decref(manifest);
	return v.ret;
}
