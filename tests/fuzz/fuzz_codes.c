/*
 * Lists of codes, and codes against a list. The first byte chooses: the institutions whose codes are taken, the formats that
 * only their platform judges, or a list of formats, an empty line, and a code that is looked at by it.
 */
#include <assert.h>
#include <string.h>

#include "validator/validator.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void list_read(const uint8_t *p, size_t n)
{
	static const uint8_t number[4] = { 0x02, 0x18, 0x42, 0x80 };
	struct code_list *list = NULL;
	char error[256] = "";

	if (code_list_parse("list", p, n, &list, error, sizeof(error)) != 0) {
		assert(list == NULL && strncmp(error, "list:", 5) == 0);
		return;
	}
	(void)code_list_has(list, CODE_ISSUER, number, 20000);
	code_list_free(list);
}

static void formats_read(const uint8_t *p, size_t n, const uint8_t *code, size_t code_bytes)
{
	struct code_formats all = { 0 };
	const struct code_format *f;
	char error[400] = "";
	uint8_t pan[10];

	if (code_formats_parse("formats", p, n, &all, error, sizeof(error)) != 0) {
		assert(strncmp(error, "formats:", 8) == 0);
		return;
	}
	assert(all.count <= CODE_FORMATS_MAX);
	for (size_t i = 0; i < all.count; i++)
		assert(all.row[i].bytes <= TAP_QR_BYTES_MAX && (unsigned)all.row[i].number_at + all.row[i].number_digits <= all.row[i].bytes);
	f = code_format_of(&all, code, code_bytes);
	if (f != NULL) {
		assert(f->bytes == code_bytes);
		(void)code_format_check(f, code, 1762125330, pan);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const uint8_t *gap = n > 1 ? memmem(p + 1, n - 1, "\n\n", 2) : NULL;

	if (n == 0)
		return 0;
	if (p[0] % 2 == 0)
		list_read(p + 1, n - 1);
	else if (gap == NULL)
		formats_read(p + 1, n - 1, p, 0);
	else
		formats_read(p + 1, (size_t)(gap - p), gap + 2, n - (size_t)(gap + 2 - p));
	return 0;
}
