/*
 * qingfen sim city: a demonstration city from a seed. Reads a tariff pack, writes a directory with
 * everything a clearing house and its counterparts need: keys, certificates, reference files, the
 * daemon's configuration, the day's sealed uploads and the plan of what must come of them.
 */
#include "city.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/tools.h"

#include "sim.h"

#define TAPS_MAX    100000000
#define LINES_MAX   4096
#define CARDS_MAX   50000000

void *city_grow(void *p, size_t item_bytes, size_t count)
{
	void *q = reallocarray(p, count, item_bytes);

	if (q == NULL) {
		complain("sim city: out of memory; use fewer --taps");
		exit(EXIT_STORE);
	}
	if (p == NULL)
		memset(q, 0, item_bytes * count);
	return q;
}

void city_path(const struct city *c, const char *name, char *ret_path, size_t n)
{
	snprintf(ret_path, n, "%s/%s", c->dir, name);
}

FILE *city_create(const struct city *c, const char *name)
{
	char path[512];
	FILE *f;

	city_path(c, name, path, sizeof(path));
	f = fopen(path, "we");
	if (f == NULL)
		complain("sim city: %s: %s", path, strerror(errno));
	return f;
}

bool city_close(const struct city *c, const char *name, FILE *f)
{
	bool ok = ferror(f) == 0;

	ok = fclose(f) == 0 && ok;
	if (!ok)
		complain("sim city: %s/%s: not written completely", c->dir, name);
	return ok;
}

int city_mkdir(const char *path)
{
	return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : -errno;
}

static void pack_problem(void *arg, const char *text)
{
	(void)arg;
	complain("sim city: %s", text);
}

static int pack_open(struct city *c)
{
	int ret = tariff_compile(c->pack, pack_problem, NULL, &c->blob, &c->blob_bytes);

	if (ret == 0)
		ret = tariff_open(c->blob, c->blob_bytes, &c->tariff);
	if (ret != 0)
		complain("sim city: %s: %s", c->pack, clearing_strerror(ret));
	return ret;
}

static int city_run(struct city *c)
{
	int ret = pack_open(c);

	if (ret == 0)
		ret = city_mkdir(c->dir);
	if (ret == 0)
		ret = city_lines_read(c);
	if (ret != 0)
		return ret;
	c->plan.planted = city_create(c, "planted.csv");
	if (c->plan.planted == NULL)
		return -EIO;
	fputs("fault,verdict,tap\n", c->plan.planted);
	city_devices_make(c);
	ret = city_keys_make(c);
	if (ret == 0)
		ret = city_certs_make(c);
	if (ret == 0) {
		city_people_make(c);
		ret = city_rides_plan(c);
	}
	if (ret == 0)
		ret = city_taps_make(c);
	if (ret == 0)
		ret = city_upload_write(c);
	if (ret == 0 && (city_terminals_write(c) != 0 || city_people_write(c) != 0 ||
			 city_plan_write(c) != 0 || city_config_write(c) != 0))
		ret = -EIO;
	if (!city_close(c, "planted.csv", c->plan.planted) && ret == 0)
		ret = -EIO;
	return ret;
}

static void city_done(struct city *c)
{
	for (uint32_t i = 0; i < c->device_count; i++)
		free(c->device[i].plain);
	bins_close(c->rides);
	bins_close(c->records);
	free(c->again);
	free(c->black);
	city_states_free(c->states);
	free(c->card);
	free(c->person);
	free(c->device);
	free(c->line);
	city_qr_free(c->qr);
	keyring_free(c->ring);
	mac_engine_free(c->mac);
	tariff_close(c->tariff);
	free(c->blob);
}

static void city_print(const struct city *c, bool as_json)
{
	uint64_t planted = 0;
	struct jsonw j;

	for (int f = 1; f < FAULT_COUNT_; f++)
		planted += c->plan.fault[f];
	if (!as_json) {
		printf("演示城市 %s  %u 条线路  %u 台机具  %u 张卡  %llu 笔记录  %llu 处故意差错  (种子 %llu)\n",
		       c->dir, c->line_count, c->device_count, c->card_count,
		       (unsigned long long)c->plan.sent, (unsigned long long)planted,
		       (unsigned long long)c->seed);
		return;
	}
	jsonw_init(&j, stdout, false);
	jsonw_object(&j);
	jsonw_kstr(&j, "schema", "qingfen.sim.city/1");
	jsonw_kstr(&j, "dir", c->dir);
	jsonw_kint(&j, "lines", c->line_count);
	jsonw_kint(&j, "devices", c->device_count);
	jsonw_kint(&j, "cards", c->card_count);
	jsonw_kint(&j, "taps", (int64_t)c->plan.sent);
	jsonw_kint(&j, "batches", (int64_t)c->plan.batches);
	jsonw_kint(&j, "planted", (int64_t)planted);
	jsonw_object_end(&j);
	putchar('\n');
}

static void city_help(FILE *out)
{
	fputs("用法 usage: qingfen sim city --out DIR [--seed 42] [--lines 60] [--devices 1000]\n"
	      "       [--taps 200000] [--day 2025-11-03] [--pack tariffs/packs/ganzhou] [--json]\n"
	      "       [--cards N] [--batch 64] [--purse 3des|sm4]\n"
	      "生成演示城市: 密钥、证书、参考数据、刷卡记录和故意差错 (plan.json)\n"
	      "--purse: 只有一种算法的电子钱包卡, 除 2% 重复记录外没有差错 (供性能测试)\n",
	      out);
}

static bool number_read(const char *text, uint32_t from, uint32_t to, uint32_t *ret)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0' || v < from || v > to)
		return false;
	*ret = (uint32_t)v;
	return true;
}

static bool day_read(const char *text, int32_t *ret_day)
{
	unsigned year, month, day;

	if (sscanf(text, "%4u-%2u-%2u", &year, &month, &day) != 3 || month < 1 || month > 12 ||
	    day < 1 || day > 31 || year < 2025 || year > 2036)
		return false;
	*ret_day = day_of_civil((int32_t)year, month, day);
	return true;
}

static bool option_read(struct city *c, int option, const char *value)
{
	char *end;

	switch (option) {
	case 'o':
		c->dir = value;
		return true;
	case 'p':
		c->pack = value;
		return true;
	case 's':
		c->seed = strtoull(value, &end, 10);
		return *value != '\0' && *end == '\0';
	case 'l':
		return number_read(value, 1, LINES_MAX, &c->lines_wanted);
	case 'n':
		return number_read(value, 1, CITY_DEVICES_MAX, &c->devices_wanted);
	case 't':
		return number_read(value, 100, TAPS_MAX, &c->taps_wanted);
	case 'c':
		return number_read(value, 1, CARDS_MAX, &c->cards_wanted);
	case 'b':
		return number_read(value, 1, BATCH_TAPS_MAX, &c->batch_taps);
	case 'u':
		c->purse_alg = strcmp(value, "sm4") == 0 ? KEY_ALG_SM4 : KEY_ALG_3DES;
		c->purses = strcmp(value, "sm4") == 0 || strcmp(value, "3des") == 0;
		return c->purses;
	case 'd':
		return day_read(value, &c->day);
	default:
		return false;
	}
}

int sim_city(int argc, char **argv)
{
	static const struct option options[] = {
		{"out", required_argument, NULL, 'o'},	 {"seed", required_argument, NULL, 's'},
		{"lines", required_argument, NULL, 'l'}, {"devices", required_argument, NULL, 'n'},
		{"taps", required_argument, NULL, 't'},	 {"day", required_argument, NULL, 'd'},
		{"pack", required_argument, NULL, 'p'},	 {"json", no_argument, NULL, 'j'},
		{"cards", required_argument, NULL, 'c'}, {"batch", required_argument, NULL, 'b'},
		{"purse", required_argument, NULL, 'u'}, {"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct city c = {.pack = "tariffs/packs/ganzhou",
			 .seed = 42,
			 .lines_wanted = 60,
			 .devices_wanted = 1000,
			 .taps_wanted = 200000,
			 .batch_taps = 64,
			 .day = day_of_civil(2025, 11, 3)};
	bool as_json = false;
	int option, ret;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'h') {
			city_help(stdout);
			return EXIT_OK;
		}
		if (option == 'j') {
			as_json = true;
		} else if (!option_read(&c, option, optarg)) {
			city_help(stderr);
			return EXIT_USAGE;
		}
	}
	if (c.dir == NULL || c.devices_wanted < c.lines_wanted) {
		complain("sim city: needs --out DIR, and at least one device a line");
		return EXIT_USAGE;
	}
	c.rng.s = c.seed;
	c.midnight_ms = c.day * 86400000LL - CIVIL_OFFSET_MS;
	ret = city_run(&c);
	if (ret == 0)
		city_print(&c, as_json);
	city_done(&c);
	return ret == 0 ? EXIT_OK : exit_of_error(ret);
}
