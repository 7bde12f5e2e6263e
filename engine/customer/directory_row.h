/* directory_row.h: the directory's rows in the control tables. An object's name is its id; products
 * and subscriptions have their source for a number. */
#ifndef MARGIN_CUSTOMER_DIRECTORY_ROW_H
#define MARGIN_CUSTOMER_DIRECTORY_ROW_H

#include "customer/book.h"
#include "store.h"

#define DIRECTORY_ROW_BYTES_MAX (2 * KIB)

/* Where an object lies. The id must last as long as the result. */
struct control_object directory_row_place(u32 account, enum control_kind kind,
                                          enum directory_source source, struct slice id);

/* Writes into `memory`, DIRECTORY_ROW_BYTES_MAX of it. Texts are within their bounds. */
struct slice directory_row_profile(const struct profile *profile, void *memory);
struct slice directory_row_product(const struct product *product, void *memory);
struct slice directory_row_subscription(const struct subscription *subscription, void *memory);

/* Slices point into what is read. ERR_CORRUPT, ERR_VERSION. */
enum err directory_row_read_profile(const struct control_object *object, struct slice value,
                                    struct profile *profile);
enum err directory_row_read_product(const struct control_object *object, struct slice value,
                                    struct product *product);
enum err directory_row_read_subscription(const struct control_object *object, struct slice value,
                                         struct subscription *subscription);

#endif
