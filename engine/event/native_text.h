/* native_text.h: what native.c asks of text: whole columns of it at once, and single values. Pure
 * functions; they read no byte outside. */
#ifndef MARGIN_EVENT_NATIVE_TEXT_H
#define MARGIN_EVENT_NATIVE_TEXT_H

#include "base.h"

/* True if the bytes are UTF-8 without NUL. */
bool native_text_is_clean(const char *data, usize bytes);

/* Lower-cases ASCII letters in place; true if the result is "usd". */
bool native_text_lower_is_usd(char *data, usize bytes);

/* True if the text is one JSON object, without space around it, of at most
 * EVENT_PROPERTIES_DEPTH_MAX levels. */
bool native_text_is_object(const char *data, usize bytes);

/* True if it is one of at most EVENT_META_KEYS_MAX members, all of them strings. */
bool native_text_is_meta(const char *data, usize bytes);

#endif
