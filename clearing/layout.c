/* layout - see layout.h. Profiles are read once and kept for the process. */
#include "clearing/layout.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tariffs/tariffs.h"

#define EMBED(symbol, file) \
	__asm__(".section .rodata\n.global " #symbol "\n" #symbol ":\n.incbin \"" file "\"\n.global " #symbol "_end\n" #symbol "_end:\n.byte 0\n.previous\n"); \
	extern const char symbol[], symbol##_end[];
EMBED(profile_tunion, "clearing/profiles/tunion.yaml")
EMBED(profile_bank, "clearing/profiles/bank.yaml")
EMBED(profile_ridecode, "clearing/profiles/ridecode.yaml")
EMBED(profile_identity, "clearing/profiles/identity.yaml")

#define LAYOUTS_MAX 24
static struct { char profile[16], record[16]; struct layout layout; } layouts[LAYOUTS_MAX];
static size_t layout_count;
static pthread_once_t loaded = PTHREAD_ONCE_INIT;

/* "name 12 a" */
static void field_read(struct layout *l, const char *text)
{
	struct layout_field *f = &l->field[l->count++];
	unsigned width;

	assert(l->count <= LAYOUT_FIELDS_MAX);
	if (sscanf(text, "%23s %u %c", f->name, &width, &f->type) != 3 || width == 0 || width > 128 || strchr("naf", f->type) == NULL) {
		fprintf(stderr, "built-in profile: field \"%s\" is not \"name width type\"\n", text);
		abort();
	}
	f->offset = (uint16_t)l->width;
	f->width = (uint16_t)width;
	l->width += width;
	assert(l->width <= LAYOUT_BYTES_MAX);
}

static void profile_read(const char *name, const char *p, size_t n)
{
	struct yaml_doc *doc = NULL;
	char error[256] = "";
	const struct node *root;

	if (yaml_parse(name, p, n, &doc, error, sizeof(error)) != 0) {
		fprintf(stderr, "built-in profile: %s\n", error);
		abort();
	}
	root = yaml_root(doc);
	for (size_t i = 0; i < root->count; i++) {
		if (root->item[i]->kind != NODE_LIST)
			continue;
		assert(layout_count < LAYOUTS_MAX);
		snprintf(layouts[layout_count].profile, sizeof(layouts[0].profile), "%s", name);
		snprintf(layouts[layout_count].record, sizeof(layouts[0].record), "%s", root->key[i]);
		for (size_t k = 0; k < root->item[i]->count; k++)
			field_read(&layouts[layout_count].layout, root->item[i]->item[k]->text);
		layout_count++;
	}
	yaml_close(doc);
}

static void load(void)
{
	profile_read("tunion", profile_tunion, (size_t)(profile_tunion_end - profile_tunion));
	profile_read("bank", profile_bank, (size_t)(profile_bank_end - profile_bank));
	profile_read("ridecode", profile_ridecode, (size_t)(profile_ridecode_end - profile_ridecode));
	profile_read("identity", profile_identity, (size_t)(profile_identity_end - profile_identity));
}

const struct layout *layout_of(const char *profile, const char *record)
{
	pthread_once(&loaded, load);
	for (size_t i = 0; i < layout_count; i++)
		if (strcmp(layouts[i].profile, profile) == 0 && strcmp(layouts[i].record, record) == 0)
			return &layouts[i].layout;
	abort();
}

bool layout_has(const struct layout *l, const char *field)
{
	for (size_t i = 0; i < l->count; i++)
		if (strcmp(l->field[i].name, field) == 0)
			return true;
	return false;
}

static const struct layout_field *field_of(const struct layout *l, const char *name)
{
	for (size_t i = 0; i < l->count; i++)
		if (strcmp(l->field[i].name, name) == 0)
			return &l->field[i];
	abort();
}

void layout_blank(const struct layout *l, char *line)
{
	for (size_t i = 0; i < l->count; i++)
		memset(line + l->field[i].offset, l->field[i].type == 'n' ? '0' : l->field[i].type == 'a' ? ' ' : 'F', l->field[i].width);
	line[l->width] = '\0';
}

void layout_text(const struct layout *l, char *line, const char *field, const char *text)
{
	const struct layout_field *f = field_of(l, field);
	size_t n = strlen(text);

	memcpy(line + f->offset, text, n < f->width ? n : f->width);
}

void layout_number(const struct layout *l, char *line, const char *field, uint64_t value)
{
	const struct layout_field *f = field_of(l, field);

	for (size_t i = f->width; i-- > 0; value /= 10)
		line[f->offset + i] = (char)('0' + value % 10);
	assert(value == 0);
}

bool layout_check(const struct layout *l, const char *line, size_t n, const char **ret_field)
{
	*ret_field = "length";
	if (n != l->width)
		return false;
	for (size_t i = 0; i < l->count; i++) {
		const struct layout_field *f = &l->field[i];

		*ret_field = f->name;
		for (size_t k = 0; f->type == 'n' && k < f->width; k++)
			if (line[f->offset + k] < '0' || line[f->offset + k] > '9')
				return false;
	}
	return true;
}

uint64_t layout_get_number(const struct layout *l, const char *line, const char *field)
{
	const struct layout_field *f = field_of(l, field);
	uint64_t v = 0;

	for (size_t i = 0; i < f->width; i++) {
		uint64_t digit = (uint64_t)(line[f->offset + i] - '0');

		if (v > (UINT64_MAX - digit) / 10)
			return UINT64_MAX;	/* no amount of ours: every comparison with it fails */
		v = v * 10 + digit;
	}
	return v;
}

void layout_get_text(const struct layout *l, const char *line, const char *field, char *ret, size_t bytes)
{
	const struct layout_field *f = field_of(l, field);
	size_t n = f->width;

	while (n > 0 && line[f->offset + n - 1] == ' ')
		n--;
	snprintf(ret, bytes, "%.*s", (int)n, line + f->offset);
}
