/* A hot list. What opens answers for any card number; what does not leaves its reason. */
#include <assert.h>
#include <string.h>

#include "validator/validator.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct hotlist *list = NULL;
	uint8_t pan[10] = { 0 };
	char error[256] = "";

	if (hotlist_parse("fuzz", p, n, &list, error, sizeof(error)) != 0) {
		assert(list == NULL && error[0] != '\0');
		return 0;
	}
	memcpy(pan, p, n < sizeof(pan) ? n : sizeof(pan));
	assert(!hotlist_has(list, pan) || hotlist_count(list) > 0);
	hotlist_free(list);
	return 0;
}
