/* A QR payload. What parses points into the input. */
#include <assert.h>
#include <string.h>

#include "keys/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const char *reason = NULL;
	struct qr_code code;

	if (!qr_parse(p, n, &code, &reason)) {
		assert(reason != NULL);
		return 0;
	}
	assert(strnlen(code.pay_account, sizeof(code.pay_account)) < sizeof(code.pay_account));
	if (code.custom_bytes > 0)
		assert(code.custom >= p && code.custom + code.custom_bytes <= p + n);
	return 0;
}
