/*
 * tariff_taps - past rides for a trial, read from the file that tariff rate reads: one flat JSON object a line. The
 * line is read where it lies, texts become numbers, and nothing is allocated for a tap; a million are read in about
 * a second.
 */
#include "tools/tariff_trial.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- JSON in place -------------------------------------------------------------------------------------- */

struct scan { char *p; const char *fault; };	/* the line ends with NUL */
enum value_kind { VALUE_NONE, VALUE_TEXT, VALUE_NUMBER, VALUE_TRUE, VALUE_OTHER, VALUE_LIST, VALUE_OBJECT };
struct value { enum value_kind kind; const char *text; int64_t number; };

static void blanks(struct scan *s)
{
	while (*s->p == ' ' || *s->p == '\t' || *s->p == '\r' || *s->p == '\n')
		s->p++;
}

static bool fault(struct scan *s, const char *text)
{
	if (s->fault == NULL)
		s->fault = text;
	return false;
}

static bool take(struct scan *s, char c)
{
	blanks(s);
	if (*s->p != c)
		return false;
	s->p++;
	return true;
}

/* One \u escape as UTF-8; never longer than the escape, so it is written in place. */
static char *escape_unicode(struct scan *s, char *out)
{
	unsigned code = 0;

	for (int i = 1; i <= 4; i++) {
		char c = s->p[i];
		int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;

		if (digit < 0) {
			fault(s, "a \\u escape is not four hex digits");
			return out;
		}
		code = code << 4 | (unsigned)digit;
	}
	if (code == 0 || (code >= 0xD800 && code < 0xE000)) {
		fault(s, "this \\u escape cannot stand here");
		return out;
	}
	s->p += 4;
	if (code < 0x80) {
		*out++ = (char)code;
		return out;
	}
	if (code < 0x800) {
		*out++ = (char)(0xC0 | code >> 6);
	} else {
		*out++ = (char)(0xE0 | code >> 12);
		*out++ = (char)(0x80 | (code >> 6 & 0x3F));
	}
	*out++ = (char)(0x80 | (code & 0x3F));
	return out;
}

static bool text_take(struct scan *s, const char **ret)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	char *out;

	if (!take(s, '"'))
		return fault(s, "a text is needed");
	*ret = out = s->p;
	for (; *s->p != '"'; s->p++) {
		if ((unsigned char)*s->p < 0x20)
			return fault(s, "a text does not end");
		if (*s->p != '\\') {
			*out++ = *s->p;
			continue;
		}
		s->p++;
		if (*s->p == 'u') {
			out = escape_unicode(s, out);
		} else {
			const char *at = *s->p != '\0' ? strchr(from, *s->p) : NULL;

			if (at == NULL)
				return fault(s, "an unknown escape");
			*out++ = to[at - from];
		}
		if (s->fault != NULL)
			return false;
	}
	s->p++;
	*out = '\0';
	return true;
}

static bool number_take(struct scan *s, struct value *v)
{
	char *end;

	errno = 0;
	v->number = strtoll(s->p, &end, 10);
	if (end == s->p || errno != 0 || *end == '.' || *end == 'e' || *end == 'E')
		return fault(s, "a whole number, a text, true, false, null or a list is needed");
	s->p = end;
	v->kind = VALUE_NUMBER;
	return true;
}

static bool word_take(struct scan *s, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(s->p, word, n) != 0)
		return false;
	s->p += n;
	return true;
}

/* A scalar is taken; of a list or an object only the opening bracket. */
static bool value_take(struct scan *s, struct value *v)
{
	*v = (struct value){ .kind = VALUE_OTHER, .text = "" };
	blanks(s);
	switch (*s->p) {
	case '"': v->kind = VALUE_TEXT; return text_take(s, &v->text);
	case '[': v->kind = VALUE_LIST; s->p++; return true;
	case '{': v->kind = VALUE_OBJECT; s->p++; return true;
	case 't': v->kind = VALUE_TRUE; return word_take(s, "true") || fault(s, "not JSON");
	case 'f': return word_take(s, "false") || fault(s, "not JSON");
	case 'n': return word_take(s, "null") || fault(s, "not JSON");
	default: return number_take(s, v);
	}
}

/* Over what is left of an opened list or object that nobody asked for. */
static bool rest_skip(struct scan *s, const struct value *v)
{
	unsigned depth = v->kind == VALUE_LIST || v->kind == VALUE_OBJECT;
	const char *text;

	while (depth > 0) {
		if (*s->p == '\0')
			return fault(s, "a list or an object does not end");
		if (*s->p == '"') {
			if (!text_take(s, &text))
				return false;
			continue;
		}
		depth += *s->p == '[' || *s->p == '{';
		depth -= *s->p == ']' || *s->p == '}';
		s->p++;
	}
	return true;
}

/* ---- a tap --------------------------------------------------------------------------------------------------- */

enum tap_key { K_CARD, K_NUMBER, K_TIME, K_LINE, K_MEDIUM, K_EVENT, K_IN_TIME, K_OUT_TIME, K_CLASS, K_PRODUCT, K_OPERATOR, K_VEHICLE, K_ISSUER, K_LIST_FEN, K_STOP_ON,
	K_STOP_OFF, K_DISTANCE_M, K_FAR_M, K_STOPS, K_ZONES, K_INSIDE, K_ESCORT, K_BIRTH, K_ISSUED, K_HOME, K_KNOWN, K_GRANTED, K_HOLDS, K_COUNT };
/* The largest number a member takes; 0: it is not a number. */
static const int64_t number_max[K_COUNT + 1] = { [K_CLASS] = UINT8_MAX, [K_LIST_FEN] = 1000000, [K_STOP_ON] = UINT16_MAX, [K_STOP_OFF] = UINT16_MAX,
	[K_DISTANCE_M] = UINT32_MAX, [K_FAR_M] = UINT32_MAX, [K_STOPS] = UINT16_MAX, [K_ZONES] = UINT16_MAX, [K_HOME] = 999999, [K_GRANTED] = UINT32_MAX };
static const char *const key_names[K_COUNT] = { "card", "number", "time", "line", "medium", "event", "in_time", "out_time", "class", "product", "operator", "vehicle",
	"issuer", "list_fen", "stop_on", "stop_off", "distance_m", "far_m", "stops", "zones", "inside", "escort", "birth", "issued", "home", "known", "granted",
	"holds" };

static bool day_of(struct scan *s, const struct value *v, int32_t *ret)
{
	if (v->kind == VALUE_TEXT && v->text[0] == '\0')
		return true;
	return (v->kind == VALUE_TEXT && day_parse(v->text, ret)) || fault(s, "not a date YYYY-MM-DD that exists");
}

static bool number_of(struct scan *s, const struct value *v, int64_t max)
{
	return ((v->kind == VALUE_NUMBER && v->number >= 0 && v->number <= max) || v->kind == VALUE_OTHER) ||
	       fault(s, "a whole number in range is needed");
}

static bool text_of(struct scan *s, const struct value *v)
{
	return v->kind == VALUE_TEXT || v->kind == VALUE_OTHER || fault(s, "a text is needed");
}

static bool hold_member(struct trial *t, struct scan *s, const char *key, const struct value *v, struct hold *h)
{
	uint32_t group;

	if (strcmp(key, "group") == 0) {
		if (!text_of(s, v))
			return false;
		if (texts_add(&t->texts, v->text, &group) != 0 || group > UINT16_MAX)
			return fault(s, "too many groups");
		h->group = (uint16_t)group;
		return true;
	}
	if (strcmp(key, "grade") == 0 && !number_of(s, v, UINT8_MAX))
		return false;
	if (strcmp(key, "grade") == 0)
		h->grade = (uint8_t)v->number;
	else if (strcmp(key, "from") == 0)
		return day_of(s, v, &h->from);
	else if (strcmp(key, "to") == 0)
		return day_of(s, v, &h->to);
	else if (strcmp(key, "verified_to") == 0)
		return day_of(s, v, &h->verified_to);
	return true;
}

static bool hold_take(struct trial *t, struct scan *s, struct hold *ret)
{
	struct hold h = { .from = INT32_MIN + 1, .to = INT32_MAX, .verified_to = INT32_MAX };
	struct value v;
	const char *key;

	if (!value_take(s, &v))
		return false;
	if (v.kind == VALUE_TEXT && !hold_member(t, s, "group", &v, &h))
		return false;
	if (v.kind != VALUE_TEXT && v.kind != VALUE_OBJECT)
		return fault(s, "holds: names of groups or objects are needed");
	while (v.kind == VALUE_OBJECT && !take(s, '}')) {
		struct value member;

		take(s, ',');
		if (!text_take(s, &key) || !take(s, ':') || !value_take(s, &member) || !rest_skip(s, &member) ||
		    !hold_member(t, s, key, &member, &h))
			return fault(s, "holds: not JSON");
	}
	*ret = h;
	return true;
}

static bool holds_take(struct trial *t, struct scan *s, struct rider *r)
{
	while (!take(s, ']')) {
		take(s, ',');
		if (r->hold_count == RIDER_HOLDS_MAX)
			return fault(s, "holds: at most 8");
		if (!hold_take(t, s, &r->hold[r->hold_count++]))
			return false;
	}
	return true;
}

static uint8_t word_of(const char *const *words, size_t count, const char *text)
{
	size_t i = 1;

	while (i < count && strcmp(words[i], text) != 0)
		i++;
	return (uint8_t)(i < count ? i : 0);
}

static uint32_t card_hash(const char *card)
{
	uint32_t h = 2166136261u;

	for (; *card != '\0'; card++)
		h = (h ^ (uint8_t)*card) * 16777619u;
	return h != 0 ? h : 1;
}

/* One member of the tap. False: fault is set. */
static bool member_set(struct trial *t, struct scan *s, enum tap_key key, const struct value *v, struct trial_tap *tap,
		       struct rider *r)
{
	static const char *const media[] = { "", "card", "ssc", "qr", "bank", "bank-qr", "manual", "cash" };
	static const char *const events[] = { "", "single", "on", "off" };
	uint32_t number = 0;

	if (number_max[key] != 0 ? !number_of(s, v, number_max[key])
				 : key != K_INSIDE && key != K_ESCORT && key != K_HOLDS && key != K_COUNT && !text_of(s, v))
		return false;
	if ((key == K_CARD || key == K_LINE || key == K_VEHICLE || key == K_PRODUCT || key == K_OPERATOR) &&
	    texts_add(&t->texts, v->text, &number) != 0)
		return fault(s, "out of memory");
	switch (key) {
	case K_CARD: tap->person = number; tap->card = tap->card != 0 ? tap->card : card_hash(v->text); return true;
	case K_NUMBER: tap->card = v->text[0] != '\0' ? card_hash(v->text) : tap->card; return true;
	case K_TIME: return time_parse(v->text, &tap->time_ms) || fault(s, "time: RFC 3339 or local YYYY-MM-DDThh:mm:ss is needed");
	case K_IN_TIME:
		return v->text[0] == '\0' || time_parse(v->text, &tap->in_ms) ||
		       fault(s, "in_time: RFC 3339 or local time is needed");
	case K_OUT_TIME:
		return v->text[0] == '\0' || time_parse(v->text, &tap->out_ms) ||
		       fault(s, "out_time: RFC 3339 or local time is needed");
	case K_LINE: tap->line = number; return strlen(v->text) <= LINE_BYTES_MAX || fault(s, "line is too long");
	case K_MEDIUM:
		tap->medium = v->text[0] == '\0' ? 1 : word_of(media, 8, v->text);
		return tap->medium != 0 || fault(s, "medium: card, ssc, qr, bank, bank-qr, manual or cash");
	case K_EVENT:
		tap->event = v->text[0] == '\0' ? 1 : word_of(events, 4, v->text);
		return tap->event != 0 || fault(s, "event: single, on or off");
	case K_CLASS: tap->class = (uint8_t)v->number; return true;
	case K_PRODUCT: tap->product = number; return true;
	case K_OPERATOR: tap->operator = number; return true;
	case K_VEHICLE: tap->vehicle = number; return true;
	case K_ISSUER: tap->has_issuer = v->text[0] != '\0'; tap->issuer = (uint32_t)strtoul(v->text, NULL, 16); return true;
	case K_LIST_FEN: tap->list_fen = (int32_t)v->number; return true;
	case K_STOP_ON: tap->stop_on = (uint16_t)v->number; return true;
	case K_STOP_OFF: tap->stop_off = (uint16_t)v->number; return true;
	case K_DISTANCE_M: tap->distance_m = (uint32_t)v->number; return true;
	case K_FAR_M: tap->far_m = (uint32_t)v->number; return true;
	case K_STOPS: tap->stops = (uint16_t)v->number; return true;
	case K_ZONES: tap->zones = (uint16_t)v->number; return true;
	case K_INSIDE: tap->inside = v->kind == VALUE_TRUE; return true;
	case K_ESCORT: r->escort = v->kind == VALUE_TRUE; return true;
	case K_BIRTH: return day_of(s, v, &r->birth);
	case K_ISSUED: return day_of(s, v, &r->issued);
	case K_HOME: r->home = (uint32_t)v->number; return true;
	case K_KNOWN: return day_of(s, v, &tap->known_day);
	case K_GRANTED: r->grant[0].units = (uint32_t)v->number; r->grant_count = v->number > 0; return true;
	case K_HOLDS:
		return v->kind == VALUE_LIST ? holds_take(t, s, r)
					     : v->kind == VALUE_OTHER || fault(s, "holds: a list is needed");
	case K_COUNT: break;
	}
	return true;
}

static enum tap_key key_of(const char *name)
{
	int k = 0;

	while (k < K_COUNT && strcmp(key_names[k], name) != 0)
		k++;
	return (enum tap_key)k;
}

static bool tap_take(struct trial *t, struct scan *s)
{
	struct trial_tap tap = {
		.event = 1, .medium = 1, .class = 1, .known_day = DAY_NONE, .stored_fen = -1, .order = (uint32_t)t->count };
	struct rider rider = { .birth = DAY_NONE, .issued = DAY_NONE, .escort_from = INT32_MIN, .escort_to = INT32_MAX };
	uint32_t seen = 0;

	if (!take(s, '{'))
		return fault(s, "one JSON object a line is needed");
	while (!take(s, '}')) {
		const char *name;
		struct value v;
		enum tap_key key;

		if (seen != 0 && !take(s, ','))
			return fault(s, "a comma or } is needed");
		if (!text_take(s, &name) || !take(s, ':') || !value_take(s, &v))
			return fault(s, "not JSON");
		key = key_of(name);
		if (key != K_COUNT && (seen >> key & 1) != 0)
			return fault(s, "a member twice");
		seen |= 1u << key;		/* bit K_COUNT: one that means nothing here */
		if (!member_set(t, s, key, &v, &tap, &rider) || (key != K_HOLDS && !rest_skip(s, &v)))
			return false;
	}
	blanks(s);
	if (*s->p != '\0')
		return fault(s, "something stands behind the object");
	if ((seen >> K_TIME & 1) == 0 || tap.line == 0)
		return fault(s, tap.line == 0 ? "line is missing" : "time is missing");
	return (trial_rider(t, &rider, &tap.rider) == 0 && trial_add(t, &tap) == 0) || fault(s, "out of memory");
}

int trial_read(const char *path, struct trial **ret)
{
	bool from_stdin = strcmp(path, "-") == 0;
	FILE *in = from_stdin ? stdin : fopen(path, "re");
	struct trial *t = calloc(1, sizeof(*t));
	size_t space = 0, done = 0;
	char *line = NULL;
	struct stat st = { 0 };
	unsigned number = 0;
	int code = EXIT_OK;

	if (in == NULL || t == NULL) {
		complain("%s: %s", path, strerror(errno));
		code = EXIT_ABSENT;
	} else {
		fstat(fileno(in), &st);
		progress_stage(&t->progress, 1, 2, "读入", "MB", 1000000, S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0);
	}
	while (code == EXIT_OK) {
		ssize_t n = getline(&line, &space, in);
		struct scan s = { .p = line };

		if (n <= 0)
			break;
		number++;
		done += (size_t)n;
		if ((number & 0x3FFF) == 0)
			progress_at(&t->progress, done);
		if (line[strspn(line, " \t\r\n")] == '\0')
			continue;
		if (strlen(line) != (size_t)n)
			fault(&s, "a NUL byte");
		if (s.fault == NULL)
			tap_take(t, &s);
		if (s.fault != NULL) {
			progress_end(&t->progress);
			complain("%s:%u:%u: %s", path, number, (unsigned)(s.p - line) + 1, s.fault);
			code = EXIT_USAGE;
		}
	}
	free(line);
	if (in != NULL && !from_stdin)
		fclose(in);
	if (code != EXIT_OK) {
		trial_free(t);
		return code;
	}
	progress_at(&t->progress, done);
	*ret = t;
	return EXIT_OK;
}
