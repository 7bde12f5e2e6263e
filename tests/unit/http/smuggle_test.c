/*
 * smuggle_test.c: streams that two servers could read in two ways, as a table: what must come out
 * of each, whole and cut into pieces. An outcome lists the answers in their order, with what the
 * handler was given as body in brackets, and ends in "x" where the connection is closed. So it says
 * where the server thinks that one request ends and the next begins, which is the point.
 */
#include "http/session.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/http_peer.h"

static enum call_outcome tell(struct http_call *call) {
    buf_put_text(&call->reply, "[");
    buf_put_slice(&call->reply, call->body);
    buf_put_text(&call->reply, "]");
    return CALL_DONE;
}

static const struct http_route routes[] = {
    {HTTP_GET, "/", tell, 1000, 0},
    {HTTP_POST, "/", tell, 1000, 0},
    {HTTP_GET, "/hidden", tell, 0, 0},
};

#define H "Host: a\r\n"
#define POST "POST / HTTP/1.1\r\n" H
#define GET "GET / HTTP/1.1\r\n" H
#define HIDDEN "GET /hidden HTTP/1.1\r\n" H "\r\n"
#define CL(n) "Content-Length: " n "\r\n"
#define TE(v) "Transfer-Encoding: " v "\r\n"
#define REFUSED "400 x"

struct stream {
    const char *text;
    const char *outcome;
    usize bytes; /* of a text with NUL in it; 0: its length */
};

/* Both lengths, or one of them twice: never guessed. */
static const struct stream lengths[] = {
    {POST CL("5") "\r\nhello" GET "\r\n", "200[hello] 200[]", 0},
    {POST CL("0") "\r\n" GET "\r\n", "200[] 200[]", 0},
    {POST "\r\n" GET "\r\n", "200[] 200[]", 0},
    {POST CL("6") TE("chunked") "\r\n0\r\n\r\nX" GET "\r\n", REFUSED, 0},
    {POST TE("chunked") CL("6") "\r\n0\r\n\r\nX" GET "\r\n", REFUSED, 0},
    {POST CL("4") TE("chunked") "\r\n5c\r\n" HIDDEN "0\r\n\r\n", REFUSED, 0},
    {POST CL("0") TE("chunked") "\r\n0\r\n\r\n", REFUSED, 0},
    {POST CL("5") CL("5") "\r\nhello", REFUSED, 0},
    {POST CL("5") CL("0") "\r\nhello", REFUSED, 0},
    {POST CL("0") CL("44") "\r\n" HIDDEN, REFUSED, 0},
    {POST CL("5, 5") "\r\nhello", REFUSED, 0},
    {POST CL("5,5") "\r\nhello", REFUSED, 0},
    {POST CL("0, 5") "\r\nhello", REFUSED, 0},
    {POST CL("5 5") "\r\nhello", REFUSED, 0},
    {POST CL("+5") "\r\nhello", REFUSED, 0},
    {POST CL("-5") "\r\nhello", REFUSED, 0},
    {POST CL("-0") "\r\nhello", REFUSED, 0},
    {POST CL("0x5") "\r\nhello", REFUSED, 0},
    {POST CL("5.0") "\r\nhello", REFUSED, 0},
    {POST CL("5e0") "\r\nhello", REFUSED, 0},
    {POST CL("5;") "\r\nhello", REFUSED, 0},
    {POST CL("\"5\"") "\r\nhello", REFUSED, 0},
    {POST CL("") "\r\nhello", REFUSED, 0},
    {POST CL(",5") "\r\nhello", REFUSED, 0},
    {POST CL("5_000") "\r\nhello", REFUSED, 0},
    {POST CL("\xd9\xa5") "\r\nhello", REFUSED, 0},             /* a five in another script */
    {POST CL("18446744073709551621") "\r\nhello", REFUSED, 0}, /* 5, modulo 2^64 */
    {POST CL("4294967301") "\r\nhello", "413 x", 0},           /* 5, modulo 2^32 */
    {POST CL("00005") "\r\nhello" GET "\r\n", "200[hello] 200[]", 0},
    {POST CL(" \t5\t ") "\r\nhello" GET "\r\n", "200[hello] 200[]", 0},
    {POST "content-LENGTH: 5\r\n\r\nhello" GET "\r\n", "200[hello] 200[]", 0},
    {GET CL("5") "\r\nhello" GET "\r\n", "200[hello] 200[]", 0},
    {POST "Content_Length: 5\r\n\r\n" GET "\r\n", "200[] 200[]", 0},
    {POST CL("5") "Content-Length : 0\r\n\r\nhello", REFUSED, 0},
    {POST CL("5") " Content-Length: 0\r\n\r\nhello", REFUSED, 0},
    {POST "Content-Length\r\n\r\nhello", REFUSED, 0},
    {POST "\x01" CL("5") "\r\nhello", REFUSED, 0},
    {POST CL("5") "X: y\r\n\tContent-Length: 0\r\n\r\nhello", REFUSED, 0},
    {"POST / HTTP/1.0\r\n" CL("5") "\r\nhello" GET "\r\n", "200[hello] x", 0},
};

/* Only the one spelling of the one coding that every server knows. */
static const struct stream codings[] = {
    {POST TE("chunked") "\r\n5\r\nhello\r\n0\r\n\r\n" GET "\r\n", "200[hello] 200[]", 0},
    {POST TE("CHUNKED") "\r\n5\r\nhello\r\n0\r\n\r\n" GET "\r\n", "200[hello] 200[]", 0},
    {POST TE("\tchunked ") "\r\n0\r\n\r\n" GET "\r\n", "200[] 200[]", 0},
    {POST TE("chunked") TE("chunked") "\r\n0\r\n\r\n", REFUSED, 0},
    {POST TE("identity") TE("chunked") "\r\n0\r\n\r\n", "501 x", 0},
    {POST TE("chunked") TE("identity") "\r\n0\r\n\r\n", REFUSED, 0},
    {POST TE("chunked, chunked") "\r\n0\r\n\r\n", "501 x", 0},
    {POST TE("chunked, identity") "\r\n0\r\n\r\n", "501 x", 0},
    {POST TE("identity, chunked") "\r\n0\r\n\r\n", "501 x", 0},
    {POST TE("gzip, chunked") "\r\n0\r\n\r\n", "501 x", 0},
    {POST TE(",chunked") "\r\n0\r\n\r\n", "501 x", 0},
    {POST TE("chunked,") "\r\n0\r\n\r\n", "501 x", 0},
    {POST TE("identity") CL("5") "\r\nhello", "501 x", 0},
    {POST TE("") CL("5") "\r\nhello", "501 x", 0},
    {POST TE("x") CL("5") "\r\nhello", "501 x", 0},
    {POST TE("xchunked") "\r\n0\r\n\r\n", "501 x", 0},
    {POST TE("chunkedx") "\r\n0\r\n\r\n", "501 x", 0},
    {POST TE("chun ked") "\r\n0\r\n\r\n", "501 x", 0},
    {POST TE("\"chunked\"") "\r\n0\r\n\r\n", "501 x", 0},
    {POST TE("'chunked'") "\r\n0\r\n\r\n", "501 x", 0},
    {POST TE("chunked;q=1") "\r\n0\r\n\r\n", "501 x", 0},
    {POST TE("[chunked]") "\r\n0\r\n\r\n", "501 x", 0},
    {POST TE("\xff"
             "chunked") "\r\n0\r\n\r\n",
     "501 x", 0},
    {POST TE("\xc2\xa0"
             "chunked") "\r\n0\r\n\r\n",
     "501 x", 0}, /* no-break space */
    {POST TE("\x0b"
             "chunked") "\r\n0\r\n\r\n",
     REFUSED, 0},
    {POST TE("\x0c"
             "chunked") "\r\n0\r\n\r\n",
     REFUSED, 0},
    {POST TE("\x7f"
             "chunked") "\r\n0\r\n\r\n",
     REFUSED, 0},
    {POST "Transfer-Encoding : chunked\r\n" CL("5") "\r\nhello", REFUSED, 0},
    {POST "Transfer-Encoding\t: chunked\r\n" CL("5") "\r\nhello", REFUSED, 0},
    {POST " Transfer-Encoding: chunked\r\n" CL("5") "\r\nhello", REFUSED, 0},
    {POST "\tTransfer-Encoding: chunked\r\n" CL("5") "\r\nhello", REFUSED, 0},
    {POST "X: y\r\n Transfer-Encoding: chunked\r\n" CL("5") "\r\nhello", REFUSED, 0},
    {POST "Transfer-Encoding:\r\n chunked\r\n" CL("5") "\r\nhello", "501 x", 0},
    {POST "Transfer-Encoding\r\n: chunked\r\n" CL("5") "\r\nhello", REFUSED, 0},
    {POST "Transfer-\r\nEncoding: chunked\r\n" CL("5") "\r\nhello", REFUSED, 0},
    {POST "X: y\nTransfer-Encoding: chunked\r\n" CL("5") "\r\nhello", REFUSED, 0},
    {POST "X: y\rTransfer-Encoding: chunked\r\n" CL("5") "\r\nhello", REFUSED, 0},
    {POST "X: y\r\r\nTransfer-Encoding: chunked\r\n" CL("5") "\r\nhello", REFUSED, 0},
    {POST "Transfer-Encoding: chunked\r\n\x0b" CL("5") "\r\nhello", REFUSED, 0},
    {POST "Transfer_Encoding: chunked\r\n" CL("5") "\r\nhello" GET "\r\n", "200[hello] 200[]", 0},
    {POST "TransferEncoding: chunked\r\n" CL("5") "\r\nhello" GET "\r\n", "200[hello] 200[]", 0},
    {POST "X-Transfer-Encoding: chunked\r\n" CL("5") "\r\nhello", "200[hello]", 0},
    {POST "TE: chunked\r\n" CL("5") "\r\nhello", "200[hello]", 0},
    {"POST / HTTP/1.0\r\n" H TE("chunked") "\r\n0\r\n\r\n", REFUSED, 0},
    {"POST / HTTP/1.0\r\n" H TE("chunked") CL("5") "\r\nhello", REFUSED, 0},
    {GET TE("chunked") "\r\n5\r\nhello\r\n0\r\n\r\n" GET "\r\n", "200[hello] 200[]", 0},
};

#define CHUNKED POST TE("chunked") "\r\n"
/* Sizes, extensions, ends and trailers of chunks. */
static const struct stream chunks[] = {
    {CHUNKED "5;a=b\r\nhello\r\n0;c\r\n\r\n" GET "\r\n", "200[hello] 200[]", 0},
    {CHUNKED "5;a=\"; x\"\r\nhello\r\n0\r\n\r\n" GET "\r\n", "200[hello] 200[]", 0},
    {CHUNKED "5;\xff\r\nhello\r\n0\r\n\r\n" GET "\r\n", "200[hello] 200[]", 0},
    {CHUNKED "5;a\nhello\r\n0\r\n\r\n", REFUSED, 0},
    {CHUNKED "5;a\rX\r\nhello\r\n0\r\n\r\n", REFUSED, 0},
    {CHUNKED "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n", REFUSED, 0},
    {CHUNKED "5;\x01\r\nhello\r\n0\r\n\r\n", REFUSED, 0},
    {CHUNKED "5\nhello\r\n0\r\n\r\n", REFUSED, 0},
    {CHUNKED "5\rhello\r\n0\r\n\r\n", REFUSED, 0},
    {CHUNKED "5\r\nhello\n0\r\n\r\n", REFUSED, 0},
    {CHUNKED "5\r\nhello\r0\r\n\r\n", REFUSED, 0},
    {CHUNKED "5\r\nhello0\r\n\r\n", REFUSED, 0},
    {CHUNKED "5\r\nhelloXX0\r\n\r\n", REFUSED, 0},
    {CHUNKED "4\r\nhello\r\n0\r\n\r\n", REFUSED, 0},
    {CHUNKED "6\r\nhello\r\n0\r\n\r\n", REFUSED, 0},
    {CHUNKED " 5\r\nhello\r\n0\r\n\r\n", REFUSED, 0},
    {CHUNKED "5 \r\nhello\r\n0\r\n\r\n", REFUSED, 0},
    {CHUNKED "5 ;a\r\nhello\r\n0\r\n\r\n", REFUSED, 0},
    {CHUNKED "5\t\r\nhello\r\n0\r\n\r\n", REFUSED, 0},
    {CHUNKED "+5\r\nhello\r\n0\r\n\r\n", REFUSED, 0},
    {CHUNKED "-5\r\nhello\r\n0\r\n\r\n", REFUSED, 0},
    {CHUNKED "0x5\r\nhello\r\n0\r\n\r\n", REFUSED, 0},
    {CHUNKED "5h\r\nhello\r\n0\r\n\r\n", REFUSED, 0},
    {CHUNKED "5_\r\nhello\r\n0\r\n\r\n", REFUSED, 0},
    {CHUNKED "5,5\r\nhello\r\n0\r\n\r\n", REFUSED, 0},
    {CHUNKED "\r\n5\r\nhello\r\n0\r\n\r\n", REFUSED, 0},
    {CHUNKED ";a\r\nhello\r\n0\r\n\r\n", REFUSED, 0},
    {CHUNKED "g\r\n", REFUSED, 0},
    {CHUNKED "10000000000000005\r\nhello\r\n0\r\n\r\n", REFUSED, 0}, /* 5, modulo 2^64 */
    {CHUNKED "100000005\r\nhello\r\n0\r\n\r\n", "", 0}, /* not 5, modulo 2^32: more is waited for */
    {CHUNKED "000000000000005\r\nhello\r\n0\r\n\r\n" GET "\r\n", "200[hello] 200[]", 0},
    {CHUNKED "0000000000000005\r\nhello\r\n0\r\n\r\n", REFUSED, 0},
    {CHUNKED "A\r\n0123456789\r\n0\r\n\r\n", "200[0123456789]", 0},
    {CHUNKED "00\r\n\r\n" GET "\r\n", "200[] 200[]", 0},
    {CHUNKED "0\r\n" GET "\r\n", REFUSED, 0}, /* a request is no trailer */
    {CHUNKED "0\r\nX: y\r\n\r\n" GET "\r\n", "200[] 200[]", 0},
    {CHUNKED "0\r\n" CL("5") "\r\n" GET "\r\n", "200[] 200[]", 0},
    {CHUNKED "0\r\n" TE("chunked") "\r\n" GET "\r\n", "200[] 200[]", 0},
    {CHUNKED "0\r\nHost: b\r\n\r\n" GET "\r\n", "200[] 200[]", 0},
    {CHUNKED "0\r\nX: y\n\r\n", REFUSED, 0},
    {CHUNKED "0\r\nX: y\r\n z\r\n\r\n", REFUSED, 0},
    {CHUNKED "0\r\nX : y\r\n\r\n", REFUSED, 0},
    {CHUNKED "0\r\nX\r\n\r\n", REFUSED, 0},
    {CHUNKED "0\r\n: y\r\n\r\n", REFUSED, 0},
    {CHUNKED "0\r\n\n" GET "\r\n", REFUSED, 0},
    {CHUNKED "0\r\n\r" GET "\r\n", REFUSED, 0},
    {CHUNKED "0\n\n" GET "\r\n", REFUSED, 0},
};

/* Ends of lines, hosts, targets, and bytes that have no place in a head. */
static const struct stream heads[] = {
    {GET "\r\n" HIDDEN, "200[] 200[]", 0},
    {"\r\n" GET "\r\n", "200[]", 0},
    {"\r\n\r\n" GET "\r\n", REFUSED, 0},
    {"\n" GET "\r\n", REFUSED, 0},
    {" \r\n" GET "\r\n", REFUSED, 0},
    {"GET / HTTP/1.1\nHost: a\n\n", REFUSED, 0},
    {"GET / HTTP/1.1\r\nHost: a\n\r\n", REFUSED, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\n\n" HIDDEN, REFUSED, 0},
    {"GET / HTTP/1.1\rHost: a\r\r", REFUSED, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\n\rX" HIDDEN, REFUSED, 0},
    {"GET / HTTP/1.1\r\n\r\n", REFUSED, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", REFUSED, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", REFUSED, 0},
    {"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", REFUSED, 0},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", REFUSED, 0},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", REFUSED, 0},
    {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", REFUSED, 0},
    {"GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", REFUSED, 0},
    {"GET / HTTP/1.1\r\nHost: a#b\r\n\r\n", REFUSED, 0},
    {"GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n", REFUSED, 0},
    {"GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n", REFUSED, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", REFUSED, 0},
    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", REFUSED, 0},
    {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", REFUSED, 0},
    {"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", REFUSED, 30},
    {"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED, 29},
    {"GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n", REFUSED, 34},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: \x1b[2J\r\n\r\n", REFUSED, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: y\x08\r\n\r\n", REFUSED, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\nX y: z\r\n\r\n", REFUSED, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\nX(y): z\r\n\r\n", REFUSED, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\n\"X\": z\r\n\r\n", REFUSED, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\nGET / HTTP/1.1\r\n\r\n", REFUSED, 0},
    {"GET http://a/ HTTP/1.1\r\n" H "\r\n", "200[]", 0},
    {"GET https://A/ HTTP/1.1\r\n" H "\r\n", "200[]", 0},
    {"GET http://b/ HTTP/1.1\r\n" H "\r\n", REFUSED, 0},
    {"GET http://a:80/ HTTP/1.1\r\n" H "\r\n", REFUSED, 0},
    {"GET http://a.b/ HTTP/1.1\r\n" H "\r\n", REFUSED, 0},
    {"GET http://u@a/ HTTP/1.1\r\nHost: u@a\r\n\r\n", REFUSED, 0},
    {"GET http://b@a/ HTTP/1.1\r\n" H "\r\n", REFUSED, 0},
    {"GET http://a\\@b/ HTTP/1.1\r\n" H "\r\n", REFUSED, 0},
    {"GET http://a,b/ HTTP/1.1\r\n" H "\r\n", REFUSED, 0},
    {"GET http:///hidden HTTP/1.1\r\n" H "\r\n", REFUSED, 0},
    {"GET http://a HTTP/1.1\r\n" H "\r\n", REFUSED, 0},
    {"GET http:/hidden HTTP/1.1\r\n" H "\r\n", REFUSED, 0},
    {"GET HTTP://a/ HTTP/1.1\r\n" H "\r\n", REFUSED, 0},
    {"GET ftp://a/ HTTP/1.1\r\n" H "\r\n", REFUSED, 0},
    {"GET //a/hidden HTTP/1.1\r\n" H "\r\n", "404", 0},
    {"GET a:443 HTTP/1.1\r\n" H "\r\n", REFUSED, 0},
    {"GET /#x HTTP/1.1\r\n" H "\r\n", REFUSED, 0},
    {"GET /%00 HTTP/1.1\r\n" H "\r\n", "404", 0},
    {"GET /x/../hidden HTTP/1.1\r\n" H "\r\n", "404", 0},
    {"GET /./hidden HTTP/1.1\r\n" H "\r\n", "404", 0},
    {"GET  / HTTP/1.1\r\n" H "\r\n", REFUSED, 0},
    {"GET /  HTTP/1.1\r\n" H "\r\n", REFUSED, 0},
    {"GET\t/ HTTP/1.1\r\n" H "\r\n", REFUSED, 0},
    {"GET /\tHTTP/1.1\r\n" H "\r\n", REFUSED, 0},
    {"GET / HTTP/1.1 \r\n" H "\r\n", REFUSED, 0},
    {"GET / HTTP/1.1 HTTP/1.1\r\n" H "\r\n", REFUSED, 0},
    {"GET / HTTP/1.10\r\n" H "\r\n", REFUSED, 0},
    {"GET / HTTP/ 1.1\r\n" H "\r\n", REFUSED, 0},
    {"GET / HTTP/1,1\r\n" H "\r\n", REFUSED, 0},
    {"GET / http/1.1\r\n" H "\r\n", REFUSED, 0},
    {"GET / HTTPS/1.1\r\n" H "\r\n", REFUSED, 0},
    {"GET / HTTP/0.9\r\n" H "\r\n", "505 x", 0},
    {"GET / HTTP/1.2\r\n" H "\r\n", "505 x", 0},
    {"GET / HTTP/2.0\r\n" H "\r\n", "505 x", 0},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 x", 0},
    {"GET /\r\n\r\n", REFUSED, 0},
    {"get / HTTP/1.1\r\n" H "\r\n" HIDDEN, "405 200[]", 0},
    {"GET/ / HTTP/1.1\r\n" H "\r\n", REFUSED, 0},
    {"G\xc3\x8bT / HTTP/1.1\r\n" H "\r\n", REFUSED, 0},
    {GET "Connection: close\r\n\r\n" HIDDEN, "200[] x", 0},
    {GET "Connection: keep-alive, close\r\n\r\n" HIDDEN, "200[] x", 0},
    {GET "Connection: content-length\r\n" CL("5") "\r\nhello" HIDDEN, "200[hello] 200[]", 0},
    {GET "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n" HIDDEN, "200[] 200[]", 0},
    {"GET / HTTP/1.0\r\n\r\n" HIDDEN, "200[] x", 0},
    {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" HIDDEN, "200[] x", 0},
    /* An answer before the body has come must not make the body a request. */
    {"POST /nothing HTTP/1.1\r\n" H CL("33") "\r\n" HIDDEN GET "\r\n", "404 200[]", 0},
    {"POST /hidden HTTP/1.1\r\n" H CL("33") "\r\n" HIDDEN GET "\r\n", "405 200[]", 0},
    {"POST /nothing HTTP/1.1\r\n" H TE("chunked") "\r\n" HIDDEN, "404 x", 0},
    {"GET /hidden HTTP/1.1\r\n" H CL("33") "\r\n" HIDDEN GET "\r\n", "413 200[]", 0},
    {POST "Content-Encoding: br\r\n" CL("33") "\r\n" HIDDEN GET "\r\n", "415 200[]", 0},
    {POST "Content-Encoding: gzip\r\n" CL("33") "\r\n" HIDDEN GET "\r\n", "400 200[]", 0},
    {POST "Expect: 100-continue\r\n" CL("5") "\r\nhello" GET "\r\n", "200[hello] 200[]", 0},
    {POST "Expect: 200-ok\r\n" CL("33") "\r\n" HIDDEN, "417 x", 0},
    {"POST /nothing HTTP/1.1\r\n" H "Expect: 100-continue\r\n" CL("33") "\r\n" HIDDEN, "404 x", 0},
};

/* "200[hello] 404 x" from what was sent; 100 Continue left out. */
static void describe(const struct http_peer *peer, char *out, usize out_bytes) {
    const char *at = peer->out.data;
    const char *end = at == NULL ? at : at + peer->out.bytes;
    usize used = 0;
    out[0] = 0;
    while (at < end) {
        const char *body = memmem(at, (usize)(end - at), "\r\n\r\n", 4);
        cr_assert_not_null(body);
        body += 4;
        const char *length = memmem(at, (usize)(body - at), "Content-Length: ", 16);
        usize bytes = length == NULL ? 0 : strtoul(length + 16, NULL, 10);
        bool told = memcmp(at + 9, "200", 3) == 0;
        if (memcmp(at + 9, "100", 3) != 0) {
            used += (usize)snprintf(out + used, out_bytes - used, "%s%.3s%.*s", used > 0 ? " " : "",
                                    at + 9, told ? (int)bytes : 0, body);
        }
        at = body + bytes;
    }
    if (peer->closing) {
        snprintf(out + used, out_bytes - used, "%sx", used > 0 ? " " : "");
    }
}

static void run(const struct stream *streams, usize count) {
    static const usize steps[] = {100000, 1, 2, 7, 31};
    struct http_peer *peer = http_peer_create(routes, ARRAY_COUNT(routes), 16 * MIB);
    for (usize at = 0; at < count; at++) {
        const struct stream *stream = &streams[at];
        usize bytes = stream->bytes > 0 ? stream->bytes : strlen(stream->text);
        for (usize i = 0; i < ARRAY_COUNT(steps); i++) {
            char found[256];
            for (usize from = 0; from < bytes; from += steps[i]) {
                http_peer_give(peer, stream->text + from, MIN(steps[i], bytes - from));
            }
            describe(peer, found, sizeof found);
            cr_expect_str_eq(found, stream->outcome, "\"%s\" not \"%s\" by %zu: %s", found,
                             stream->outcome, steps[i], stream->text);
            http_session_closed(&peer->session);
            http_peer_run(peer);
            http_peer_reopen(peer);
        }
    }
    http_session_closed(&peer->session);
    http_peer_destroy(peer);
}

Test(smuggle, lengths) {
    run(lengths, ARRAY_COUNT(lengths));
}

Test(smuggle, codings) {
    run(codings, ARRAY_COUNT(codings));
}

Test(smuggle, chunks) {
    run(chunks, ARRAY_COUNT(chunks));
}

Test(smuggle, heads) {
    run(heads, ARRAY_COUNT(heads));
}
