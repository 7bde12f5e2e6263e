/*
 * codec.h: the protocol's requests and answers as structs of margin.h, for those who bring their
 * own sockets: the client library and the load generator. Writers return the place behind what they
 * wrote; the caller has made room.
 */
#ifndef MARGIN_CLIENT_CODEC_H
#define MARGIN_CLIENT_CODEC_H

#include "margin.h"

usize codec_cell_bytes(const struct margin_cell *cell);
char *codec_write_cell(char *to, const struct margin_cell *cell);
usize codec_query_bytes(const struct margin_query *query);
char *codec_write_query(char *to, const struct margin_query *query);
usize codec_scan_bytes(const struct margin_scan *scan);
char *codec_write_scan(char *to, const struct margin_scan *scan);

/* False if the payload is not what it should be. */
bool codec_read_point(struct slice payload, struct margin_point *out);
bool codec_read_ingested(struct slice payload, struct margin_ingested *out);
bool codec_read_rows(struct slice payload, struct margin_rows *out);
bool codec_read_events(struct slice payload, struct margin_events *out);

/* Bytes of the native batch, and the batch itself. */
usize codec_batch_bytes(const struct margin_batch *batch);
char *codec_write_batch(char *to, const struct margin_batch *batch);

/* The client's word for a code of enum wire_error. */
enum margin_status codec_status(u16 wire_error);

#endif
