/* A bureau's batch in either form. Every row that is read is in bounds; a refusal has its place and no long cell. */
#include <assert.h>
#include <string.h>

#include "clearing/clearing.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char error[256] = "", handle[17];
	struct feed_reader r;
	struct feed_row row;
	uint64_t back;
	int ret = feed_open(&r, "fuzz", p, n, error, sizeof(error));

	while (ret == 0 && (ret = feed_next(&r, &row)) == 1) {
		assert(row.handle != 0 && row.handle >> 63 == 0 && row.group[0] != '\0' && strlen(row.group) <= GROUP_NAME_BYTES_MAX);
		assert(row.grade <= 10 && row.from != DAY_NONE && row.from <= row.to && row.home <= 999999);
		handle_format(row.handle, handle);
		assert(handle_parse(handle, &back) && back == row.handle);
		ret = 0;
	}
	assert(ret == 0 || (ret == CLEARING_E_REFERENCE && strncmp(error, "fuzz:", 5) == 0));
	assert(r.head.count <= FEED_ROWS_MAX && strlen(r.head.bureau) <= BUREAU_NAME_BYTES_MAX);
	return 0;
}
