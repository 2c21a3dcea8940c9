/*
 * qingfen device list, show - what the register says: every device with its newest certificate, or one with all it had.
 * Reading checks the register: a line that was changed is refused with its number.
 */
#include "tools/device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] = "用法 usage: qingfen device list [--ca DIR] [--json]\n"
			    "            qingfen device show DEVICE [--out FILE] [--ca DIR] [--json]\n"
			    "  list: 每台设备最新证书的状态  show: 一台设备的全部证书, --out 写出有效的一张\n";

#define EXPIRING_MS (30LL * 86400000)

struct state { const char *name, *zh; };

static struct state state_of(const struct device_cert *c, int64_t now_ms)
{
	if (c->revoked_ms != 0)
		return (struct state){ "revoked", "已吊销" };
	if (c->until_ms <= now_ms)
		return (struct state){ "expired", "已过期" };
	return c->until_ms - now_ms < EXPIRING_MS ? (struct state){ "expiring", "即将到期" } : (struct state){ "valid", "有效" };
}

static void row_print(const char *schema, const char *device, const uint8_t terminal[6], const uint8_t psam[6], struct state state, int64_t until_ms,
		      const char *by, const struct device_cert *c, bool json)
{
	char t[13], p[13], until[32];
	struct jsonw j;

	hex_encode(terminal, 6, t);
	hex_encode(psam, 6, p);
	time_format(until_ms, until);
	if (!json) {
		printf("%-15s  %s  %s  %s (%s)  至 %.10s  %s%s%s\n", device, t, p, state.zh, state.name, until, c != NULL ? c->serial : "-",
		       c != NULL && c->revoked_ms != 0 ? "  " : "", c != NULL ? c->reason : "");
		return;
	}
	jsonw_init(&j, stdout, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "schema", schema);
	jsonw_kint(&j, "version", 1);
	jsonw_kstr(&j, "device", device);
	jsonw_kstr(&j, "terminal", t);
	jsonw_kstr(&j, "psam", p);
	jsonw_kstr(&j, "state", state.name);
	jsonw_kstr(&j, "until", until);
	jsonw_kstr(&j, "by", by);
	if (c != NULL)
		jsonw_kstr(&j, "serial", c->serial);
	if (c != NULL && c->revoked_ms != 0) {
		time_format(c->revoked_ms, until);
		jsonw_kstr(&j, "revoked", until);
		jsonw_kstr(&j, "reason", c->reason);
		jsonw_kstr(&j, "revoked_by", c->revoked_by);
	}
	jsonw_object_end(&j);
	putchar('\n');
}

static void cert_print(const char *schema, const struct device_cert *c, bool json)
{
	row_print(schema, c->device, c->terminal, c->psam, state_of(c, device_now_ms()), c->until_ms, c->by, c, json);
}

static bool newer_exists(const struct device_register *r, size_t i)
{
	for (size_t k = i + 1; k < r->certs; k++)
		if (strcmp(r->cert[k].device, r->cert[i].device) == 0)
			return true;
	return false;
}

static void list(struct device_register *r, bool json)
{
	const struct state open = { "code-given", "已发注册码" };

	for (size_t i = 0; i < r->certs; i++)
		if (!newer_exists(r, i))
			cert_print("qingfen.device", &r->cert[i], json);
	for (size_t i = 0; i < r->invites; i++) {
		const struct device_invite *v = &r->invite[i];

		if (!v->used && v->until_ms > device_now_ms())
			row_print("qingfen.device", v->device, v->terminal, v->psam, open, v->until_ms, v->by, NULL, json);
	}
}

static int show(struct device_register *r, const struct device_options *o, const char *device)
{
	const struct device_cert *now = register_current(r, device, device_now_ms());
	bool any = false;
	int ret;

	for (size_t i = 0; i < r->certs; i++)
		if (strcmp(r->cert[i].device, device) == 0) {
			cert_print("qingfen.device.certificate", &r->cert[i], o->json);
			any = true;
		}
	if (!any || (o->out != NULL && now == NULL)) {
		complain("%s: %s", device, any ? "has no certificate that holds" : "has never had a certificate of this CA");
		return EXIT_ABSENT;
	}
	ret = o->out != NULL ? device_file_put(o->out, now->pem, strlen(now->pem), 0644) : 0;
	if (ret != 0)
		complain("%s: %s", o->out, strerror(-ret));
	return ret == 0 ? EXIT_OK : EXIT_STORE;
}

int device_list_verb(int argc, char **argv)
{
	struct device_register *r;
	struct device_options o;
	int ret = device_options_read(argc, argv, usage, &o);
	bool one = strcmp(argv[0], "show") == 0;

	if (ret != 0)
		return ret < 0 ? EXIT_OK : ret;
	if (argc - o.first != one) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	ret = register_open(&o, false, &r);
	if (ret != EXIT_OK)
		return ret;
	if (one)
		ret = show(r, &o, argv[o.first]);
	else
		list(r, o.json);
	register_close(r);
	return ret;
}
