#include "tools/signed_call.h"

#include <stdlib.h>

#include "tools/tariff.h"

int signed_begin(struct signed_call *c, const char *cmd)
{
	*c = (struct signed_call){ .out = NULL };
	c->out = open_memstream(&c->text, &c->bytes);
	if (c->out == NULL)
		return EXIT_STORE;
	jsonw_init(&c->json, c->out, false);
	jsonw_object(&c->json);
	jsonw_kstr(&c->json, "cmd", cmd);
	return EXIT_OK;
}

int signed_send(struct signed_call *c, const struct options *o, const char *text, size_t n, const void *bulk, size_t bulk_bytes)
{
	uint8_t signature[64];
	char hex[129];
	int ret = secret_sign(o->key, text, n, signature, NULL);

	if (ret == EXIT_OK) {
		hex_encode(signature, sizeof(signature), hex);
		jsonw_kstr(&c->json, "by", o->by);
		jsonw_kstr(&c->json, "signature", hex);
		if (bulk != NULL)
			jsonw_kint(&c->json, "bytes", (int64_t)bulk_bytes);
		jsonw_object_end(&c->json);
	}
	if (fclose(c->out) != 0 && ret == EXIT_OK)
		ret = EXIT_STORE;
	if (ret == EXIT_OK)
		ret = daemon_call(o, c->text, bulk, bulk_bytes, false);
	free(c->text);
	return ret;
}
