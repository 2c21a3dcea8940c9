/*
 * qfval - versions, errors, and the tap record of libqfval. The record's fields are reached by their place in the one
 * table of validator.h, so a later field is a number more here and no change of a layout a terminal was built with.
 */
#include "validator/qfval_inner.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TEXT(x) #x
#define VERSION_TEXT(major, minor) TEXT(major) "." TEXT(minor)

int qfv_version(void) { return QFV_VERSION_MAJOR * 1000 + QFV_VERSION_MINOR; }
const char *qfv_version_text(void) { return VERSION_TEXT(QFV_VERSION_MAJOR, QFV_VERSION_MINOR); }

static_assert((int)QFV_E_TRUNCATED == (int)TAP_E_TRUNCATED && (int)QFV_E_SPOOL == (int)TAP_E_SPOOL, "record and spool errors have one number");
static_assert((int)QFV_TAP_END_MS < (int)TAP_FIELD_COUNT, "fields are appended, never taken away");
static_assert(QFV_TAP_BYTES_MAX == TAP_ENCODED_BYTES_MAX && QFV_BATCH_TAPS_MAX == BATCH_TAPS_MAX && QFV_BATCH_BYTES_MAX == BATCH_BYTES_MAX,
	      "the limits are the validator's");

bool qfval_memory_good(const void *mem, size_t n, size_t needed)
{
	return mem != NULL && (uintptr_t)mem % QFVAL_ALIGN == 0 && n >= needed;
}

int qfval_code(int code)
{
	if (code >= 0 || (code <= TAP_E_TRUNCATED && code >= TAP_E_SPOOL))
		return code;
	if (code == TARIFF_E_BLOB)
		return QFV_E_TARIFF;
	if (code <= KEYS_E_CRYPTO && code > TARIFF_E_PACK)
		return QFV_E_CRYPTO;
	switch (-code) {
	case ENOMEM: return QFV_E_MEMORY;
	case EINVAL: return QFV_E_ARGUMENT;
	case EBUSY: return QFV_E_BUSY;
	case ENOSPC:
	case EDQUOT:
	case ENOBUFS:
	case E2BIG: return QFV_E_FULL;
	default: return QFV_E_IO;
	}
}

const char *qfv_strerror(int error)
{
	switch (error) {
	case QFV_E_MEMORY: return "memory missing, smaller than the object tells, or not aligned";
	case QFV_E_ARGUMENT: return "an argument that makes no sense here";
	case QFV_E_BUSY: return "another process holds the spool";
	case QFV_E_IO: return "disk, card or PSAM does not answer";
	case QFV_E_FULL: return "no space left, or more entries than the memory holds";
	case QFV_E_TARIFF: return "no tariff of this version, or damaged";
	case QFV_E_CRYPTO: return "the cryptographic library refused";
	default: break;
	}
	if (error >= 0)
		return "no error";
	return tap_strerror(error) != NULL ? tap_strerror(error) : "an error of a later version";
}

/* ---- the record --------------------------------------------------------------------------------------- */

enum form { FORM_UINT, FORM_INT, FORM_BIN, FORM_VAR, FORM_STR };
struct field { const char *name; enum form form; size_t offset; uint32_t bound; };
#define FIELD_ROW(name, type, arg, text) { #name, FORM_##type, offsetof(struct tap, name), arg },
static const struct field fields[TAP_FIELD_COUNT] = { TAP_FIELDS(FIELD_ROW) };

static const struct field *field_of(int field) { return field >= 0 && field < TAP_FIELD_COUNT ? &fields[field] : NULL; }
static void *place(struct qfv_tap *t, const struct field *f) { return (char *)&t->tap + f->offset; }
static const void *seen(const struct qfv_tap *t, const struct field *f) { return (const char *)&t->tap + f->offset; }

size_t qfv_tap_size(void) { return sizeof(struct qfv_tap); }

int qfv_tap_init(void *mem, size_t n, struct qfv_tap **ret)
{
	struct qfv_tap *t = mem;

	if (!qfval_memory_good(mem, n, sizeof(*t)))
		return QFV_E_MEMORY;
	*t = (struct qfv_tap){ .tap.version = TAP_VERSION };
	*ret = t;
	return 0;
}

int qfv_tap_field_count(void) { return TAP_FIELD_COUNT; }

const char *qfv_tap_field_name(int field) { return field_of(field) != NULL ? fields[field].name : NULL; }

int qfv_tap_set_number(struct qfv_tap *t, int field, int64_t value)
{
	const struct field *f = field_of(field);

	if (f == NULL || f->form > FORM_INT)
		return QFV_E_ARGUMENT;
	if (f->form == FORM_INT) {
		*(int64_t *)place(t, f) = value;
		return 0;
	}
	if (value < 0 || value > (int64_t)f->bound)
		return QFV_E_RANGE;
	*(uint32_t *)place(t, f) = (uint32_t)value;
	return 0;
}

int qfv_tap_set_bytes(struct qfv_tap *t, int field, const void *p, size_t n)
{
	const struct field *f = field_of(field);

	if (f == NULL || (f->form != FORM_BIN && f->form != FORM_VAR))
		return QFV_E_ARGUMENT;
	if (f->form == FORM_BIN ? n != f->bound : n > f->bound)
		return QFV_E_RANGE;
	if (f->form == FORM_BIN)
		memcpy(place(t, f), p, n);
	else {
		t->tap.qr.p = p;		/* the one field of varying length */
		t->tap.qr.n = (uint32_t)n;
	}
	return 0;
}

int qfv_tap_set_text(struct qfv_tap *t, int field, const char *text)
{
	const struct field *f = field_of(field);

	if (f == NULL || f->form != FORM_STR)
		return QFV_E_ARGUMENT;
	if (strlen(text) > f->bound)
		return QFV_E_RANGE;
	memset(place(t, f), 0, f->bound + 1u);
	memcpy(place(t, f), text, strlen(text));
	return 0;
}

int qfv_tap_number(const struct qfv_tap *t, int field, int64_t *ret)
{
	const struct field *f = field_of(field);

	if (f == NULL || f->form > FORM_INT)
		return QFV_E_ARGUMENT;
	*ret = f->form == FORM_INT ? *(const int64_t *)seen(t, f) : (int64_t)*(const uint32_t *)seen(t, f);
	return 0;
}

int qfv_tap_bytes(const struct qfv_tap *t, int field, const uint8_t **ret_p, size_t *ret_n)
{
	const struct field *f = field_of(field);

	if (f == NULL || (f->form != FORM_BIN && f->form != FORM_VAR))
		return QFV_E_ARGUMENT;
	*ret_p = f->form == FORM_BIN ? seen(t, f) : t->tap.qr.p;
	*ret_n = f->form == FORM_BIN ? f->bound : t->tap.qr.n;
	return 0;
}

int qfv_tap_text(const struct qfv_tap *t, int field, const char **ret)
{
	const struct field *f = field_of(field);

	if (f == NULL || f->form != FORM_STR)
		return QFV_E_ARGUMENT;
	*ret = seen(t, f);
	return 0;
}

int qfv_tap_encode(const struct qfv_tap *t, uint8_t *out, size_t n) { return tap_encode(&t->tap, out, n); }

int qfv_tap_decode(struct qfv_tap *t, const uint8_t *p, size_t n)
{
	const char *field;

	return tap_decode(p, n, &t->tap, &field);
}
