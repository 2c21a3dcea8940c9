/*
 * The daemon's configuration for the city: clearing.conf(5). Paths are absolute, so that it can be
 * started from anywhere; the ports and the store are what the demo replaces.
 */
#include "city.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tools.h"

static void paths_write(FILE *f, const char *dir)
{
	static const char *const path[][2] = {
		{"store", "store"},
		{"control_socket", "clearingd.sock"},
		{"tls_cert", "server.crt"},
		{"tls_key", "server.key"},
		{"tls_client_ca", "ca.crt"},
		{"keyring", "keyring.qfk"},
		{"passphrase_file", "keyring.pass"},
		{"qr_ca", "qr-ca.txt"},
	};

	for (size_t i = 0; i < sizeof(path) / sizeof(path[0]); i++)
		fprintf(f, "%s: \"%s/%s\"\n", path[i][0], dir, path[i][1]);
}

int city_config_write(const struct city *c)
{
	struct civil day = civil_of_ms(c->midnight_ms);
	char *dir = realpath(c->dir, NULL);
	FILE *f = dir == NULL ? NULL : city_create(c, "clearingd.conf");
	int ret = -EIO;

	if (f == NULL)
		goto out;
	fputs("# clearingd of the demonstration city; see clearing.conf(5)\n", f);
	fputs("listen: 127.0.0.1:7443\ntest_keys: 1\n", f);
	paths_write(f, dir);
	fprintf(f, "open_day: %04d-%02u-%02u\npoll_ms: 200\npartners:\n", day.year, day.month,
		day.day);
	fprintf(f, "  - {name: tunion, url: \"https://127.0.0.1:7501\", ca: \"%s/ca.crt\"}\n", dir);
	fprintf(f, "  - {name: bank, url: \"https://127.0.0.1:7502\", ca: \"%s/ca.crt\"}\n", dir);
	ret = city_close(c, "clearingd.conf", f) ? 0 : -EIO;
out:
	free(dir);
	return ret;
}
