/* options - the options verbs share, and the two ways a verb reaches the house: its store, its socket. */
#include "tools/tools.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>

static const struct option longs[] = {
	{ "store", required_argument, NULL, 's' }, { "socket", required_argument, NULL, 'k' }, { "form", required_argument, NULL, 'f' },
	{ "format", required_argument, NULL, 'F' }, { "out", required_argument, NULL, 'o' }, { "date", required_argument, NULL, 'd' },
	{ "to", required_argument, NULL, 't' }, { "from", required_argument, NULL, 'r' }, { "key", required_argument, NULL, 'y' },
	{ "trust", required_argument, NULL, 'u' }, { "who", required_argument, NULL, 'w' }, { "version", required_argument, NULL, 'v' },
	{ "cases", required_argument, NULL, 'C' }, { "taps", required_argument, NULL, 'T' }, { "db", required_argument, NULL, 's' },
	{ "day", required_argument, NULL, 'D' }, { "at", required_argument, NULL, 'A' }, { "live", required_argument, NULL, 'L' }, { "by", required_argument, NULL, 'B' }, { "csv", no_argument, NULL, 'V' },
	{ "import", required_argument, NULL, 'I' },
	{ "dry-run", no_argument, NULL, 'n' },
	{ "json", no_argument, NULL, 'j' }, { "canonical", no_argument, NULL, 'c' }, { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 },
};

int options_read(int argc, char **argv, const char *usage, struct options *ret)
{
	int c;

	*ret = (struct options){ 0 };
	optind = 1;
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		switch (c) {
		case 's': ret->store = optarg; break;
		case 'k': ret->socket = optarg; break;
		case 'f': ret->form = optarg; break;
		case 'F': ret->format = optarg; break;
		case 'o': ret->out = optarg; break;
		case 'd': ret->date = optarg; break;
		case 't': ret->to = optarg; break;
		case 'r': ret->from = optarg; break;
		case 'y': ret->key = optarg; break;
		case 'u': ret->trust = optarg; break;
		case 'w': ret->who = optarg; break;
		case 'v': ret->version = strtoll(optarg, NULL, 10); break;
		case 'C': ret->cases = optarg; break;
		case 'T': ret->taps = optarg; break;
		case 'D': ret->day = optarg; break;
		case 'A': ret->at = optarg; break;
		case 'L': ret->live = optarg; break;
		case 'B': ret->by = optarg; break;
		case 'I': ret->import = optarg; break;
		case 'V': ret->csv = true; break;
		case 'n': ret->dry_run = true; break;
		case 'j': ret->json = true; break;
		case 'c': ret->canonical = true; break;
		case 'h': fputs(usage, stdout); return -1;
		default: fputs(usage, stderr); return EXIT_USAGE;
		}
	}
	ret->first = optind;
	return 0;
}

int store_open_reading(const struct options *o, struct store **ret_store)
{
	int ret = store_open(store_dir(o->store), true, 0, ret_store);

	if (ret != 0)
		complain("%s: %s; name the store with --store or QINGFEN_STORE", store_dir(o->store), clearing_strerror(ret));
	return ret;
}

/* "key":value pairs of a flat answer as lines; nested objects stay as they are. */
static void print_lines(const char *answer)
{
	unsigned depth = 0;
	bool quoted = false;

	for (const char *p = answer; *p != '\0' && *p != '\n'; p++) {
		if (*p == '"' && (p == answer || p[-1] != '\\'))
			quoted = !quoted;
		if (!quoted && (*p == '{' || *p == '[') && depth++ == 0)
			continue;
		if (!quoted && (*p == '}' || *p == ']') && --depth == 0)
			continue;
		if (!quoted && *p == ',' && depth == 1)
			putchar('\n');
		else if (*p != '"')
			putchar(*p);
	}
	putchar('\n');
}

int daemon_call(const struct options *o, const char *request, const void *bulk, size_t bulk_bytes, bool quiet)
{
	char *answer = NULL;
	const char *code;
	int ret = ctl_call(socket_path(o->socket), request, bulk, bulk_bytes, &answer);

	if (ret != 0) {
		complain("%s: %s; is clearingd running, and is --socket or QINGFEN_SOCKET right?", socket_path(o->socket), clearing_strerror(ret));
		return EXIT_UNREACHABLE;
	}
	code = strstr(answer, "\"code\":");
	if (strncmp(answer, "{\"ok\":true", 10) != 0) {
		const char *error = strstr(answer, "\"error\":\"");

		ret = code != NULL ? atoi(code + 7) : -EPROTO;
		complain("%.*s", error != NULL ? (int)strcspn(error + 9, "\n") - 2 : 60, error != NULL ? error + 9 : answer);
		ret = exit_of_error(ret);
	} else if (o->json) {
		fputs(answer, stdout);
	} else if (!quiet) {
		print_lines(answer);
	}
	free(answer);
	return ret;
}
