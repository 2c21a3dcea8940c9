/* A terminals' table of another maker. What is taken is a whole pack in texts, each line whole; what is refused has its place. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tariffs/tariffs.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void told(void *arg, const char *text)
{
	assert(strncmp(text, "fuzz:", 5) == 0 && text[5] >= '1' && text[5] <= '9');
	++*(unsigned *)arg;
}

/* The texts that people edit: strict YAML and CSV by our own readers. */
static void texts_read(const struct tariff_import *made)
{
	const char *const tables[] = { made->lines_csv, made->cases_csv, made->sections_csv, made->calendar_csv };
	struct yaml_doc *doc = NULL;
	char error[256];

	assert(yaml_parse("made", made->pack_yaml, strlen(made->pack_yaml), &doc, error, sizeof(error)) == 0);
	assert(node_get(yaml_root(doc), "valid_from") != NULL && node_get(yaml_root(doc), "classes") != NULL);
	yaml_close(doc);
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		const char *const *fields;
		struct csv *csv = NULL;
		unsigned line;
		int more;

		if (tables[i] == NULL)
			continue;
		assert(csv_parse("made", tables[i], strlen(tables[i]), &csv, error, sizeof(error)) == 0);
		while ((more = csv_next(csv, &fields, &line, error, sizeof(error))) > 0)
			assert(fields[0][0] != '\0');
		assert(more == 0);
		csv_close(csv);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct tariff_import made = { 0 };
	unsigned problems = 0;
	int ret;

	if (n > 65536)
		return 0;
	ret = tariff_import_parse("fuzz", p, n, "fuzz", DAY_NONE, day_of_civil(2026, 3, 1), told, &problems, &made);
	assert((ret == 0) == (problems == 0) && (ret == 0) == (made.pack_yaml != NULL));
	if (ret == 0) {
		texts_read(&made);
		assert(strlen(made.unsettled) > 0);
	}
	tariff_import_done(&made);
	return 0;
}
