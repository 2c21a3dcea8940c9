/* qfval_inner - what the files of libqfval share: the public names over the folder's own. Private to validator/. */
#ifndef VALIDATOR_QFVAL_INNER_H
#define VALIDATOR_QFVAL_INNER_H

#include "validator/qfval.h"
#include "validator/validator.h"

struct qfv_tap { struct tap tap; };

#define QFVAL_ALIGN 16
/* An object with another behind it: where that one begins. */
#define QFVAL_ROUND(n) (((n) + QFVAL_ALIGN - 1) / QFVAL_ALIGN * QFVAL_ALIGN)
bool qfval_memory_good(const void *mem, size_t n, size_t needed);
/* Our codes and errno to the public ones; what is 0 or more passes. */
int qfval_code(int code);

#endif
