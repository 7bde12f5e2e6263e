# A run of the simulation has thousands of events, not millions: merge after a few blocks.
s/SEGMENT_ROWS_MIN/600/g
s/MERGE_BLOCKS_MIN/5/g
s/TRIM_PAGES_MIN/1/g
