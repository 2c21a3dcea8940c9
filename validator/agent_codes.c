/*
 * agent_codes - a validator's scanner from a file: each line is what the scanner read, in hex, and is shown at the gate at
 * once. A T-Union code goes to the side that verifies it, another to the side that knows its format.
 */
#include "validator/agent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES (2 * TAP_QR_BYTES_MAX + 8)

struct scanner {
	struct agent *agent;
	struct keyring *ring;
	struct soft_psam *psam;
	struct gate *gate;
	struct qr_verifier *verifier;
	struct code_list *list;
	struct code_formats formats;
	struct code_gate *codes;
	struct platform_gate *platforms;
};

static void scanner_done(struct scanner *s)
{
	platform_gate_free(s->platforms);
	code_gate_free(s->codes);
	code_list_free(s->list);
	qr_verifier_free(s->verifier);
	gate_free(s->gate);
	soft_psam_free(s->psam);
	keyring_free(s->ring);
}

static int list_open(struct scanner *s, char *error, size_t n)
{
	const struct agent_conf *c = &s->agent->conf;
	size_t bytes = 0;
	uint8_t *p = NULL;
	int ret = c->code_list[0] != '\0' ? agent_file_load(c->code_list, &p, &bytes) : 0;

	if (ret == 0)
		ret = code_list_parse(c->code_list, p != NULL ? (void *)p : (void *)"", bytes, &s->list, error, n);
	free(p);
	return ret;
}

static int formats_open(struct scanner *s, char *error, size_t n)
{
	const struct agent_conf *c = &s->agent->conf;
	size_t bytes = 0;
	uint8_t *p = NULL;
	int ret = c->code_formats[0] != '\0' ? agent_file_load(c->code_formats, &p, &bytes) : 0;

	if (ret == 0 && p != NULL)
		ret = code_formats_parse(c->code_formats, p, bytes, &s->formats, error, n);
	free(p);
	return ret;
}

/* The PSAM of a gate names its terminal; codes need no key in it. */
static int scanner_init(struct scanner *s)
{
	const struct agent_conf *c = &s->agent->conf;
	char error[400] = "";
	int ret = keyring_new(&s->ring);

	if (ret == 0)
		ret = soft_psam_new(s->ring, c->terminal, s->agent->serial, &s->psam);
	if (ret == 0)
		ret = gate_new(soft_psam_reader(s->psam), &s->gate);
	if (ret == 0)
		ret = qr_verifier_new(&s->verifier);
	if (ret == 0 && c->qr_ca[0] != '\0')
		ret = qr_verifier_load_ca(s->verifier, c->qr_ca, error, sizeof(error));
	if (ret == 0)
		ret = list_open(s, error, sizeof(error));
	if (ret == 0)
		ret = formats_open(s, error, sizeof(error));
	if (ret == 0)
		ret = code_gate_new(s->gate, s->verifier, s->list, &s->codes);
	if (ret == 0)
		ret = platform_gate_new(s->gate, &s->formats, spool_waiting(s->agent->spool) < UINT16_MAX ? (uint32_t)spool_waiting(s->agent->spool) : UINT16_MAX,
					&s->platforms);
	if (ret != 0)
		agent_log("codes", "code=%d reason=\"%s\"", ret, error[0] != '\0' ? error : strerror(ret > -1000 ? -ret : EINVAL));
	return ret;
}

/* Which terminal serial a question names is not used again, whatever comes of it: the platform keeps its answer under it for ever. */
struct showing { struct tap tap; enum qr_verdict verdict; bool asked; enum kerb_answer said; char reason[48]; int64_t took_ms; };

static enum gate_answer platform_ask(struct scanner *s, struct platform_ride *r, struct showing *ret)
{
	const struct agent *a = s->agent;
	const struct tap *t = &r->tap;
	struct kerb_ask m = { .number = a->serial, .kind = (uint8_t)t->kind, .serial = t->terminal_serial, .time_ms = t->time_ms,
			      .within_ms = (uint32_t)a->conf.code_ask_ms, .p = t->qr.p, .n = t->qr.n };
	int64_t start = agent_steady_ms();

	memcpy(m.terminal, t->terminal, sizeof(m.terminal));
	ret->said = agent_link_ask(a->link, &m, ret->reason);
	ret->took_ms = agent_steady_ms() - start;
	ret->asked = true;
	return platform_gate_asked(r, ret->said, a->conf.code_unasked != 0);
}

static enum gate_answer platform_show(struct scanner *s, const struct gate_setting *setting, const uint8_t *p, size_t n, int64_t now, struct showing *ret)
{
	struct platform_ride r;
	enum gate_answer answer;

	if (spool_waiting(s->agent->spool) == 0)
		platform_gate_receipted(s->platforms);
	answer = platform_gate_look(s->platforms, setting, p, n, s->agent->serial, now, &r);
	if (answer != GATE_GO)
		return answer;
	if (r.tap.kind == TAP_IDENTITY && s->agent->conf.code_ask_ms > 0)
		answer = platform_ask(s, &r, ret);
	else if (!r.room)
		answer = GATE_FIRST_RIDES;
	if (answer != GATE_GO)
		return answer;
	platform_gate_ride(s->platforms, &r, now, ret->said != KERB_GOOD);
	ret->tap = r.tap;
	return GATE_GO;
}

static int code_show(struct scanner *s, const uint8_t *p, size_t n)
{
	struct agent *a = s->agent;
	struct gate_setting setting = agent_setting(a);
	int64_t now = agent_clock_ms() + a->offset_ms;
	struct showing w = { .verdict = QR_GOOD };
	enum gate_answer answer;
	int ret = 0;

	if (code_format_of(&s->formats, p, n) != NULL)
		answer = platform_show(s, &setting, p, n, now, &w);
	else
		answer = code_gate_show(s->codes, &setting, p, n, a->serial, now, &w.tap, &w.verdict);
	agent_log("code", "answer=%s verdict=%s serial=%u", gate_answer_name(answer), qr_verdict_name(w.verdict), answer == GATE_GO ? a->serial : 0);
	if (w.asked)
		agent_log("code-asked", "said=%s ms=%lld text=\"%s\" reason=\"%s\"", kerb_answer_name(w.said), (long long)w.took_ms, gate_answer_text(answer), w.reason);
	if (answer == GATE_GO || w.asked) {
		a->serial++;
		ret = agent_serial_save(a, 0);
	}
	return ret == 0 && answer == GATE_GO ? agent_record(a, &w.tap) : ret;
}

int agent_codes(struct agent *a, const char *path)
{
	struct scanner s = { .agent = a };
	static char line[LINE_BYTES];
	static uint8_t code[TAP_QR_BYTES_MAX];
	FILE *f = fopen(path, "re");
	int ret = f == NULL ? -errno : scanner_init(&s);

	while (ret == 0 && !a->ended && fgets(line, sizeof(line), f) != NULL) {
		size_t n = strcspn(line, "\r\n");

		line[n] = '\0';
		if (n == 0 || n % 2 != 0 || !hex_decode(line, code, n / 2))
			agent_log("code", "answer=unread");
		else
			ret = code_show(&s, code, n / 2);
	}
	if (f != NULL)
		fclose(f);
	scanner_done(&s);
	return ret;
}
