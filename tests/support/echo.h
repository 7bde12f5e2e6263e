/* echo.h: a protocol that sends back what it receives, for tests of what is below protocols. */
#ifndef MARGIN_TESTS_ECHO_H
#define MARGIN_TESTS_ECHO_H

#include "net/edge.h"

extern const struct net_protocol echo_protocol;

#endif
