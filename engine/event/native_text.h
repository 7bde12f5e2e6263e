/* native_text.h: what native.c asks of text: whole columns of it at once. Pure functions. */
#ifndef MARGIN_EVENT_NATIVE_TEXT_H
#define MARGIN_EVENT_NATIVE_TEXT_H

#include "base.h"

/* True if the bytes are UTF-8 without NUL. Reads no byte outside. */
bool native_text_is_clean(const char *data, usize bytes);

/* Lower-cases ASCII letters in place; true if the result is "usd". */
bool native_text_lower_is_usd(char *data, usize bytes);

#endif
