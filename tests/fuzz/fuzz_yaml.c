/* A YAML document. What opens is walked to every leaf; what does not leaves its reason. */
#include <assert.h>
#include <string.h>

#include "tariffs/tariffs.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define DEPTH_MAX 16

static size_t walk(const struct node *node, unsigned depth)
{
	size_t bytes = 0;
	int64_t value;

	assert(node != NULL && depth <= DEPTH_MAX + 1);
	if (node->kind == NODE_SCALAR)
		return strlen(node->text) + node_int(node, &value);
	for (size_t i = 0; i < node->count; i++) {
		if (node->kind == NODE_MAP)
			assert(node_get(node, node->key[i]) == node->item[i]);
		bytes += walk(node->item[i], depth + 1);
	}
	return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct yaml_doc *doc = NULL;
	char error[256] = "";

	if (yaml_parse("fuzz", p, n, &doc, error, sizeof(error)) != 0) {
		assert(doc == NULL && error[0] != '\0');
		return 0;
	}
	if (yaml_root(doc) != NULL)
		walk(yaml_root(doc), 0);
	yaml_close(doc);
	return 0;
}
