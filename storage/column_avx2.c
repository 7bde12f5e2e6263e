/* column_avx2.c: the loops of columns, compiled for AVX2. */
#include "storage/column.h"

#if defined(__x86_64__)

#define COLUMN_KERNEL column_avx2
#include "storage/column_codec.h"

#endif
