/* qingfen device - a device's life: CA, codes, certificates, revocation; and its records beyond the cap. */
#include "tools/device.h"

#include <string.h>

static const struct verb verbs[] = {
	{ "init-ca", device_ca_verb, "建立设备证书机构", "make the device CA" },
	{ "enrol", device_enrol_verb, "注册码; 签发证书", "a one-time code; a certificate for who proves it" },
	{ "renew", device_enrol_verb, "续期", "certificates for devices that sign with the one in use" },
	{ "revoke", device_ca_verb, "吊销", "take a device's certificates back" },
	{ "crl", device_ca_verb, "签发吊销列表", "the revocation list again" },
	{ "list", device_list_verb, "设备及证书状态", "devices and the state of their certificates" },
	{ "show", device_list_verb, "一台设备的证书", "one device's certificates" },
	{ "aside", device_aside, "限额外被隔离的记录", "records set aside beyond a device's cap" },
	{ "release", device_aside, "放行一笔", "let one of them settle" },
};
#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static void help(FILE *out)
{
	fputs("用法 usage: qingfen device <verb> [--help] ...\n", out);
	for (size_t i = 0; i < VERBS; i++)
		fprintf(out, "  %-8s %s  %s\n", verbs[i].name, verbs[i].zh, verbs[i].en);
}

int verb_device(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < VERBS; i++)
		if (strcmp(argv[1], verbs[i].name) == 0)
			return verbs[i].run(argc - 1, argv + 1);
	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		help(stdout);
		return EXIT_OK;
	}
	help(stderr);
	return EXIT_USAGE;
}
