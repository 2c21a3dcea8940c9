/*
 * layout - fixed-width lines of outside files, described by profiles (data) and never by constants in code.
 * The default profiles in clearing/profiles/ are built in. Part of the public interface of clearing/.
 */
#ifndef CLEARING_LAYOUT_H
#define CLEARING_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LAYOUT_FIELDS_MAX 40
#define LAYOUT_BYTES_MAX 1024
struct layout_field { char name[24]; uint16_t offset, width; char type; };
struct layout { struct layout_field field[LAYOUT_FIELDS_MAX]; size_t count; size_t width; };
/* The layout of a record kind of a built-in profile ("tunion" "FB"). Asserts that it exists: profiles are
 * checked by a test. */
const struct layout *layout_of(const char *profile, const char *record);
bool layout_has(const struct layout *l, const char *field);
/* A line being made: all fields start at their fill. line has width + 1 bytes. */
void layout_blank(const struct layout *l, char *line);
void layout_text(const struct layout *l, char *line, const char *field, const char *text);	/* cut at the width */
void layout_number(const struct layout *l, char *line, const char *field, uint64_t value);
/* A line being read. Every n field must be digits; false names the field. */
bool layout_check(const struct layout *l, const char *line, size_t n, const char **ret_field);
uint64_t layout_get_number(const struct layout *l, const char *line, const char *field);
/* Trailing blanks removed; ret has bytes room. */
void layout_get_text(const struct layout *l, const char *line, const char *field, char *ret, size_t bytes);

#endif
