/* column_avx512.c: the loops of columns, compiled for AVX-512. */
#include "storage/column.h"

#if defined(__x86_64__)

#define COLUMN_KERNEL column_avx512
#include "storage/column_codec.h"

#endif
