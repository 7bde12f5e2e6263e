/* limit.h: the classes of rate limits (Observe API section 9). A route names its class. */
#ifndef MARGIN_API_LIMIT_H
#define MARGIN_API_LIMIT_H

enum limit_class {
    LIMIT_MANAGE,    /* by key or session, else by address */
    LIMIT_NONE,      /* never limited: probes */
    LIMIT_AUTH,      /* by address */
    LIMIT_SIGNUP,    /* by address */
    LIMIT_EXPENSIVE, /* by account: what computes for long, or asks another service */
    LIMIT_INGEST,    /* by key; off unless set */
    LIMIT_GATEWAY,   /* by key */
    LIMIT_CLASSES
};

#endif
