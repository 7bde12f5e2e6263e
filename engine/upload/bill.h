/* bill.h: a provider's bill as its console exports it: {"raw_csv", "mapping"}. See upload_read().
 */
#ifndef MARGIN_UPLOAD_BILL_H
#define MARGIN_UPLOAD_BILL_H

#include "upload/upload.h"

enum err bill_read(struct upload *upload, char *body, usize bytes);

#endif
