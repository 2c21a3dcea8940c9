/* A CSV file. Every row that is read is as wide as the header; a refusal leaves its reason. */
#include <assert.h>
#include <string.h>

#include "tariffs/tariffs.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const char *const *fields;
	char error[256] = "";
	struct csv *csv = NULL;
	size_t bytes = 0;
	unsigned line;
	int ret;

	if (csv_parse("fuzz", p, n, &csv, error, sizeof(error)) != 0) {
		assert(csv == NULL && error[0] != '\0');
		return 0;
	}
	for (size_t i = 0; i < csv_columns(csv); i++)
		assert(csv_column(csv, csv_header(csv, i)) >= 0);
	while ((ret = csv_next(csv, &fields, &line, error, sizeof(error))) == 1)
		for (size_t i = 0; i < csv_columns(csv); i++)
			bytes += strlen(fields[i]) + csv_field_column(csv, i);
	assert(bytes < SIZE_MAX && (ret == 0 || error[0] != '\0'));
	csv_close(csv);
	return 0;
}
