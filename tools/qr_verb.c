/* qingfen qr verify - the verdict and the fields of a T-Union QR payload. */
#include "tools/tools.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char usage[] = "用法 usage: qingfen qr verify --ca FILE [--at UNIX] [--json] HEX\n"
			    "  FILE: 每行 \"索引 04|x|y 十六进制\" CA public keys by index; 通过退出码 0, 否则 1\n";

static void print_code(enum qr_verdict verdict, const struct qr_code *code, bool parsed)
{
	char issuer[9], platform[9], pan[24], generated[32], expiry[32];
	struct jsonw j;

	jsonw_init(&j, stdout, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "schema", "qingfen.qr");
	jsonw_kint(&j, "version", 1);
	jsonw_kstr(&j, "verdict", qr_verdict_name(verdict));
	if (parsed) {
		hex_encode(code->issuer, 4, issuer);
		hex_encode(code->platform, 4, platform);
		pan_digits(code->pan, pan);
		time_format((int64_t)code->generated_s * 1000, generated);
		time_format((int64_t)code->auth_expiry_s * 1000, expiry);
		jsonw_kint(&j, "code_version", code->version);
		jsonw_kint(&j, "ca_index", code->ca_index);
		jsonw_kstr(&j, "pay_account", code->pay_account);
		jsonw_kstr(&j, "pan", pan);
		jsonw_kstr(&j, "issuer", issuer);
		jsonw_kstr(&j, "platform", platform);
		jsonw_kint(&j, "account_type", code->account_type);
		jsonw_kint(&j, "ride_limit_fen", code->ride_limit_fen);
		jsonw_kint(&j, "validity_s", code->validity_s);
		jsonw_kstr(&j, "generated", generated);
		jsonw_kint(&j, "generated_unix", code->generated_s);
		jsonw_kstr(&j, "authorised_until", expiry);
		jsonw_kint(&j, "custom_bytes", code->custom_bytes);
	}
	jsonw_object_end(&j);
	putchar('\n');
}

int verb_qr(int argc, char **argv)
{
	static const struct option longs[] = { { "ca", required_argument, NULL, 'c' }, { "at", required_argument, NULL, 'a' }, { "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 } };
	uint8_t payload[QR_BYTES_MAX];
	const char *ca = NULL, *reason;
	struct qr_verifier *v = NULL;
	int64_t at_s = time(NULL);
	enum qr_verdict verdict;
	struct qr_code code;
	char error[512];
	size_t n;
	int c, ret;

	optind = 1;
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (c) {
		case 'c': ca = optarg; break;
		case 'a': at_s = strtoll(optarg, NULL, 10); break;
		case 'j': break;
		case 'h': fputs(usage, stdout); return EXIT_OK;
		default: fputs(usage, stderr); return EXIT_USAGE;
		}
	}
	if (optind + 2 != argc || strcmp(argv[optind], "verify") != 0 || ca == NULL) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	n = strlen(argv[optind + 1]) / 2;
	if (n > sizeof(payload) || !hex_decode(argv[optind + 1], payload, n)) {
		complain("qr verify: hex of at most %d bytes is needed", QR_BYTES_MAX);
		return EXIT_USAGE;
	}
	ret = qr_verifier_new(&v);
	if (ret == 0)
		ret = qr_verifier_load_ca(v, ca, error, sizeof(error));
	if (ret != 0) {
		complain("%s", error);
		qr_verifier_free(v);
		return EXIT_CONFIG;
	}
	verdict = qr_verify(v, payload, n, at_s, &code);
	print_code(verdict, &code, qr_parse(payload, n, &code, &reason));
	qr_verifier_free(v);
	return verdict == QR_GOOD ? EXIT_OK : EXIT_NO;
}
