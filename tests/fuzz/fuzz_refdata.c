/*
 * Reference data as offices send it: registers, lists, batches, packs, signed acts. The first byte is the kind of the event.
 * Refused data has its reason and changes nothing; what is taken is looked up afterwards.
 */
#include <assert.h>
#include <string.h>

#include "clearing/clearing.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const uint8_t terminal[6] = { 0x42, 0x80, 0, 0, 0, 1 };
	struct refdata *ref;
	char error[512] = "";
	size_t bytes;

	if (n == 0 || p[0] > EVENT_RISK || refdata_new(&ref) != 0)
		return 0;
	if (refdata_check(ref, p[0], p + 1, n - 1, error, sizeof(error)) != 0)
		assert(error[0] != '\0');
	assert(strlen(error) < sizeof(error) && refdata_terminal_count(ref) == 0);
	if (p[0] == EVENT_TERMINALS || p[0] == EVENT_ISSUERS || p[0] == EVENT_BLACKLIST || p[0] == EVENT_BUREAUS || p[0] == EVENT_DEVICE) {
		const struct event e = { .seq = 1, .type = p[0], .body = p + 1, .bytes = n - 1 };

		if (refdata_apply(ref, &e, NULL, error, sizeof(error)) == 0) {
			(void)refdata_terminal(ref, terminal, 1762125330000LL);
			(void)refdata_blacklist_text(ref, &bytes);
		}
	}
	refdata_free(ref);
	return 0;
}
