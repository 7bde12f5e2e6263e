/* snapshot_tags.h: which section of a snapshot is whose. Tags below the first one here belong to
 * agg. */
#ifndef MARGIN_PIPELINE_SNAPSHOT_TAGS_H
#define MARGIN_PIPELINE_SNAPSHOT_TAGS_H

#define SNAPSHOT_TAG_DEDUP 0x1000u
#define SNAPSHOT_TAG_USAGE 0x1001u
#define SNAPSHOT_TAG_RUNS 0x1002u /* absent: there are none */

#endif
