/*
 * qingfen sim taps: the records of a generated city's upload as CSV, for programs that do not speak
 * the record: other databases that are measured on the same taps, spreadsheets.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tools.h"

#include "sim.h"
#include "upload.h"

static const char head[] = "device,file_serial,terminal,serial,time_ms,pan,counter,kind,medium,line,operator,amount_fen,"
			   "list_fen,balance_before,balance_after,tac\n";

static void tap_print(const struct batch *b, const struct tap *tap)
{
	char pan[21], terminal[13], tac[9];

	pan_digits(tap->pan, pan);
	hex_encode(tap->terminal, sizeof(tap->terminal), terminal);
	hex_encode(tap->tac, sizeof(tap->tac), tac);
	printf("%s,%" PRIu32 ",%s,%" PRIu32 ",%" PRId64 ",%s,%" PRIu32 ",%" PRIu32 ",%" PRIu32 ",%s,%" PRIu32 ",%" PRIu32 ",%" PRIu32 ",%" PRId64 ",%" PRId64 ",%s\n",
	       b->device, b->file_serial, terminal, tap->terminal_serial, tap->time_ms, pan, tap->card_counter, tap->kind,
	       tap->medium, tap->line, tap->operator_id, tap->amount_fen, tap->list_fen, tap->balance_before,
	       tap->balance_after, tac);
}

/* Records that do not decode have no columns: they are counted and told at the end. */
static int entry_print(const struct upload_entry *e, uint64_t *ret_skipped)
{
	static struct batch b; /* large; the reader is one thread */
	int ret = batch_decode(e->batch, e->bytes, &b);

	for (uint32_t i = 0; ret == 0 && i < b.count; i++) {
		const char *field;
		struct tap tap;

		if (tap_decode(b.tap[i].p, b.tap[i].n, &tap, &field) != 0)
			++*ret_skipped;
		else if (tap_kind_is_ride((uint8_t)tap.kind))
			tap_print(&b, &tap);
	}
	return ret;
}

static int taps_print(const char *dir)
{
	struct upload *upload;
	struct upload_entry e;
	uint64_t skipped = 0;
	char path[512];
	size_t at = 0;
	int ret;

	snprintf(path, sizeof(path), "%s/upload.qfu", dir);
	ret = upload_open(path, &upload);
	if (ret != 0) {
		complain("sim taps: %s: %s", path, clearing_strerror(ret));
		return exit_of_error(ret);
	}
	fputs(head, stdout);
	while ((ret = upload_next(upload, &at, &e)) == 1 && (ret = entry_print(&e, &skipped)) == 0)
		;
	upload_close(upload);
	if (ret == 0 && (fflush(stdout) != 0 || ferror(stdout)))
		ret = -errno;
	if (ret != 0)
		complain("sim taps: %s: %s", path, clearing_strerror(ret));
	else if (skipped > 0)
		complain("sim taps: %s: %" PRIu64 " records cannot be read and are left out", path, skipped);
	return ret != 0 ? exit_of_error(ret) : EXIT_OK;
}

static void taps_help(FILE *out)
{
	fputs("用法 usage: qingfen sim taps --city DIR\n"
	      "演示城市的乘车记录 (含重复记录), CSV 输出到标准输出\n",
	      out);
}

int sim_taps(int argc, char **argv)
{
	static const struct option options[] = {
		{"city", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	const char *dir = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'c': dir = optarg; break;
		case 'h': taps_help(stdout); return EXIT_OK;
		default: taps_help(stderr); return EXIT_USAGE;
		}
	}
	if (dir == NULL || optind != argc) {
		taps_help(stderr);
		return EXIT_USAGE;
	}
	return taps_print(dir);
}
