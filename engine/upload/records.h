/* records.h: the monthly records of costs and of usage: {"records": [...]}. See upload_read(). */
#ifndef MARGIN_UPLOAD_RECORDS_H
#define MARGIN_UPLOAD_RECORDS_H

#include "upload/upload.h"

enum err records_read(struct upload *upload, char *body, usize bytes);

#endif
