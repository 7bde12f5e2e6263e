/* version.h: the version that `--version`, the binary protocol and the metrics report. */
#ifndef MARGIN_VERSION_H
#define MARGIN_VERSION_H

#define MARGIN_VERSION "0.1.0"

#endif
