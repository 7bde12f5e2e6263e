/*
 * limits.h: every bound of the system, in one place. Past a bound a caller gets a clear error
 * and nothing is half done. Relations between bounds are asserted at the end of the file.
 */
#ifndef MARGIN_LIMITS_H
#define MARGIN_LIMITS_H

#include "base.h"

/* --- requests ------------------------------------------------------------------------------- */

#define HTTP_HEAD_BYTES_MAX (16 * KIB)    /* request line and headers */
#define HTTP_HEADERS_MAX 64               /* header fields a request */
#define HTTP_TARGET_BYTES_MAX (8 * KIB)   /* path and query */
#define HTTP_BODY_INGEST_MAX (16 * MIB)   /* expanded body of an ingest request */
#define HTTP_BODY_MANAGE_MAX (2 * MIB)    /* expanded body of any other request */
#define HTTP_BODY_PUBLIC_MAX (64 * KIB)   /* of one that needs no credential */
#define HTTP_ROUTES_MAX 1024              /* paths and methods a router knows */
#define SCHEMAS_MAX 512                   /* schemas of bodies in the documentation */
#define PARAMETERS_MAX 256                /* described parameters in the documentation */
#define SCHEMA_NAME_MAX 63                /* bytes of the name of either */
#define HTTP_QUERY_PARAMS_MAX 32          /* parameters in a query string */
#define JSON_DEPTH_MAX 64                 /* nesting of a request body */
#define HTTP_WAITING_BYTES_MAX (16 * KIB) /* pipelined input kept before receiving stops */
#define HTTP_DISCARD_BYTES_MAX (64 * KIB) /* refused body that is read so the connection lives */
#define NET_OUTPUT_BYTES_HIGH MIB         /* output waiting at which a protocol should stop */
#define NET_OUTPUT_BYTES_LOW (256 * KIB)  /* and at which it may go on */
#define NET_OUTPUT_BYTES_MAX (2 * REPLY_BYTES_MAX)
#define NET_STASH_BYTES_MAX (4 * MIB)   /* input that arrives between a pause and its effect */
#define NET_DIRECT_BYTES_MIN (16 * KIB) /* input worth a receive of its own */
#define NET_SEAL_BYTES (256 * KIB)      /* text made into TLS records at a time */
#define NET_SEALED_BYTES_MAX MIB        /* TLS records that wait for those before them */
#define TLS_HELLO_BYTES_MAX (16 * KIB)  /* a client's first message */
#define TLS_FIRST_BYTES_MAX (4 * KIB)   /* of it; a longer one is begun with before it is whole */
#define TLS_HANDSHAKE_BYTES_MAX (64 * KIB) /* all it sends before the connection is established */
#define TLS_HANDSHAKES_MAX 2048            /* under way on a front thread, of 50 KiB each */

#define INGEST_EVENTS_MAX 1000 /* events in one HTTP ingest request */
#define WIRE_EVENTS_MAX 4096   /* events in one native batch */
#define WIRE_FRAME_BYTES_MAX (16 * MIB)
#define WIRE_PING_BYTES_MAX 1024
#define WIRE_IN_FLIGHT_MAX 256                      /* unanswered requests a connection */
#define WIRE_SUBSCRIPTIONS_MAX 64                   /* a connection */
#define WIRE_INTERVAL_MS_MIN 20                     /* between two pushes of a subscription */
#define WIRE_SCAN_EVENTS_MAX 4096                   /* events in one answer to a scan */
#define WIRE_FILTERS_MAX 8                          /* filters of one query */
#define WIRE_OUTPUT_BYTES_MAX NET_OUTPUT_BYTES_HIGH /* unsent output: a connection is not read */
#define WIRE_PENDING_BYTES_MAX (4 * MIB)            /* input that arrives while it is not read */

#define LIMIT_SLOTS_MAX 65536      /* windows of rate limits kept at a time */
#define LIMIT_SHARDS 64            /* parts of them, each with a lock */
#define LIMIT_COUNT_MAX 1000000000 /* the most a rate limit can be set to */

#define CSV_FIELDS_MAX 256       /* columns of a comma-separated text */
#define UPLOAD_RECORDS_MAX 10000 /* records of one upload */
#define UPLOAD_PROBLEMS_MAX 5    /* bad records that the answer to an upload lists */

/* --- events (bytes) ------------------------------------------------------------------------- */

#define EVENT_NAME_MAX 128
#define EVENT_CUSTOMER_MAX 255
#define EVENT_FEATURE_MAX 128
#define EVENT_MODEL_MAX 128
#define EVENT_PROVIDER_MAX 64
#define EVENT_COST_TYPE_MAX 64
#define EVENT_COST_UNIT_MAX 16
#define EVENT_AGENT_MAX 128
#define EVENT_KEY_MAX 255
#define EVENT_TRACE_MAX 128
#define EVENT_PROPERTIES_MAX (32 * KIB)
#define EVENT_PROPERTIES_DEPTH_MAX 16
#define EVENT_META_MAX (8 * KIB)
#define EVENT_META_KEYS_MAX 64
#define EVENT_REFS_MAX (4 * KIB)
#define EVENT_BODY_MAX (256 * KIB) /* a captured request or response; longer ones are dropped */
#define EVENT_TOKENS_MAX ((i64)1 << 40)
#define EVENT_DURATION_MAX ((i64)1 << 40)       /* ms; so the sum of 2^23 events fits 64 bits */
#define EVENT_TIME_MIN ((i64)946684800000)      /* 2000-01-01T00:00:00Z, ms */
#define EVENT_TIME_AHEAD_MS ((i64)24 * 3600000) /* how far ahead of now an event may lie */

#define PICO_PER_USD ((i64)1000000000000)
#define EVENT_MONEY_MAX (9000000 * PICO_PER_USD) /* magnitude, picodollars */
#define MICRO_PER_UNIT ((i64)1000000)
#define EVENT_USAGE_MAX ((i64)9200000000000 * MICRO_PER_UNIT) /* magnitude, micro-units */

/* --- path ----------------------------------------------------------------------------------- */

#define EVENT_BATCH_MAX 4096              /* events in one event batch */
#define EVENT_BATCH_REQUESTS_MAX 1024     /* requests that share one event batch */
#define EVENT_BATCH_TEXT_MAX (33 * MIB)   /* text behind one batch: a body and what is added */
#define EVENT_ERRORS_MAX EVENT_BATCH_MAX  /* rejected events listed in one answer */
#define COMMIT_GROUP_EVENTS_MAX 65536     /* events in one commit, so in one block */
#define COMMIT_GROUP_BYTES_MAX (64 * MIB) /* text of one commit, if it has more than one batch */
#define FRONT_THREADS_MAX 64
#define READER_THREADS 2
#define WATCHED_MAX (FRONT_THREADS_MAX + READER_THREADS + 4) /* threads that are looked after */
#define FRONT_BATCHES 256           /* event batches a front thread may have under way */
#define JOBS_MAX 1024               /* slow reads waiting for the reader thread */
#define HEAVY_JOBS_MAX 16           /* of them, such that need much processor time */
#define SHARED_BYTES_MAX (16 * MIB) /* copies of a reply given to those who asked the same */
#define CONNECTIONS_MAX 16384       /* a front thread, default of the setting */
#define REPLY_BYTES_MAX (64 * MIB)

/* --- settings ------------------------------------------------------------------------------- */

#define CONFIG_PATH_BYTES_MAX 4096     /* a path in a setting, NUL included */
#define RETENTION_DAYS_MAX 36500       /* events may be kept for */
#define CONNECTIONS_SETTING_MAX 262144 /* the most connections-max may be set to */

/* --- accounts ------------------------------------------------------------------------------- */

#define KEYS_MAX 4096         /* API keys an account, revoked ones included */
#define KEYS_TOUCHED_MAX 4096 /* keys whose time of last use waits to be written; power of two */
#define MEMBERSHIPS_MAX 256   /* accounts a user may belong to */
#define SESSIONS_MAX 64       /* a user; past it the oldest ends */
#define ACCOUNT_NAME_MAX 255  /* bytes, as of an e-mail address */
#define EMAIL_MAX 255
#define PASSWORD_BYTES_MIN 8
#define PASSWORD_BYTES_MAX 1024
#define PLANS_MAX 16
#define PLAN_NAME_MAX 32

/* --- storage -------------------------------------------------------------------------------- */

#define FRAME_ROWS_MAX 1024             /* rows coded together: what a point read has to decode */
#define SEGMENT_ROWS_MIN 65536          /* rows that make a merge into a segment worth it */
#define SEGMENT_ROWS_MAX 131072         /* rows of a segment: they fit 17 bits of an index */
#define DROPPED_ROWS_MAX ((u32)1 << 30) /* removed rows that one empty block stands for */
#define MERGE_BLOCKS_MIN 256        /* tiny blocks that are merged although they are no segment */
#define MERGE_BYTES_MAX (256 * MIB) /* blocks read for one merge */
#define FRAME_TEXT_BYTES (32 * MIB) /* texts that make a frame end before it has all its rows */
#define TEXT_FRAME_BYTES_MAX (256 * MIB) /* texts of one column in one frame, or of definitions */
#define BLOCK_BYTES_MAX (2000 * MIB) /* offsets in a block are 32 bits, an LMDB value 2^32 - 1 */
#define TRIM_PAGES_MIN 16  /* free pages of the log side by side that go back to the file system */
#define TRIM_PAUSE_MS 5000 /* after which what is free then and now is given back */
#define LOG_MAP_BYTES_DEFAULT ((usize)1 << 40) /* address space, not memory */
#define DB_READERS_MAX 1024                    /* read transactions at a time, over all processes */
#define CONTROL_MAP_BYTES (1 * GIB)
#define CONTROL_SPARE_PARTS 16 /* one of so many parts of the map is left to what makes room */
#define CONTROL_NAME_MAX 400   /* name of an object in the control tables, bytes */
#define CONTROL_VALUE_MAX (64 * KIB)
#define SNAPSHOTS_KEPT 2
#define RUNS_MAX 64                 /* files of keys that are in memory no more */
#define RUN_KEYS_MAX ((u32)1 << 28) /* of such a file, made by a merge */
#define AMEND_NAMES_MAX 16          /* event names that one clear names */
#define AMEND_KEPT_MAX                                                                             \
    ((u32)1 << 20)                   /* events of a source that stay when some of it are cleared   \
                                      */
#define BACKFILL_EVENTS_MAX 50000    /* events one backfill looks at */
#define BACKFILL_TEXT_MAX (64 * MIB) /* their traces and agents */
#define AMEND_BYTES_MAX (512 * MIB)  /* record of an amendment */

/* --- derived state, over all accounts; the settings allow one account fewer ------------------- */

#define SERIES_MAX ((u32)1 << 28)
#define DIM_VALUES_MAX ((u32)1 << 26) /* values of one dimension, over all accounts; and agents */
#define ACCOUNTS_MAX ((u32)1 << 16)
/* Past so many traces, or agents, events of a new one are stored and counted in all figures, but
 * the lists of traces and agents do not show it; a metric counts them. */
#define TRACES_MAX ((u32)1 << 27)
#define FEATURE_PRICES_MAX 10000 /* features an account may price */
#define DEFINITIONS_MAX 10000    /* features an account may describe */
#define DEFINITION_NAME_MAX 128
#define DEFINITION_DESCRIPTION_MAX 4096
#define DEFINITION_LOCATION_MAX 512
#define MODEL_PRICES_MAX 1000           /* models an account may price itself */
#define PRICE_CHANGES_MAX 10000         /* changes of model prices remembered, an account */
#define PRICE_FILE_BYTES_MAX (64 * MIB) /* a file of model prices */
#define UNIT_LABEL_MAX 64               /* bytes of what a feature's price is called by */

#define CUSTOMERS_MAX ((u32)1 << 20)     /* an account's customers that are more than events */
#define SUBSCRIPTIONS_MAX ((u32)1 << 20) /* an account */
#define PRODUCTS_MAX 10000               /* product plans of an account */
#define CUSTOMER_TEXT_MAX 255            /* bytes of a name, an e-mail address, a segment, an id */

#define QUERY_ROWS_MAX 100000 /* rows one answer may hold */
#define PAGE_EVENTS_MAX 200
#define PAGE_DEPTH_MAX 1000000  /* offset + limit of an event list */
#define TRACE_SPANS_MAX 10000   /* spans one trace answer may hold */
#define DIRECT_RECORDS_MAX 4096 /* more to look at: queries leave the front thread */
#define LINKS_WAITING_MAX 4096  /* links with Stripe customers that wait to be made */
#define KEY_CACHE_SLOTS 64      /* identities a front thread remembers */

_Static_assert(INGEST_EVENTS_MAX <= EVENT_BATCH_MAX, "a request fits a batch");
_Static_assert(WIRE_EVENTS_MAX <= EVENT_BATCH_MAX, "a native batch fits a batch");
_Static_assert(EVENT_BATCH_MAX <= COMMIT_GROUP_EVENTS_MAX, "a batch fits a commit");
_Static_assert(2 * HTTP_BODY_INGEST_MAX <= EVENT_BATCH_TEXT_MAX, "a body fits a batch");
_Static_assert(NET_OUTPUT_BYTES_LOW < NET_OUTPUT_BYTES_HIGH, "drained comes after full");
_Static_assert(2 * NET_SEAL_BYTES <= NET_SEALED_BYTES_MAX, "what is sealed at a time has room");
_Static_assert(REPLY_BYTES_MAX < NET_OUTPUT_BYTES_MAX, "a reply can be sent");
_Static_assert(EVENT_BATCH_MAX % FRAME_ROWS_MAX == 0, "whole frames fill a batch");
_Static_assert(COMMIT_GROUP_EVENTS_MAX <= SEGMENT_ROWS_MAX, "a block fits a segment");
_Static_assert(EVENT_MONEY_MAX / PICO_PER_USD == 9000000, "money fits 64 bits");

#endif
